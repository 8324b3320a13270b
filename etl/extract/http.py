"""HTTP for metadata and video: one session, bounded retries, exact byte ranges, no secrets in messages."""

import logging
import random
import re
import time
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import requests
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from etl import __version__
from etl.errors import ServiceError
from etl.extract.patience import Patience, PatientAdapter

log = logging.getLogger(__name__)

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
    """Retries that are told."""

    tell: Callable[[str, int], None]

    def new(self, **settings: Any) -> Self:  # noqa: ANN401 - passed on as they come
        following = super().new(**settings)
        following.tell = self.tell
        return following

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,  # noqa: ANN401 - passed on
        *args: Any,  # noqa: ANN401 - passed on
        **settings: Any,  # noqa: ANN401 - passed on
    ) -> Self:
        following = super().increment(method, url, response, *args, **settings)
        if response is not None:
            # Else its body would be read to the end, however long that is.
            response.close()
        last = following.history[-1]
        why = f"answered {last.status}" if last.status else f"failed: {reason_of(last.error or OSError())}"
        self.tell(f"{without_query(url or '')} {why}", RETRIES - int(following.total or 0))
        return following


class HttpClient:
    """A session that retries connection errors, 429 (after `Retry-After`) and 5xx a few times.

    Attributes:
        bytes_received: bytes of all bodies read so far.
        retries: requests, connections and addresses that were tried again so far.
        patience: how long a server is waited for.
    """

    def __init__(self, pause: float = 0.5, patience: Patience | None = None) -> None:
        """Open nothing yet.

        Args:
            pause: seconds to wait before a second retry; twice as long before every further one.
            patience: how long a server is waited for.
        """
        self.bytes_received = 0
        self.retries = 0
        self.patience = patience or Patience()
        self._pause = pause
        self._session = _Session()
        self._versions: dict[str, dict[str, str]] = {}
        self._session.headers["User-Agent"] = f"ndvi-archive/{__version__}"
        self._session.hooks["response"].append(_drop_redirection)
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
        retry.tell = self.tell_retry
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, PatientAdapter(self.patience, retry))

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
        timeout = (self.patience.connect, self.patience.silence)
        try:
            return self._session.get(url, headers=headers, params=params, timeout=timeout, stream=True)
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise ServiceError(
                f"{without_query(url)} cannot be reached: {reason_of(error)}",
                "check the address and the network, then run the command again",
            ) from None

    def tell_retry(self, why: str, attempt: int) -> None:
        """Count and log that something is tried again.

        Args:
            why: what happened, and to what.
            attempt: how often that makes it without progress.
        """
        self.retries += 1
        fields = {"reason": why, "attempt": attempt, "of": RETRIES}
        log.warning(
            "%s; trying again (%d of %d)", why, attempt, RETRIES, extra={"event": "retry", "fields": fields}
        )

    def pause_before(self, attempt: int) -> None:
        """Wait before a retry: twice as long before every further one, and not always equally long."""
        pause = min(LONGEST_PAUSE, self._pause * 2.0 ** (attempt - 2))
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311

    def check_unchanged(self, identity: str, version: dict[str, str]) -> None:
        """Compare what an answer tells of a file with what earlier answers told.

        Args:
            identity: the address the file had first.
            version: what identifies its contents, such as the header `ETag`, by name.

        Raises:
            ServiceError: The file is another now.
        """
        known = self._versions.setdefault(identity, {})
        if any(known.get(name, value) != value for name, value in version.items()):
            raise ServiceError(
                f"{without_query(identity)} changed while it was read", "run the command again"
            )
        known.update(version)

    def whole(self, send: Callable[[], requests.Response], limit: int) -> tuple[requests.Response, bytes]:
        """An answer and the whole of its body; where that breaks off it is asked for again.

        Args:
            send: sends the request.
            limit: most bytes the body may have.

        Raises:
            ServiceError: There is no answer, it keeps breaking off, or it is too long.
        """
        attempt = 0
        while True:
            response = send()
            try:
                return response, self._body(response, limit)
            except requests.RequestException as error:
                why = f"the answer of {without_query(response.url)} ended early: {reason_of(error)}"
            attempt += 1
            if attempt > RETRIES:
                raise ServiceError(why, "run the command again; if it stays so, report it to the service")
            self.tell_retry(why, attempt)
            self.pause_before(attempt)

    def _body(self, response: requests.Response, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            for part in response.iter_content(1 << 16):
                size += len(part)
                parts.append(part)
                if size > limit:
                    raise ServiceError(
                        f"{without_query(response.url)} answered more than {limit} bytes",
                        "check that this is the right address",
                    )
        finally:
            response.close()
            self.bytes_received += size
        return b"".join(parts)


def _drop_redirection(response: requests.Response, **settings: object) -> None:
    """Close a redirection unread: its body would be read to the end, however long that is."""
    if response.is_redirect:
        response.raw.close()


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
