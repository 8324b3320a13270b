"""Folders and files that survive a power loss."""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

_LARGE = 1 << 20

_REMOVALS = 5
"""How often a folder is emptied again that a process of a run that was killed has just written into."""


def make_folders(folder: Path) -> None:
    """Create a folder and those above it, each one durably."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make sure that the names in a folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Write a new file, and wait until it is on the disk.

    A large one is then not kept in memory by the system: thousands of frames, which nobody reads soon, would
    take the place of what others need, and fresh memory for each of them costs more time than writing it.

    Raises:
        OSError: It cannot be written, or is there already.
    """
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        if len(data) >= _LARGE:
            with suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def remove_folder(path: Path) -> None:
    """Remove a folder and all that is in it.

    Raises:
        OSError: It cannot be removed.
    """
    for left in reversed(range(_REMOVALS)):
        try:
            shutil.rmtree(path)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or not left:
                raise
        else:
            return


def remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder and those above it as far as they are empty, down to the second below a root.

    That files in it were removed survives a power loss then.
    """
    while len(folder.relative_to(root).parts) > 1:
        try:
            folder.rmdir()
        except OSError:
            break
        folder = folder.parent
    # Gone with another one before.
    with suppress(FileNotFoundError):
        sync_folder(folder)
