"""How long a server is waited for: connections give up on answers that come too slowly, or never end.

The time-out of a socket ends the wait for the *next* byte only: a server that sends a byte a minute would
hold a run for ever, in the headers of an answer or in its body. So the waiting is counted where the bytes
arrive.
"""

import errno
import io
import socket
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPResponse
from time import monotonic
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Retry

PORTION = 1 << 16
"""Bytes that must come within `Patience.portion` seconds of waiting."""

LONGEST_HEAD = 1 << 16
"""Bytes of status lines, headers, interim answers, chunk sizes and trailers that may come without content."""


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, in seconds.

    Attributes:
        connect: for a connection.
        silence: for the next byte.
        portion: for each 64 KiB of content, or for the whole of a smaller answer; only waiting for the
            network counts, not the time the bytes wait to be used.
    """

    connect: float = 10.0
    silence: float = 60.0
    portion: float = 120.0


class _PortionedReader(io.RawIOBase):
    """The bytes of a connection, as long as they come fast enough."""

    def __init__(self, source: io.RawIOBase, patience: Patience) -> None:
        self._source = source
        self._patience = patience
        self._waited = 0.0
        self._received = 0
        self._position = 0

    def discount(self, count: int) -> None:
        """Leave bytes that came out of what counts as progress."""
        self._received -= count

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._source.fileno()

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any buffer
        start = monotonic()
        count = self._source.readinto(buffer)
        self._waited += monotonic() - start
        self._received += count or 0
        self._position += count or 0
        if self._received >= PORTION:
            self._received, self._waited = 0, 0.0
        elif count and self._waited > self._patience.portion:
            raise TimeoutError(
                errno.ETIMEDOUT, f"only {max(0, self._received)} bytes came in {self._waited:.0f} seconds"
            )
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _AnswerReader(io.BufferedReader):
    """The bytes of an answer, of which only content is progress: everything else is read line by line."""

    def __init__(self, source: _PortionedReader) -> None:
        super().__init__(source)
        self._source = source
        self._lines = 0
        self._end_of_lines = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        begin = self.tell()
        if begin != self._end_of_lines:
            self._lines = 0
        limit = LONGEST_HEAD + 1
        line = super().readline(limit if size is None or size < 0 else min(size, limit))
        self._end_of_lines = begin + len(line)
        self._lines += len(line)
        if self._lines > LONGEST_HEAD:
            raise OSError(errno.EPROTO, f"more than {LONGEST_HEAD} bytes of headers came without content")
        self._source.discount(len(line))
        return line


class PatientAdapter(HTTPAdapter):
    """Connections whose answers must come fast enough."""

    def __init__(self, patience: Patience, retries: Retry) -> None:
        """Open nothing yet.

        Args:
            patience: how fast.
            retries: what is tried again.
        """
        self._pools = _pools(patience)
        super().__init__(max_retries=retries)

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401 - passed on
        """Make the pool of connections."""
        super().init_poolmanager(*arguments, **settings)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **settings: Any) -> ProxyManager:  # noqa: ANN401 - passed on
        """The pool of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **settings)
        assert isinstance(manager, ProxyManager)  # noqa: S101 - for the type checker
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(patience: Patience) -> dict[str, type]:
    class Response(HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401
            super().__init__(sock, *arguments, **settings)
            self.fp.close()
            source = sock.makefile("rb", buffering=0)
            self.fp = _AnswerReader(_PortionedReader(source, patience))

        def _read_status(self) -> tuple[str, int, str]:
            """The status of the final answer: http.client passes over 100 only, and as often as it comes."""
            while True:
                status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
                if not 100 <= status[1] < 200 or status[1] == HTTPStatus.SWITCHING_PROTOCOLS:
                    return status
                while self.fp.readline() not in (b"\r\n", b"\n", b""):
                    pass

    class Connection(HTTPConnection):
        response_class = Response

    class SecureConnection(HTTPSConnection):
        response_class = Response

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}
