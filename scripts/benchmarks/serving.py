"""`ndvi-archive serve`'s application in a process of its own, which counts what it sends.

python -m benchmarks.serving ARCHIVE
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from etl.load.stores import open_store
from etl.serve.app import build_app
from etl.serve.server import listen, serve_on, url_of

_COUNTS = "/.counts"


class _Counting:
    """An application that tells at `/.counts` how many requests it answered with how many bytes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._requests = 0
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == _COUNTS:
            await JSONResponse({"requests": self._requests, "bytes": self._bytes})(scope, receive, send)
            return
        self._requests += 1

        async def counted(message: Message) -> None:
            self._bytes += len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, counted)


@contextmanager
def serving_archive(archive: Path) -> Iterator[str]:
    """Serve an archive, and yield its URL, without a slash in the end."""
    command = [sys.executable, "-m", "benchmarks.serving", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout  # noqa: S101 - for the type checker
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def counts(url: str) -> dict[str, int]:
    """Requests answered by a server so far, and bytes sent."""
    with urllib.request.urlopen(f"{url}{_COUNTS}") as answer:  # noqa: S310 - this machine's own server
        found: dict[str, int] = json.load(answer)
    return found


def main() -> None:
    """Serve until told to end."""
    with listen("127.0.0.1", 0) as listening:
        print(url_of(listening), flush=True)
        serve_on(listening, _Counting(build_app(open_store(sys.argv[1]))))


if __name__ == "__main__":
    main()
