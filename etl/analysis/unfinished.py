"""Where files are until they are whole."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from etl.errors import BusyError

_PREFIX = ".unfinished-"
_LOCK = "lock"
"""File in the folder, locked as long as its process lives."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes and threads that ask for it out of a folder.

    Raises:
        BusyError: Another one is in it.
        OSError: There is no such folder.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"another export is writing to {folder}", "let it end, or name another folder"
            ) from None
        except OSError:
            # Some network file systems know no locks.
            pass
        yield
    finally:
        os.close(lock)


@contextmanager
def unfinished_files(folder: Path) -> Iterator[Path]:
    """A hidden folder within a folder: what is made there can be moved out of it at once.

    It is removed in the end, and those that killed processes have left are, too.

    Raises:
        OSError: The folder cannot be written to.
    """
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _clear(left)
    own, lock = _new(folder)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(lock)


def _clear(left: Path) -> None:
    try:
        lock = os.open(left / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        # It is about to get one, or never will: a process whose empty folder is gone makes another.
        left.rmdir()
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left)
    finally:
        os.close(lock)


def _new(folder: Path) -> tuple[Path, int]:
    while True:
        path = Path(mkdtemp(prefix=_PREFIX, dir=folder))
        with suppress(FileNotFoundError):
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            with suppress(OSError):
                # Some network file systems know no locks; nobody will clear it then.
                fcntl.flock(lock, fcntl.LOCK_EX)
            if (path / _LOCK).exists():
                return path, lock
            os.close(lock)
