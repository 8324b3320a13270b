"""Letting two folders of a file system change places at once, which Linux can."""

import ctypes
import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path

from etl.load.durable import sync_folder

_HERE, _EXCHANGE = -100, 2
"""`AT_FDCWD` and `RENAME_EXCHANGE` of Linux's renameat2(2)."""


def exchange(one: Path, other: Path) -> bool:
    """Let two folders change places, at once.

    Returns:
        False where the operating system or the file system cannot do that; nothing has changed then.

    Raises:
        OSError: The file system refuses.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            return False
        raise OSError(number, os.strerror(number))
    for path in (one, other):
        sync_folder(path.parent)
    return True


def can_exchange(folder: Path) -> bool:
    """Whether two folders in a folder can be exchanged; it is tried.

    Raises:
        OSError: The file system refuses to have it tried.
    """
    one, other = (folder / uuid.uuid4().hex for _ in range(2))
    try:
        one.mkdir()
        other.mkdir()
        return exchange(one, other)
    finally:
        for path in (one, other):
            with suppress(OSError):
                path.rmdir()
