"""Files that are there as a whole, or as they were before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from etl.errors import StorageError, UsageError
from etl.load.durable import sync_folder
from etl.signals import deferred


def check_writable(path: Path) -> None:
    """Make sure that a file can be written, before long work is done for it; nothing is changed.

    Raises:
        UsageError: It is a folder, or there is no folder for it.
        StorageError: It may not be written.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name a file")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "create it, or name another")
    if _is_ordinary(path):
        with _told(path), deferred():
            partial = _partial(path)
            try:
                partial.touch(exist_ok=False)
            finally:
                partial.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that has all of the data, or is as it was before, whatever happens.

    What is no ordinary file, such as a pipe, is written as it is.

    Raises:
        StorageError: It cannot be written.
    """
    with _told(path):
        if not _is_ordinary(path):
            path.write_bytes(data)
            return
        with whole_file(path) as partial:
            partial.write_bytes(data)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write what takes the place of a file, durably, once the block ends well.

    Raises:
        StorageError: It cannot be put in place.
    """
    partial = _partial(path)
    try:
        yield partial
        with _told(path):
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            with deferred():
                partial.replace(path.resolve())
                sync_folder(partial.parent)
    finally:
        partial.unlink(missing_ok=True)


def _is_ordinary(path: Path) -> bool:
    return path.is_file() or not path.exists()


def _partial(path: Path) -> Path:
    """Where it is written; beside the file itself if that is a link."""
    whole = path.resolve()
    return whole.with_name(f".{whole.name}.{uuid4().hex[:12]}.partial")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}", "check the path and the disk") from None
