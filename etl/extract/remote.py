"""A file on an HTTP server, read by ranges, and what all readers of bytes have in common."""

import io
import logging
import random
import re
import time
from typing import Protocol

import requests
from urllib3.exceptions import HTTPError

from etl.errors import ServiceError
from etl.extract.http import LONGEST_PAUSE, RETRIES, HttpClient, reason_of, without_query

log = logging.getLogger(__name__)

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
            data: bytes = self._response.raw.read(size)
        except (HTTPError, OSError) as error:
            log.info("%s: connection lost at byte %d: %s", self.name, self._position, reason_of(error))
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
                raise ServiceError(f"{self.name} ended early", "run the command again")

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
            self._client.check_unchanged(self._url, version)
        except ServiceError:
            self.close()
            raise

    def _pause(self, failures: int) -> None:
        if failures > RETRIES:
            raise ServiceError(
                f"{self.name} breaks off at byte {self._position}, {failures} times in a row",
                "run the command again; if it stays so, report it to the service",
            )
        pause = min(LONGEST_PAUSE, self._client.pause * 2 ** (failures - 2))
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
