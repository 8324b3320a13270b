"""Processes of the program in scripts/soak.py, and how they end."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import TracebackType

from etl.demo.service import Request
from tests.forked import started

PATIENCE = 120.0
"""Seconds after which a process counts as hung."""

Program = ForkServerProcess


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
        self._folder = TemporaryDirectory()
        self._err = Path(self._folder.name, "err")
        self.start(*options)

    def start(self, *options: str) -> Program:
        """Start a process."""
        process = started(*self._command, *options, variables=self._variables, err=self._err)
        self.processes.append(process)
        return process

    def err(self) -> str:
        """What all of them have written to standard error."""
        return self._err.read_text(errors="replace") if self._err.exists() else ""

    def finish(self) -> int:
        """Wait for all of them; kill those that hang, and return how many these were."""
        hung = 0
        for process in self.processes:
            process.join(PATIENCE)
            if process.exitcode is None:
                hung += 1
                process.kill()
                process.join()
        return hung

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill()
            process.join()
        self._folder.cleanup()


def until(process: Program, is_come: Callable[[], object], poll: float) -> None:
    """Wait until something is so, or the process ends."""
    end = monotonic() + PATIENCE
    while process.exitcode is None and not is_come() and monotonic() < end:
        process.join(poll)


def send(process: Program, number: signal.Signals) -> bool:
    """Send a signal to a process, if it has not ended."""
    if process.exitcode is None and process.pid:
        os.kill(process.pid, number)
        return True
    return False


def is_stopped(process: Program) -> bool:
    """Wait until a process that was sent SIGSTOP stands still; False where it has ended."""
    stat = Path(f"/proc/{process.pid}/stat")
    until(process, lambda: _state(stat) == "T", 0.001)
    return process.exitcode is None


def _state(stat: Path) -> str:
    try:
        return stat.read_text().rpartition(") ")[2][:1]
    except FileNotFoundError:
        return ""
