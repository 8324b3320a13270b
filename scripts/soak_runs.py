"""Processes of the program in scripts/soak.py, and how they end."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from tempfile import TemporaryFile
from time import monotonic
from types import TracebackType

from etl.demo.service import Request

PATIENCE = 120.0
"""Seconds after which a process counts as hung."""

PROGRAM = (sys.executable, "-P", "-m", "etl.cli")

Program = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        codes: exit codes of its processes, negative for the signal that ended one.
        hung: how many of them had to be killed.
        err: what they wrote to standard error.
        requests: what the stand-in was asked meanwhile.
    """

    codes: Sequence[int]
    hung: int
    err: str
    requests: Sequence[Request]


class Runs(AbstractContextManager["Runs"]):
    """One process, or more of them at once, on one archive; none is left when the block ends.

    Attributes:
        options: what the first one was started with.
        processes: all that were started.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], *options: str) -> None:
        """Start the first one."""
        self.options = options
        self.processes: list[Program] = []
        self._command, self._variables = command, variables
        self._err = TemporaryFile()  # noqa: SIM115 - closed when the block ends
        self.start(*options)

    def start(self, *options: str) -> Program:
        """Start a process."""
        process = subprocess.Popen(
            [*self._command, *options],
            env={**os.environ, **self._variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._err,
        )
        self.processes.append(process)
        return process

    def err(self) -> str:
        """What all of them have written to standard error."""
        # The place to write at is shared with the processes, and stays where it is.
        size = os.fstat(self._err.fileno()).st_size
        return os.pread(self._err.fileno(), size, 0).decode(errors="replace")

    def finish(self) -> int:
        """Wait for all of them; kill those that hang, and return how many these were."""
        hung = 0
        for process in self.processes:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                hung += 1
                process.kill()
                process.wait()
        return hung

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self._err.close()


def until(process: Program, is_come: Callable[[], object], poll: float) -> None:
    """Wait until something is so, or the process ends."""
    end = monotonic() + PATIENCE
    while process.poll() is None and not is_come() and monotonic() < end:
        pause(process, poll)


def pause(process: Program, seconds: float) -> None:
    """Wait for some time, or until the process ends."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
