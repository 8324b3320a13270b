"""One writer at a time: an exclusive lock that names its holder and dies with it."""

import fcntl
import json
import logging
import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from etl.errors import BusyError, StorageError
from etl.load.stores import LocalFolder, make_folders

log = logging.getLogger(__name__)

LEASE = ".lease"

_POLL_SECONDS = 0.2

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@contextmanager
def lease(store: LocalFolder, folder: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the exclusive right to write into a folder of the archive.

    The kernel drops the lock when the process ends, however it ends.

    Args:
        store: the archive's storage.
        folder: the folder, or the empty string for the archive's root.
        wait: seconds to wait for the present holder before giving up; `math.inf` is for ever.

    Raises:
        BusyError: Another process holds it; the message names that process and since when.
        StorageError: The lock file cannot be written.
    """
    path = store.root / folder / LEASE
    try:
        make_folders(path.parent)
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

        try:
            _lock(file, wait)
            file.truncate(0)
            file.write(_own_name())
        except BlockingIOError:
            file.seek(0)
            raise BusyError(
                f"{store.location(folder)} is being written by {_holder(file.read())}",
                "wait until it has finished, then run the command again",
            ) from None
        except OSError as error:
            raise _refused(path, error) from error
        check()
        store.fences[folder] = check
        try:
            yield
        finally:
            del store.fences[folder]
            file.truncate(0)


def _is_in_place(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _lock(file: FileIO, wait: float) -> None:
    if wait == math.inf:
        fcntl.flock(file, fcntl.LOCK_EX)
        return None
    end = time.monotonic() + wait
    told = False
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
        if not told:
            file.seek(0)
            holder = _holder(file.read())
            fields = {"holder": holder, "seconds": wait}
            log.info(
                "waiting up to %g s for %s to finish writing",
                wait,
                holder,
                extra={"event": "waiting", "fields": fields},
            )
            told = True
        time.sleep(min(_POLL_SECONDS, max(0.0, end - time.monotonic())))


def _own_name() -> bytes:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"host": socket.gethostname(), "process": os.getpid(), "since": now}).encode()


def _holder(text: bytes) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {path}: {error.strerror}",
        "check the archive's path, its permissions and the free space",
    )
