"""HTTP for metadata and video: one session, bounded retries, exact byte ranges, no secrets in messages."""

import logging
import re
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from etl import __version__
from etl.errors import ServiceError

log = logging.getLogger(__name__)

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes of an answer."""

RETRIES = 5
"""How often a request is tried again without any progress."""

LONGEST_PAUSE = 30.0
"""Seconds to wait at most before a retry."""


class _Session(requests.Session):
    """A session that takes no passwords from `~/.netrc`: the service wants a token, and others nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = lambda request: request

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """After a redirection, keep the token only for the same host."""
        asked, sent = response.request.url or "", prepared_request.url or ""
        if self.should_strip_auth(asked, sent):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


class _Retry(Retry):
    """Retries that are told in the log."""

    def increment(self, *args: Any, **settings: Any) -> Self:  # noqa: ANN401 - passed on as they come
        following = super().increment(*args, **settings)
        last = following.history[-1]
        why = f"it answered {last.status}" if last.status else reason_of(last.error or ConnectionError())
        log.warning("%s; trying again (%d of %d)", why, RETRIES - int(following.total or 0), RETRIES)
        return following


class HttpClient:
    """A session that retries connection errors, 429 (after `Retry-After`) and 5xx a few times.

    Attributes:
        bytes_received: bytes of all bodies read so far.
        pause: seconds to wait before a second retry.
    """

    def __init__(self, pause: float = 0.5) -> None:
        """Open nothing yet.

        Args:
            pause: seconds to wait before a second retry; twice as long before every further one.
        """
        self.bytes_received = 0
        self.pause = pause
        self._session = _Session()
        self._versions: dict[str, dict[str, str]] = {}
        self._session.headers["User-Agent"] = f"ndvi-archive/{__version__}"
        retry = _Retry(
            total=RETRIES,
            backoff_factor=pause,
            backoff_max=LONGEST_PAUSE,
            backoff_jitter=pause,
            retry_after_max=300,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=("GET",),
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def close(self) -> None:
        """Drop all connections."""
        self._session.close()

    def get(
        self, url: str, *, headers: dict[str, str] | None = None, params: dict[str, str] | None = None
    ) -> requests.Response:
        """Send a GET; the body is not read yet and any status can come back.

        Raises:
            ServiceError: No answer could be had.
        """
        try:
            return self._session.get(url, headers=headers, params=params, timeout=TIMEOUT, stream=True)
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise ServiceError(
                f"{without_query(url)} cannot be reached: {reason_of(error)}",
                "check the address and the network, then run the command again",
            ) from None

    def check_unchanged(self, url: str, version: dict[str, str]) -> None:
        """Compare what an answer tells of a file with what earlier answers told.

        Args:
            url: address of the file.
            version: what identifies its contents, such as the header `ETag`, by name.

        Raises:
            ServiceError: The file is another now.
        """
        known = self._versions.setdefault(url, {})
        if any(known.get(name, value) != value for name, value in version.items()):
            raise ServiceError(f"{without_query(url)} changed while it was read", "run the command again")
        known.update(version)

    def read(self, response: requests.Response, limit: int) -> bytes:
        """The whole body of an answer.

        Raises:
            ServiceError: It ends early or is longer than `limit` bytes.
        """
        url = without_query(response.url)
        parts: list[bytes] = []
        size = 0
        try:
            for part in response.iter_content(1 << 16):
                size += len(part)
                parts.append(part)
                if size > limit:
                    raise ServiceError(
                        f"{url} answered more than {limit} bytes", "check that this is the right address"
                    )
        except requests.RequestException as error:
            raise ServiceError(
                f"the answer of {url} ended early: {reason_of(error)}", "run the command again"
            ) from None
        finally:
            response.close()
            self.bytes_received += size
        return b"".join(parts)


def without_query(url: str) -> str:
    """The address without user, query and fragment, which can hold secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def reason_of(error: BaseException) -> str:
    """What went wrong, told from the innermost cause, without the address."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        inner = [argument for argument in cause.args if isinstance(argument, BaseException)]
        reason = getattr(cause, "reason", None)
        inner += [reason] if isinstance(reason, BaseException) else []
        cause = inner[0] if inner else cause.__cause__ or cause.__context__
    for candidate in reversed(seen):
        if isinstance(candidate, OSError) and candidate.strerror:
            return candidate.strerror
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(seen[-1]).__name__).lower()
