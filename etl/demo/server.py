"""A web server in a thread, whose answers can break off at an exact byte."""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol


class _OpenProtocol(H11Protocol):
    """Hands the connection itself to the application, as `scope["state"]["transport"]`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = cast(ASGIApp, self.app)

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"]["transport"] = transport
            await app(scope, receive, send)

        self.app = cast(Any, with_transport)


class _Server(uvicorn.Server):
    """Announces its start and stops at once, whatever its connections do."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = threading.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.serving.set()
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1)
            # Uvicorn renews the date that it sends.
            await self.on_tick(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*self.server_state.tasks)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)


class ServerThread:
    """Serves an application on 127.0.0.1 from `start` to `stop`.

    Args:
        port: Port to listen on; 0 takes a free one.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        # Otherwise the kernel holds every small answer back for 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self, app: ASGIApp) -> None:
        """Return once requests are answered."""
        config = uvicorn.Config(
            app,
            http=_OpenProtocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="stand-in", daemon=True
        )
        self._thread.start()
        self._server.serving.wait()

    def stop(self) -> None:
        """Close all connections and return once the thread has ended."""
        self._server.stop()
        self._thread.join()


class Connection:
    """The connection an answer goes out on."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._transport: asyncio.Transport = scope["state"]["transport"]
        self._closed = asyncio.ensure_future(_until_closed(receive))

    async def closed_within(self, seconds: float | None) -> bool:
        """Wait; return at once, and True, when the other side or the server closes the connection."""
        done, _ = await asyncio.wait({self._closed}, timeout=seconds)
        return bool(done)

    async def close(self) -> None:
        """Close it after what was sent has gone out."""
        self._transport.close()
        await self._closed

    def release(self) -> None:
        """Stop watching it."""
        self._closed.cancel()


async def _until_closed(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
