"""HTTP for metadata and video: one session, bounded retries, exact byte ranges, no secrets in messages."""

import io
import logging
import random
import re
import time
from typing import Protocol
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

_FIRST_WINDOW = 1 << 18
_LARGEST_WINDOW = 1 << 24
_LONGEST_PAUSE = 30.0


class ByteReader(Protocol):
    """A stream of bytes; some can also jump."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, none at the end."""

    def seekable(self) -> bool:
        """Whether `seek` and `tell` can be used."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Move to a position, as `io.RawIOBase.seek` does."""

    def tell(self) -> int:
        """The present position in bytes."""

    def close(self) -> None:
        """Release what is held."""


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
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"ndvi-archive/{__version__}"
        retry = Retry(
            total=RETRIES,
            backoff_factor=pause,
            backoff_max=_LONGEST_PAUSE,
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
        except requests.RequestException as error:
            raise ServiceError(
                f"{without_query(url)} cannot be reached: {_reason(error)}",
                "check the address and the network, then run the command again",
            ) from None

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
                f"the answer of {url} ended early: {_reason(error)}", "run the command again"
            ) from None
        finally:
            response.close()
            self.bytes_received += size
        return b"".join(parts)


class RemoteFile:
    """A file on an HTTP server, read by ranges: what FFmpeg reads and seeks in.

    Ranges grow while they are read in sequence, so that little more than the needed part is downloaded. A
    connection that breaks is resumed at the exact byte.
    """

    def __init__(self, client: HttpClient, url: str, offset: int = 0, length: int | None = None) -> None:
        """Describe the file; nothing is requested yet.

        Args:
            client: the session to use.
            url: http or https address.
            offset: first byte of the part that is the file.
            length: bytes of that part; None is up to the end.
        """
        self.name = without_query(url)
        self._client = client
        self._url = url
        self._offset = offset
        self._position = offset
        self._end = None if length is None else offset + length
        self._etag: str | None = None
        self._response: requests.Response | None = None
        self._response_end: int | None = None
        self._window = _FIRST_WINDOW

    def read(self, size: int) -> bytes:
        """Up to `size` bytes from the present position, none at the end of the file.

        Raises:
            ServiceError: The server refuses, keeps failing, or the file changed.
        """
        failures = 0
        while self._end is None or self._position < self._end:
            if self._response is None and not self._request():
                return b""
            data = self._receive(size)
            if data:
                return data
            complete = self._response_end is None or self._position >= self._response_end
            at_end = self._response_end is None
            self.close()
            if complete and at_end:
                self._end = self._position
            elif not complete:
                failures += 1
                self._pause(failures)
        return b""

    def seekable(self) -> bool:
        """It is always possible to jump."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, as `io.RawIOBase.seek` does."""
        if whence == io.SEEK_END:
            if self._end is None:
                self._request()
            if self._end is None:
                raise OSError(f"{self.name} does not tell its length")
            target = self._end + offset
        else:
            target = offset + (self._offset if whence == io.SEEK_SET else self._position)
        if target != self._position:
            self.close()
            self._position = target
            self._window = _FIRST_WINDOW
        return self._position - self._offset

    def tell(self) -> int:
        """The present position in bytes."""
        return self._position - self._offset

    def close(self) -> None:
        """Drop the connection, if one is open."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def _receive(self, size: int) -> bytes:
        assert self._response is not None  # noqa: S101 - for the type checker
        if self._response_end is not None:
            size = min(size, self._response_end - self._position)
        try:
            data: bytes = self._response.raw.read(size)
        except (HTTPError, OSError) as error:
            log.info("%s: connection lost at byte %d: %s", self.name, self._position, _reason(error))
            if self._response_end is None:
                self._response_end = self._position + 1
            return b""
        self._position += len(data)
        self._client.bytes_received += len(data)
        return data

    def _request(self) -> bool:
        """Ask for the next range; False where the file has ended."""
        last = self._position + self._window - 1
        if self._end is not None:
            last = min(last, self._end - 1)
        self._window = min(2 * self._window, _LARGEST_WINDOW)
        headers = {"Range": f"bytes={self._position}-{last}", "Accept-Encoding": "identity"}
        response = self._client.get(self._url, headers=headers)
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            response.close()
            if self._end is not None:
                raise ServiceError(
                    f"{self.name} ends at byte {self._position} already", "report it to the service"
                )
            return False
        if response.status_code not in (requests.codes.ok, requests.codes.partial_content):
            response.close()
            raise ServiceError(
                f"{self.name} answered {response.status_code} {response.reason}",
                "run the command again; if it stays so, report it to the service",
            )
        self._check_unchanged(response)
        self._response = response
        if response.status_code == requests.codes.partial_content:
            self._accept_range(response)
        else:
            self._accept_whole(response)
        return True

    def _accept_range(self, response: requests.Response) -> None:
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None or not int(match[1]) == self._position <= int(match[2]):
            self.close()
            raise ServiceError(
                f"{self.name} answered another range than it was asked for", "report it to the service"
            )
        self._response_end = int(match[2]) + 1
        if match[3] != "*" and self._end is None:
            self._end = int(match[3])

    def _accept_whole(self, response: requests.Response) -> None:
        """The server ignores ranges: skip what comes before the present position."""
        length = response.headers.get("Content-Length", "")
        self._response_end = int(length) if length.isdecimal() else None
        if self._end is None:
            self._end = self._response_end
        target, self._position = self._position, 0
        while self._position < target:
            if not self._receive(min(1 << 16, target - self._position)):
                raise ServiceError(f"{self.name} ended early", "run the command again")

    def _check_unchanged(self, response: requests.Response) -> None:
        etag = response.headers.get("ETag")
        if self._etag is not None and etag != self._etag:
            response.close()
            raise ServiceError(f"{self.name} changed while it was read", "run the command again")
        self._etag = etag

    def _pause(self, failures: int) -> None:
        if failures > RETRIES:
            raise ServiceError(
                f"{self.name} breaks off at byte {self._position}, {failures} times in a row",
                "run the command again; if it stays so, report it to the service",
            )
        pause = min(_LONGEST_PAUSE, self._client.pause * 2 ** (failures - 2))
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311


def without_query(url: str) -> str:
    """The address without user, query and fragment, which can hold secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _reason(error: BaseException) -> str:
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
