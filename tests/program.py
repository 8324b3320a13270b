"""The program, run as a user or a timer runs it."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from etl.demo.service import StandIn
from tests.forked import clean_environment, started

PROGRAM = Path(sys.executable).with_name("ndvi-archive")


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that tells what went wrong; there must be exactly one, and no traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0].removeprefix("Error: ")


def with_token(service: StandIn) -> dict[str, str]:
    """The variables that point the program to a stand-in, and spare it the login."""
    return {"NDVI_ARCHIVE_API_URL": service.api_url, "NDVI_ARCHIVE_TOKEN": service.issue_token()}


def with_login(service: StandIn) -> dict[str, str]:
    """The variables that point the program to a stand-in, and let it log in."""
    return {"NDVI_ARCHIVE_API_URL": service.api_url, **service.environment}


def run(*arguments: str | Path, variables: Mapping[str, str] | None = None) -> Ended:
    """Run the program to its end, without a terminal.

    Variables of Python itself need a process that is not forked.
    """
    if any(name.startswith("PYTHON") for name in variables or {}):
        return _executed(*arguments, variables=variables or {})
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = started(*arguments, variables=variables or {}, out=out, err=err)
        process.join(120)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{arguments} does not end: {err.read_text()}")
        return Ended(process.exitcode, out.read_text(), err.read_text())


def _executed(*arguments: str | Path, variables: Mapping[str, str]) -> Ended:
    done = subprocess.run(
        [PROGRAM, *arguments],
        env=clean_environment() | dict(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def at_a_terminal(
    *arguments: str | Path,
    stream: Literal["stdout", "stderr"],
    variables: Mapping[str, str],
    code: int = 0,
) -> str:
    """Run the program with a terminal as one of its streams; return what it shows there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [PROGRAM, *arguments],
        env=clean_environment() | {"TERM": "xterm", "COLUMNS": "100"} | dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=theirs if stream == "stdout" else subprocess.DEVNULL,
        stderr=theirs if stream == "stderr" else subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:  # Linux tells the end of a terminal as an error.
                break
        os.close(ours)
    assert process.returncode == code
    return shown.decode().replace("\r\n", "\n")


def convert(service: StandIn, archive: Path, *arguments: str | Path) -> Ended:
    """Run `convert Europe` against a stand-in."""
    return run("convert", "Europe", "--archive", archive, *arguments, variables=with_token(service))


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
