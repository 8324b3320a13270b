"""Buckets of a real S3 protocol server, and what can befall them."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import obstore
import requests
from obstore.store import S3Store

from etl.load.bucket import Bucket
from tests.forked import started
from tests.program import Ended

if TYPE_CHECKING:
    from obstore import PutMode, PutResult

BUCKET = "archives"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "demo-key",
    "AWS_SECRET_ACCESS_KEY": "demo-secret",
    "AWS_REGION": "eu-central-1",
}


@contextmanager
def s3_server() -> Iterator[str]:
    """A server in a process of its own, with one empty bucket; its address."""
    program = Path(__file__).with_name("s3_server.py")
    with subprocess.Popen([sys.executable, "-P", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            requests.put(f"{address}/{BUCKET}", timeout=30).raise_for_status()
            yield address
        finally:
            process.kill()


def faults(address: str, *rules: dict[str, object]) -> None:
    """From now on requests meet these faults, and no others; see `tests.load.s3_server.Rule`."""
    requests.post(f"{address}/faults", json=rules, timeout=30).raise_for_status()


def met(address: str) -> int:
    """How many requests the first rule was meant for."""
    answer: list[int] = requests.get(f"{address}/faults", timeout=30).json()
    return answer[0]


def wait_until_held(address: str) -> None:
    """Wait until a rule holds a request back."""
    requests.get(f"{address}/faults/held", timeout=120).raise_for_status()


def wait_until_quiet(address: str) -> None:
    """Wait until no request is under way, as of a process that was killed."""
    requests.get(f"{address}/faults/quiet", timeout=120).raise_for_status()


def raw(address: str, prefix: str | None = None) -> S3Store:
    """All of the bucket, or what is below a prefix, by a client that is not ours."""
    keys = {name.lower(): value for name, value in CREDENTIALS.items()}
    http = {"allow_http": True}
    return S3Store(BUCKET, prefix=prefix, config=keys, endpoint=address, client_options=http)  # type: ignore[arg-type]


def read(address: str, key: str) -> bytes:
    return bytes(obstore.get(raw(address), key).bytes())


def outlive(address: str, folder: str) -> None:
    """Let the lease of a folder in the bucket be as if it had not been renewed for its whole lifetime."""
    wait_until_quiet(address)
    text = json.loads(read(address, f"{folder}/.lease"))
    obstore.put(raw(address), f"{folder}/.lease", json.dumps({**text, "seconds": -5.0}).encode())


def variables(address: str) -> dict[str, str]:
    """What points a program to the server."""
    return {**CREDENTIALS, "AWS_ENDPOINT_URL": address}


def outlive_all(address: str, *folders: str) -> None:
    """Let the leases that were not given back be of the dead."""
    wait_until_quiet(address)
    for folder in folders:
        with suppress(FileNotFoundError):
            if read(address, f"{folder}/.lease"):
                outlive(address, folder)


def in_fork(address: str, *arguments: str, variables_too: Mapping[str, str] | None = None) -> Ended:
    """Run the program on archives in the bucket to its end, without its output."""
    with TemporaryDirectory() as folder:
        err = Path(folder, "err")
        process = started(*arguments, variables=variables(address) | dict(variables_too or {}), err=err)
        process.join(120)
        assert process.exitcode is not None, "it hangs"
        return Ended(process.exitcode, "", err.read_text())


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

    def _written(self, key: str, data: bytes | memoryview, mode: "PutMode") -> "PutResult":
        with self._lock:
            if self._refused_from is not None and len(self.puts) >= self._refused_from:
                raise OSError(f"put {self._refused_from} of {key} was refused")
            result = super()._written(key, data, mode)
            self.puts.append(key)
            if self._after:
                self._after()
            return result


def clean(address: str) -> None:
    """Forget all that is in the server, and begin with an empty bucket again, and without faults."""
    faults(address)
    requests.post(f"{address}/moto-api/reset", timeout=30).raise_for_status()
    requests.put(f"{address}/{BUCKET}", timeout=30).raise_for_status()
