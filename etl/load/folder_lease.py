"""One writer at a time in a local folder: an exclusive lock that names its holder and dies with it."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from etl.errors import BusyError, StorageError
from etl.load.durable import make_folders
from etl.load.holder import LEASE, acquire, own_name

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@contextmanager
def folder_lease(folder: Path, wait: float) -> Iterator[Callable[[], None]]:
    """Hold the exclusive right to write into a folder.

    The kernel drops the lock when the process ends, however it ends.

    Yields:
        What raises `BusyError` once the lock file was removed by hand, so that another run may hold another.

    Args:
        folder: the folder; it is made where it is missing.
        wait: seconds to wait for the present holder; `math.inf` is for ever.

    Raises:
        BusyError: Another process holds it.
        StorageError: The lock file cannot be written.
    """
    path = folder / LEASE
    try:
        make_folders(folder)
        file = os.fdopen(os.open(path, _FLAGS, 0o666), "ab+", buffering=0)
    except OSError as error:
        raise _refused(path, error) from error
    with file:

        def check() -> None:
            if not _is_in_place(file, path):
                raise BusyError(
                    f"{path} was removed, so another run may be writing",
                    "never remove that file; run the command again",
                )

        def take() -> bytes | None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                return file.read()
            return None

        try:
            acquire(take, str(folder), wait)
            file.truncate(0)
            file.write(json.dumps(own_name()).encode())
            # Of a network's file system: for the others there, who look who holds it.
            os.fsync(file.fileno())
        except OSError as error:
            raise _refused(path, error) from error
        check()
        try:
            yield check
        finally:
            file.truncate(0)


def _is_in_place(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {path}: {error.strerror}",
        "check the archive's path, its permissions and the free space",
    )
