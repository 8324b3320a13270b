"""The program serving an archive, and a client that sends exactly what it is told to."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.forked import clean_environment
from tests.program import PROGRAM


@dataclass(frozen=True)
class Serving:
    """A server that answers.

    Attributes:
        process: the program.
        line: what it said on standard output when it began.
    """

    process: subprocess.Popen[str]
    line: str

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return self.line.rsplit(" ", 1)[1].strip().rstrip("/")


@contextmanager
def serving(
    archive: str | Path, *arguments: str, variables: Mapping[str, str] | None = None
) -> Iterator[Serving]:
    """Serve an archive on a free port until the block ends."""
    command = [PROGRAM, "serve", "--archive", archive, "--port", "0", *arguments]
    environment = clean_environment() | dict(variables or {})
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield Serving(process, process.stdout.readline())
        finally:
            process.terminate()


@dataclass(frozen=True)
class Answer:
    """What a server answered; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(url: str, path: str, method: str = "GET", **headers: str) -> Answer:
    """Send a request whose path is not changed in any way; `if_range="x"` is the header `If-Range`."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.putrequest(method, path, skip_host="host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()
