"""Run one command and measure it with all the processes it starts; a small process that does nothing else.

python -S runner.py RESULT.json COMMAND ARGUMENT…

It is small, and imports the standard library alone, because what the kernel tells of a child's peak memory
begins with that of its parent.

Wall time is from before the command is started until it has ended. CPU time is user and system time of all
processes below this one, as the kernel adds it up when they have been waited for; this process adopts those
whose parent has ended, so that none is missed. Peak memory is that of the kernel's own count (the highest
resident size) where the command is one process; where there are several at a time, the highest sum of their
proportional sizes (PSS, which counts a page that n share as 1/n each), sampled twenty times a second, if that
is more.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

_SET_CHILD_SUBREAPER = 36
_SAMPLED_EVERY = 0.05
_PATIENCE = 10.0


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - this process stays small
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def _descendants(pid: int) -> list[int]:
    found = _children(pid)
    for child in found:
        found += _children(child)
    return found


def _proportional(pid: int) -> int:
    """PSS of a process in bytes; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class _Sampler(threading.Thread):
    """Watches the memory of the processes below this one."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.most = 1
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(_SAMPLED_EVERY):
            processes = _descendants(os.getpid())
            self.most = max(self.most, len(processes))
            if len(processes) > 1:
                self.peak = max(self.peak, sum(map(_proportional, processes)))


def _end_others() -> int:
    """Wait for what the command left running, at last kill it; return how many had to be."""
    left = 0
    patience = time.monotonic() + _PATIENCE
    while _descendants(os.getpid()) and time.monotonic() < patience:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        time.sleep(0.01)
    while processes := _descendants(os.getpid()):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                _, status = os.wait()
                left += os.WIFSIGNALED(status)
    return left


def main() -> None:
    """Run, measure, write the figures as JSON, and end with the command's exit code."""
    result, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sampler = _Sampler()
    sampler.start()
    begun = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status = os.waitpid(pid, 0)
    wall = time.monotonic() - begun
    sampler.ended.set()
    sampler.join()
    left = _end_others()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {
        "code": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "system": usage.ru_stime,
        "peak": max(usage.ru_maxrss * 1024, sampler.peak),
        "processes": sampler.most,
        "left": left,
    }
    Path(result).write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
