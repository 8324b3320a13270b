"""A Dask cluster of real processes, as an operator starts it."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.forked import clean_environment


@dataclass(frozen=True)
class DaskCluster:
    """A scheduler and its workers.

    Attributes:
        address: address of the scheduler.
        scheduler: its process.
        log: file of what the processes say.
    """

    address: str
    scheduler: "subprocess.Popen[str]"
    log: Path


@contextmanager
def dask_cluster(folder: Path, variables: Mapping[str, str]) -> Iterator[DaskCluster]:
    """A scheduler and two workers of one thread each.

    Args:
        folder: where they work.
        variables: environment variables to set.
    """
    log = folder / "log"
    environment = clean_environment() | dict(variables)
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    with (
        log.open("w") as out,
        subprocess.Popen(
            _command("scheduler", *local, "--port", "0"),
            env=environment,
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        ) as scheduler,
    ):
        assert scheduler.stderr is not None
        found = (re.search(r"Scheduler at: +(tcp://\S+)", line) for line in scheduler.stderr)
        address = next(match[1] for match in found if match)
        two = ["--nworkers", "2", "--nthreads", "1", "--memory-limit", "0", "--local-directory", str(folder)]
        with subprocess.Popen(
            _command("worker", address, *local, *two), env=environment, cwd=folder, stderr=out
        ) as workers:
            try:
                yield DaskCluster(address, scheduler, log)
            finally:
                workers.terminate()
                workers.wait(60)
                scheduler.terminate()


def _command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "dask", name, *arguments]
