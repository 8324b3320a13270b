"""A file on an HTTP server, read by ranges, and what all readers of bytes have in common."""

import io
import re
from typing import Protocol

import requests
from urllib3.exceptions import HTTPError

from etl.errors import ServiceError
from etl.extract.address import Address
from etl.extract.http import RETRIES, HttpClient, reason_of
from etl.extract.patience import PORTION

_FIRST_WINDOW = 1 << 18
_LARGEST_WINDOW = 1 << 24


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


class RemoteFile:
    """A file on an HTTP server, read by ranges: what FFmpeg reads and seeks in.

    Ranges grow while they are read in sequence, so that little more than the needed part is downloaded. A
    connection that breaks is resumed at the exact byte, and so is one whose address has expired.
    """

    def __init__(
        self, client: HttpClient, address: Address | str, offset: int = 0, length: int | None = None
    ) -> None:
        """Describe the file; nothing is requested yet.

        Args:
            client: the session to use.
            address: http or https address.
            offset: first byte of the part that is the file.
            length: bytes of that part; None is up to the end.
        """
        self._client = client
        self._address = Address(client, address) if isinstance(address, str) else address
        self._offset = offset
        self._position = offset
        self._end = None if length is None else offset + length
        self._response: requests.Response | None = None
        self._response_end: int | None = None
        self._window = _FIRST_WINDOW
        self._failures = 0
        self._failed_at = offset
        self._why = ""

    @property
    def name(self) -> str:
        """The address without what could be secret."""
        return self._address.name

    def read(self, size: int) -> bytes:
        """Up to `size` bytes from the present position, none at the end of the file.

        Raises:
            ServiceError: The server refuses, keeps failing, or the file changed.
            LoginError: The address expired, and asking for another one is refused.
        """
        while self._end is None or self._position < self._end:
            if self._response is None and not self._request():
                return b""
            data = self._receive(size) if self._response is not None else b""
            if data:
                return data
            complete = self._response_end is None or self._position >= self._response_end
            at_end = self._response_end is None
            self.close()
            if complete and at_end:
                self._end = self._position
            elif not complete:
                self._try_again()
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
                raise io.UnsupportedOperation(f"{self.name} does not tell its length")
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
            # What has come is taken at once, so that nothing is lost with the connection.
            data: bytes = self._response.raw.read1(size)
        except (HTTPError, OSError) as error:
            self._why = reason_of(error)
            if self._response_end is None:
                self._response_end = self._position + 1
            return b""
        self._position += len(data)
        self._client.bytes_received += len(data)
        return data

    def _request(self) -> bool:
        """Ask for the next range; False where the file has ended."""
        self.close()
        last = self._position + self._window - 1
        if self._end is not None:
            last = min(last, self._end - 1)
        self._window = min(2 * self._window, _LARGEST_WINDOW)
        headers = {"Range": f"bytes={self._position}-{last}", "Accept-Encoding": "identity"}
        response = self._address.get(headers)
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            response.close()
            if self._end is not None:
                raise ServiceError(
                    f"{self.name} ends at byte {self._position} already", "report it to the service"
                )
            return False
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
        self._check_unchanged(response, "" if match[3] == "*" else match[3])
        if match[3] != "*" and self._end is None:
            self._end = int(match[3])
        self._limit_to(int(match[2]) + 1)

    def _accept_whole(self, response: requests.Response) -> None:
        """The server ignores ranges: skip what comes before the present position."""
        length = response.headers.get("Content-Length", "")
        self._check_unchanged(response, length if length.isdecimal() else "")
        if length.isdecimal() and self._end is None:
            self._end = int(length)
        self._limit_to(int(length) if length.isdecimal() else None)
        target, self._position = self._position, 0
        while self._position < target:
            if not self._receive(min(1 << 16, target - self._position)):
                # Lost on the way there: that is no progress.
                self.close()
                self._position, self._response_end = target, target + 1

    def _limit_to(self, end: int | None) -> None:
        """The answer goes up to this byte, but no further than the file."""
        ends = [limit for limit in (end, self._end) if limit is not None]
        self._response_end = min(ends, default=None)

    def _check_unchanged(self, response: requests.Response, length: str) -> None:
        version = {
            name: response.headers[name] for name in ("ETag", "Last-Modified") if name in response.headers
        }
        if length:
            version["length"] = length
        try:
            self._client.check_unchanged(self._address.identity, version)
        except ServiceError:
            self.close()
            raise

    def _try_again(self) -> None:
        """Wait a little after a lost connection; the less has come since the one before, the less often."""
        if self._position - self._failed_at >= PORTION or self._position < self._failed_at:
            self._failures = 0
        self._failures += 1
        self._failed_at = self._position
        why, self._why = self._why or "the connection was closed", ""
        if self._failures > RETRIES:
            raise ServiceError(
                f"{self.name} breaks off at byte {self._position}, {self._failures} times in a row: {why}",
                "run the command again; if it stays so, report it to the service",
            )
        self._client.tell_retry(f"{self.name} breaks off at byte {self._position}: {why}", self._failures)
        self._client.pause_before(self._failures)
