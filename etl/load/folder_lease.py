"""One writer at a time in a local folder: an exclusive lock that names its holder and dies with it."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etl.errors import StorageError
from etl.load.durable import make_folders
from etl.load.holder import LEASE, acquire, own_name


@contextmanager
def folder_lease(folder: Path, wait: float) -> Iterator[None]:
    """Hold the exclusive right to write into a folder.

    The kernel drops the lock when the process ends, however it ends.

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
        file = path.open("ab+", buffering=0)
    except OSError as error:
        raise _refused(path, error) from error
    with file:

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
        except OSError as error:
            raise _refused(path, error) from error
        try:
            yield
        finally:
            file.truncate(0)


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {path}: {error.strerror}",
        "check the archive's path, its permissions and the free space",
    )
