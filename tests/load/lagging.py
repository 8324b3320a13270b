"""A real HTTP proxy before an S3 server, whose listings lack objects that are there: eventual consistency.

Everything passes as it is, faults and all, but answers that list a bucket: they lack the keys that match one
of the patterns, and those that were written too short a time ago. A folder of nothing else lacks as well.

As a program it takes the server's address, prints its own, and serves until it is killed.
"""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from html import unescape
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from urllib.parse import parse_qs, quote, unquote, urlsplit

from requests import get, post

_CONTROL = "/lag"
_ENTRY = re.compile(r"<Contents>.*?<Key>(.*?)</Key>.*?</Contents>", re.DOTALL)
_FOLDER = re.compile(r"<CommonPrefixes>\s*<Prefix>(.*?)</Prefix>\s*</CommonPrefixes>", re.DOTALL)
_COUNT = re.compile(r"<KeyCount>\d+</KeyCount>")
_NOT_PASSED = ("connection", "transfer-encoding", "keep-alive", "date", "server")


@contextmanager
def lagging(server: str) -> Iterator[str]:
    """A proxy in a process of its own before the server at an address; its address."""
    with subprocess.Popen(
        [sys.executable, "-P", Path(__file__), server], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def lag(address: str, *hidden: str, requests: int = 0, seconds: float = 0.0) -> None:
    """From now on, listings by a proxy lack these keys, and no others.

    Args:
        address: the proxy's.
        hidden: regular expressions found in the keys meant, the bucket's name left out.
        requests: keys written within the last so many requests are meant, too.
        seconds: and those written within the last so many seconds.
    """
    asked = {"hidden": hidden, "requests": requests, "seconds": seconds}
    post(f"{address}{_CONTROL}", json=asked, timeout=30).raise_for_status()


def left_out(address: str) -> int:
    """How many entries the listings have lacked since `lag` was last called."""
    return int(get(f"{address}{_CONTROL}", timeout=30).json()["left_out"])


@dataclass
class Lag:
    """Which keys listings lack; see `lag`."""

    hidden: Sequence[str] = ()
    requests: int = 0
    seconds: float = 0.0
    left_out: int = 0


class Proxy(ThreadingHTTPServer):
    """The proxy."""

    daemon_threads = True

    def __init__(self, server: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server = urlsplit(server).netloc
        self.lag = Lag()
        self._requests = 0
        self._written: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def handle_error(self, *_: object) -> None:
        """A client was killed."""

    def note(self, method: str, path: str) -> None:
        """Take account of a request that was obeyed."""
        with self._lock:
            self._requests += 1
            if method == "PUT":
                self._written[unquote(urlsplit(path).path)] = self._requests, monotonic()

    def listed(self, bucket: str, answer: str, path: str) -> str:
        """What is left of a listing."""
        whole = answer
        for entry in _ENTRY.finditer(whole):
            if self._lacks(bucket, _plain(entry[1])):
                answer = answer.replace(entry[0], "")
        for folder in _FOLDER.finditer(whole):
            if self._is_of_those(bucket, _plain(folder[1]), path):
                answer = answer.replace(folder[0], "")
        count = len(_ENTRY.findall(answer)) + len(_FOLDER.findall(answer))
        with self._lock:
            self.lag.left_out += len(_ENTRY.findall(whole)) + len(_FOLDER.findall(whole)) - count
        return _COUNT.sub(f"<KeyCount>{count}</KeyCount>", answer)

    def _lacks(self, bucket: str, key: str) -> bool:
        count, moment = self._written.get(f"/{bucket}/{key}", (0, 0.0))
        young = count and (
            self._requests - count < self.lag.requests or monotonic() - moment < self.lag.seconds
        )
        return bool(young) or any(re.search(pattern, key) for pattern in self.lag.hidden)

    def _is_of_those(self, bucket: str, prefix: str, path: str) -> bool:
        """Whether listings lack all that is in a folder."""
        connection = HTTPConnection(self.server, timeout=60)
        query = f"list-type=2&max-keys=1000&prefix={quote(prefix)}"
        connection.request("GET", f"{urlsplit(path).path}?{query}")
        keys = [_plain(entry[1]) for entry in _ENTRY.finditer(connection.getresponse().read().decode())]
        connection.close()
        return all(self._lacks(bucket, key) for key in keys)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == _CONTROL:
            if self.command == "POST":
                self.server.lag = Lag(**json.loads(body))
            self._send(200, {}, json.dumps(asdict(self.server.lag)).encode())
            return
        connection = HTTPConnection(self.server.server, timeout=120)
        try:
            # With the client's Host, which it has signed.
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, HTTPException):
            self.close_connection = True
            return
        finally:
            connection.close()
        if answer.status < 300:
            self.server.note(self.command, self.path)
        url = urlsplit(self.path)
        bucket, _, key = url.path.strip("/").partition("/")
        if self.command == "GET" and not key and b"<ListBucketResult" in data[:500]:
            assert "versions" not in parse_qs(url.query, keep_blank_values=True)
            data = self.server.listed(bucket, data.decode(), self.path).encode()
        self._send(answer.status, dict(answer.getheaders()), data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815 - as http.server has it

    def _send(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _NOT_PASSED and (
                name.lower() != "content-length" or self.command == "HEAD"
            ):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


def _plain(text: str) -> str:
    return unquote(unescape(text))


def main() -> None:
    """Serve."""
    proxy = Proxy(sys.argv[1])
    print(f"http://127.0.0.1:{proxy.server_port}", flush=True)
    proxy.serve_forever()


if __name__ == "__main__":
    main()
