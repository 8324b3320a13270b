"""Where an archive's objects live: the one seam between the archive and its storage.

An object is named by a key with `/` between its parts, relative to the archive's root. Writing an object
is atomic and durable: a reader sees the old bytes or the new ones, and once `put` has returned the object
survives a power loss. The order of `put` calls is therefore the order of commits.
"""

import os
import uuid
from pathlib import Path

from zarr.abc.store import Store
from zarr.storage import LocalStore

from etl.errors import IncompatibleError, StorageError, UsageError

PARTIAL = ".partial"
"""Folder, in the root and in every continent's folder, of files that are being written."""

_OF_THE_DISK = "lost+found"
"""What a new file system holds; it is never ours."""


class LocalFolder:
    """An archive in a folder of a local or mounted file system."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def __str__(self) -> str:
        return str(self.root)

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is no such object.

        Raises:
            StorageError: It exists but cannot be read.
        """
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._refused("read", key, error) from error

    def put(self, key: str, data: bytes) -> None:
        """Write the object as a whole, replacing the one of that name.

        Raises:
            StorageError: The disk is full, read-only, not permitted, …; the old object is untouched.
        """
        target = self.root / key
        partial = self.root.joinpath(*Path(key).parts[:-1][:1], PARTIAL, uuid.uuid4().hex)
        try:
            make_folders(target.parent)
            make_folders(partial.parent)
            try:
                with partial.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(target)
            except OSError:
                partial.unlink(missing_ok=True)
                raise
            _sync_folder(target.parent)
        except OSError as error:
            raise self._refused("write", key, error) from error

    def exists(self, key: str) -> bool:
        """Whether there is an object or a folder of that name.

        Raises:
            StorageError: The storage refuses to tell.
        """
        try:
            return (self.root / key).exists()
        except OSError as error:
            raise self._refused("read", key, error) from error

    def folders(self) -> list[str]:
        """Names of the folders directly below the root, sorted, hidden ones left out.

        Raises:
            IncompatibleError: The root is not a folder.
            StorageError: It cannot be read.
        """
        return sorted(path.name for path in self._entries() if path.is_dir() and path.name[0] != ".")

    def is_empty(self) -> bool:
        """Whether nothing has been written yet.

        Raises:
            IncompatibleError: The root is not a folder.
            StorageError: It cannot be read.
        """
        return not any(path.name[0] != "." for path in self._entries())

    def size(self, prefix: str) -> int:
        """Bytes of all objects below the prefix.

        Raises:
            StorageError: The storage refuses to tell.
        """
        try:
            files = (path for path in (self.root / prefix).rglob("*") if path.is_file())
            return sum(path.stat().st_size for path in files)
        except OSError as error:
            raise self._refused("read", prefix, error) from error

    def clear_partial(self, folder: str) -> None:
        """Remove what an interrupted `put` left behind; call it only while holding the folder's lease.

        Raises:
            StorageError: The storage refuses to remove it.
        """
        try:
            for path in (self.root / folder / PARTIAL).glob("*"):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise self._refused("clear", f"{folder}/{PARTIAL}", error) from error

    def zarr(self, prefix: str) -> Store:
        """The objects below the prefix as a read-only Zarr store."""
        return LocalStore(self.root / prefix, read_only=True)

    def location(self, key: str) -> str:
        """The address by which other programs open the object."""
        return str(self.root / key)

    def _entries(self) -> list[Path]:
        try:
            return [path for path in self.root.iterdir() if path.name != _OF_THE_DISK]
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            raise IncompatibleError(f"{self.root} is not a folder", "name another --archive") from None
        except OSError as error:
            raise self._refused("open", "", error) from error

    def _refused(self, verb: str, key: str, error: OSError) -> StorageError:
        return StorageError(
            f"cannot {verb} {self.root / key}: {error.strerror or error}",
            "check the path, its permissions and the free space, then run the command again",
        )


def open_store(address: str) -> LocalFolder:
    """The storage at an address.

    Raises:
        UsageError: It is no address of a folder.
    """
    if not address.strip():
        raise UsageError("the archive's name is empty", "name a folder with --archive")
    if "://" in address:
        raise UsageError(f"{address} is no folder", "name a folder: archives are kept on local storage only")
    return LocalFolder(Path(address))


def make_folders(folder: Path) -> None:
    """Create a folder and those above it, each one durably."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
