"""Where the access token comes from: a file, the environment, or a login."""

import errno
import json
import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from etl.errors import LoginError, ServiceError

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "NDVI_ARCHIVE_TOKEN"  # noqa: S105 - a name, not a secret

LOGIN_SECONDS = 120
"""Longest time a login may take, without the time in which the user is asked."""

_LONGEST_TOKEN = 1 << 16
"""More than any server takes as a header."""

_UNREACHABLE = ("Connection failed", "Connection timeout")
"""How the messages of `destinepyauth` end where no connection could be made."""


class TokenSource:
    """Gives the access token, and a new one when the service no longer accepts it.

    The order is: `token_file`, the variable `NDVI_ARCHIVE_TOKEN`, a login with `destinepyauth` and its own
    `DESPAUTH_…` settings.

    A token file that everybody can read or write is refused. One that its group can read is accepted: that is
    how Kubernetes mounts a secret for a process that is not root (mode 0440 and `fsGroup`).

    Attributes:
        origin: where it comes from, in words.
    """

    def __init__(self, token_file: Path | None = None, login_seconds: int = LOGIN_SECONDS) -> None:
        self._token: str | None = None
        self._obtain: Callable[[], str] = lambda: _log_in(login_seconds)
        self.origin = "accepted by the login service"
        if token_file is not None:
            self._obtain = lambda: _read(token_file)
            self.origin = f"not needed: there is a token in {token_file}"
        elif TOKEN_VARIABLE in os.environ:
            self._obtain = _from_environment
            self.origin = f"not needed: there is a token in {TOKEN_VARIABLE}"

    def token(self) -> str:
        """The token in use; it is obtained when first asked for.

        Raises:
            LoginError: None can be had.
        """
        if self._token is None:
            self._token = self._obtain()
        return self._token

    def renew(self) -> str:
        """Another token, after the service has refused the one in use.

        Raises:
            LoginError: None can be had, or only the same again.
        """
        refused, self._token = self._token, self._obtain()
        if self._token == refused:
            raise LoginError(
                "the service refuses the access token (401)",
                f"get a new one: the file or {TOKEN_VARIABLE} still holds the old one",
            )
        return self._token


def _read(path: Path) -> str:
    try:
        # Without waiting: a pipe may have no one who writes to it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            _check_private(os.fstat(file.fileno()).st_mode, path)
            return _checked(file.read(_LONGEST_TOKEN + 1).decode(), f"the token file {path}")
    except OSError as error:
        raise LoginError(
            f"the token file {path} cannot be read: {error.strerror}", "check --token-file"
        ) from None
    except UnicodeDecodeError:
        raise LoginError(f"the token file {path} is not text", "check --token-file") from None


def _check_private(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise LoginError(f"the token file {path} is no regular file", "put the token into a file of its own")
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise LoginError(f"the token file {path} can be read or written by others", f"run: chmod 600 {path}")


def _from_environment() -> str:
    return _checked(os.environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE)


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if (
        not 0 < len(text) <= _LONGEST_TOKEN
        or not token
        or not token.isascii()
        or not token.isprintable()
        or " " in token
    ):
        raise LoginError(f"{where} does not hold an access token", "put the token there, and nothing else")
    return token


def _log_in(seconds: int) -> str:
    """Log in through `destinepyauth`; it may ask only where there is a terminal to answer."""
    terminal = sys.stdin is not None and sys.stdin.isatty()
    log.info("logging in with destinepyauth")
    try:
        result = subprocess.run(  # noqa: S603 - all of it is from here
            [sys.executable, "-P", "-m", "etl.extract.desplogin", str(seconds)],
            stdin=None if terminal else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if terminal else subprocess.PIPE,
            # Without a terminal of its own, the password prompt cannot reach one either.
            start_new_session=not terminal,
            check=False,
        )
        if result.returncode == -signal.SIGALRM:
            raise LoginError(
                f"the login did not finish within {seconds} seconds", "check DESPAUTH_IAM_URL and the network"
            )
        answer = json.loads(result.stdout)
    except ValueError:
        last_words = (result.stderr or b"").decode(errors="replace").strip().rpartition("\n")[2]
        raise LoginError(
            f"the login ended without an answer: {last_words}", "try destinepyauth by itself"
        ) from None
    if "access_token" in answer:
        return _checked(str(answer["access_token"]), "the answer of the login service")
    why = " ".join(str(answer.get("error")).split())
    if why.endswith(_UNREACHABLE):
        raise ServiceError(
            f"the login service cannot be reached: {why}",
            "check DESPAUTH_IAM_URL and the network, then run the command again",
        )
    raise LoginError(
        f"login refused: {why}",
        f"set DESPAUTH_USER and DESPAUTH_PASSWORD, or give a token with --token-file or {TOKEN_VARIABLE}",
    )
