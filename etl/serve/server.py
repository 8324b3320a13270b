"""Listening on an address, and answering until told to end."""

import asyncio
import logging
import os
import resource
import signal
import socket
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from etl.errors import UsageError

_SECONDS_TO_FINISH = 5
"""How long answers under way may take after the server was told to end."""

_SECONDS_TO_ASK = 10.0
"""How long a client may take for the head of a request."""

_MOST_CONNECTIONS = 2000
"""More are answered with 503."""


class _ImpatientProtocol(H11Protocol):
    """Closes a connection on which the head of a request does not come to its end."""

    _leaving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _wait_for_request(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._leaving is None:
            self._leaving = self.loop.call_later(_SECONDS_TO_ASK, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address; requests wait until they are answered.

    Args:
        host: name or address of one of this machine's interfaces.
        port: port, or 0 for one that is free.

    Raises:
        UsageError: The address cannot be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.create_server(address[:2], family=family, backlog=1024)
    except (OSError, UnicodeError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number and number > 0 else getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot listen on port {port} of {host}: {reason}", "give another --port or --host"
        ) from error
    # Otherwise the kernel holds the end of every small answer back for 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def url_of(listening: socket.socket) -> str:
    """The address of a listening socket as a browser on this machine can open it."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what was listened on
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve_on(listening: socket.socket, app: ASGIApp) -> None:
    """Answer requests until SIGINT or SIGTERM, then finish those under way."""
    _allow_connections()
    config = uvicorn.Config(
        app,
        http=_ImpatientProtocol,
        limit_concurrency=_MOST_CONNECTIONS,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    server = uvicorn.Server(config)
    _tell_in_one_line(logging.getLogger("uvicorn.error"))

    def end(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn has handlers of its own while it runs, and afterwards raises what it got for these.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    server.run([listening])


def _allow_connections() -> None:
    """Let this process have as many files open as its connections need, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _MOST_CONNECTIONS + 100
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _tell_in_one_line(logger: logging.Logger) -> None:
    """Let uvicorn's errors be lines of this program's log, without tracebacks.

    Its warnings are about clients that do not speak HTTP.
    """
    own = logging.getLogger("etl")
    logger.handlers, logger.propagate = list(own.handlers), False
    logger.setLevel(logging.ERROR)
    logger.addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        record.msg, record.args = f"{record.getMessage().strip()}: {type(error).__name__}: {error}", ()
        record.exc_info = None
    return True
