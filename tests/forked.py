"""The program in processes that need no time to start: forked from one that has imported all of it.

They are processes like any other: with their own memory, killed by the kernel and reaped by their parent.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from etl.cli.commands import COMMANDS

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "__main__",
        "tests.forked",
        "etl.catalog.publish",
        "pystac.validation",
        "zarr",
        *(f"etl.cli.{name}" for group in COMMANDS.values() for name in group),
    ]
)


def clean_environment() -> dict[str, str]:
    """The variables of this process without those the program reads."""
    read = ("NDVI_ARCHIVE_", "DESPAUTH_")
    return {name: value for name, value in os.environ.items() if not name.startswith(read)}


def started(
    *arguments: str | Path,
    variables: Mapping[str, str],
    out: Path = Path(os.devnull),
    err: Path = Path(os.devnull),
) -> ForkServerProcess:
    """Start the program in this process's folder.

    Args:
        arguments: its command line.
        variables: environment variables to set; others that the program reads are not set.
        out: file that its standard output is appended to.
        err: file that its standard error is appended to.
    """
    process = _CONTEXT.Process(
        target=_run,
        args=([*map(str, arguments)], {**clean_environment(), **variables}, Path.cwd(), out, err),
    )
    process.start()
    return process


def _run(arguments: list[str], environment: dict[str, str], folder: Path, out: Path, err: Path) -> None:
    from etl.cli import main  # noqa: PLC0415 - this module is imported where the program is not wanted

    # Multiprocessing makes an error of it, where an interpreter ends by the signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for path, descriptor in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, descriptor)
    sys.argv = ["ndvi-archive", *arguments]
    main()
