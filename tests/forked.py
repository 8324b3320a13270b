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

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["__main__", "tests.forked", "etl.cli.convert", "etl.catalog.publish", "zarr"]
)


def started(
    *arguments: str | Path, variables: Mapping[str, str], err: Path = Path(os.devnull)
) -> ForkServerProcess:
    """Start the program.

    Args:
        arguments: its command line.
        variables: environment variables to set.
        err: file that its standard error is appended to.
    """
    process = _CONTEXT.Process(target=_run, args=([*map(str, arguments)], dict(variables), err))
    process.start()
    return process


def _run(arguments: list[str], variables: dict[str, str], err: Path) -> None:
    from etl.cli import main  # noqa: PLC0415 - this module is imported where the program is not wanted

    # Multiprocessing makes an error of it, where an interpreter ends by the signal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.update(variables)
    for path, descriptor in ((Path(os.devnull), 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, descriptor)
    sys.argv = ["ndvi-archive", *arguments]
    main()
