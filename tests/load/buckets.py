"""Buckets of a real S3 protocol server."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from moto.server import ThreadedMotoServer

from etl.load.bucket import Bucket

BUCKET = "archives"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "demo-key",
    "AWS_SECRET_ACCESS_KEY": "demo-secret",
    "AWS_REGION": "eu-central-1",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """A server with one empty bucket; its address."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        requests.put(f"{address}/{BUCKET}", timeout=30).raise_for_status()
        yield address
    finally:
        server.stop()


def variables(address: str) -> dict[str, str]:
    """What points a program to the server."""
    return {**CREDENTIALS, "AWS_ENDPOINT_URL": address}


class WatchedBucket(Bucket):
    """A bucket that notes every object written, and that refuses all from one of them on."""

    def __init__(
        self, url: str, *, refused_from: int | None = None, after: Callable[[], None] | None = None
    ) -> None:
        super().__init__(url)
        self.puts: list[str] = []
        self._refused_from = refused_from
        self._after = after
        self._lock = threading.RLock()

    def _written(self, key: str, data: bytes, mode: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as obstore has it
        with self._lock:
            if self._refused_from is not None and len(self.puts) >= self._refused_from:
                raise OSError(f"put {self._refused_from} of {key} was refused")
            result = super()._written(key, data, mode)
            self.puts.append(key)
            if self._after:
                self._after()
            return result


def clean(address: str) -> None:
    """Forget all that is in the server, and begin with an empty bucket again."""
    requests.post(f"{address}/moto-api/reset", timeout=30).raise_for_status()
    requests.put(f"{address}/{BUCKET}", timeout=30).raise_for_status()


def point_here(address: str) -> None:
    """Let this process use the server."""
    os.environ.update(variables(address))
