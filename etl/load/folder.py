"""An archive in a folder of a local or mounted file system: atomic, durable writes by renaming."""

import errno
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import NoReturn

from zarr.abc.store import Store as ZarrStore
from zarr.storage import LocalStore

from etl.errors import BusyError, IncompatibleError, StorageError
from etl.load.durable import make_folders, remove_empty, remove_folder, sync_folder, write_file
from etl.load.exchange import can_exchange, exchange
from etl.load.folder_lease import folder_lease

_STILL_WRITTEN = 3600.0
"""Seconds after which nobody writes to a file any more that is not in its place."""

PARTIAL = ".partial"
"""Folder, in the root and in every continent's folder, of files that are being written."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK)
"""What file systems without hard links answer."""

_OF_THE_DISK = "lost+found"
"""What a new file system holds; it is never ours."""


class LocalFolder:
    """An archive in a folder of a local or mounted file system.

    Attributes:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._fences: dict[str, Callable[[], None]] = {}

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
        self.put_all({key: data})

    def put_all(self, objects: Mapping[str, bytes | memoryview], *, final: bool = False) -> None:
        """Write objects whose order among themselves does not matter, each as a whole.

        They turn up as close to one another as the storage can do it, in the order given.

        Raises:
            StorageError: As `put`; each object is then the old or the new one.
        """
        written: list[tuple[Path, str]] = []
        key = ""
        try:
            for key, data in objects.items():
                written.append((self._partial(key), key))
                make_folders((self.root / key).parent)
                write_file(written[-1][0], data)
            for partial, key in written:
                self._check(key)
                self._reveal(partial, key)
            for folder in dict.fromkeys((self.root / key).parent for key in objects):
                sync_folder(folder)
        except OSError as error:
            for partial, _ in written:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
            raise self._refused("write", key, error) from error

    def create_all(self, objects: Mapping[str, bytes | memoryview]) -> None:
        """Write objects, none of which is there yet unless as it would be written; see `Store`.

        Raises:
            BusyError: Another one is there.
            StorageError: As `put`.
        """
        key = ""
        try:
            for key, data in objects.items():
                self._create(key, data)
            for folder in dict.fromkeys((self.root / key).parent for key in objects):
                sync_folder(folder)
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise StorageError(
                    f"cannot write {self.root / key}: this file system has no hard links",
                    "run the command without --workers and --scheduler, or name another --archive",
                ) from error
            raise self._refused("write", key, error) from error

    def copy_all(self, objects: Mapping[str, str]) -> None:
        """Make objects objects at other keys too, replacing those there; see `Store`.

        Raises:
            StorageError: As `put`, or there is nothing at a source.
        """
        for target, source in objects.items():
            self._copy(source, target)

    def _copy(self, source: str, target: str) -> None:
        try:
            partial = self._partial(target)
            make_folders((self.root / target).parent)
            try:
                partial.hardlink_to(self.root / source)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                    raise
                data = (self.root / source).read_bytes()
            else:
                self._reveal(partial, target)
                # Renaming onto another link of the same file leaves both.
                partial.unlink(missing_ok=True)
                sync_folder((self.root / target).parent)
                return
        except OSError as error:
            raise self._refused("write", target, error) from error
        self.put(target, data)

    def exchanges(self, folder: str) -> bool:
        """Whether two folders in a folder of the archive can be exchanged.

        Raises:
            StorageError: The storage refuses to have it tried.
        """
        self._check(f"{folder}/{PARTIAL}")
        try:
            return can_exchange(self._partials(folder))
        except OSError as error:
            raise self._refused("write", f"{folder}/{PARTIAL}", error) from error

    def exchange(self, one: str, other: str) -> bool:
        """Let two folders change places, at once.

        Returns:
            False where the operating system or the file system cannot do that; nothing has changed then.

        Raises:
            StorageError: It refuses.
        """
        self._check(one)
        self._check(other)
        try:
            return exchange(self.root / one, self.root / other)
        except OSError as error:
            raise self._refused("exchange", one, error) from error

    def delete(self, prefix: str) -> None:
        """Remove an object, or a folder and all below it; nothing happens where there is none.

        Raises:
            StorageError: The storage refuses.
        """
        self._check(prefix)
        path = self.root / prefix
        try:
            if path.is_dir() and not path.is_symlink():
                remove_folder(path)
            else:
                path.unlink()
            sync_folder(path.parent)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._refused("remove", prefix, error) from error

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects, and the folders that are empty then.

        Raises:
            StorageError: The storage refuses.
        """
        folders: set[Path] = set()
        for key in keys:
            self._check(key)
            path = self.root / key
            try:
                path.unlink()
                folders.add(path.parent)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise self._refused("remove", key, error) from error
        for folder in folders:
            remove_empty(folder, self.root)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys of which there is no object.

        Raises:
            StorageError: The storage refuses to tell.
        """
        return [key for key in keys if not self._is_there(key)]

    def names(self, prefix: str) -> list[str]:
        """Names of the objects directly below the prefix, sorted, hidden ones left out.

        Raises:
            StorageError: The storage refuses to tell.
        """
        try:
            return sorted(path.name for path in (self.root / prefix).iterdir() if _is_object(path))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._refused("read", prefix, error) from error

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys of all objects below the prefix, in no order, those in hidden folders left out.

        Raises:
            StorageError: The storage refuses to tell.
        """
        try:
            for folder, folders, files in os.walk(self.root / prefix, onerror=_raise):
                folders[:] = [name for name in folders if name[0] != "."]
                for name in files:
                    if name[0] != ".":
                        yield (Path(folder) / name).relative_to(self.root).as_posix()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._refused("read", prefix, error) from error

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
        """Remove what an interrupted `put` left behind an hour ago or more.

        Raises:
            StorageError: The storage refuses to remove it.
        """
        self._check(f"{folder}/{PARTIAL}")
        try:
            now = time.time()
            for path in self._partials(folder).iterdir():
                # Reports are written without the lease.
                if now - path.stat().st_mtime < _STILL_WRITTEN:
                    continue
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise self._refused("clear", f"{folder}/{PARTIAL}", error) from error

    @contextmanager
    def lease(self, folder: str, wait: float = 0.0) -> Iterator[None]:
        """Hold the exclusive right to write into a folder of the archive; see `folder_lease`."""
        with folder_lease(self.root / folder, wait) as check:
            self._fences[folder] = check
            try:
                yield
            finally:
                del self._fences[folder]

    def zarr(self, prefix: str) -> ZarrStore:
        """The objects below the prefix as a read-only Zarr store."""
        return LocalStore(self.root / prefix, read_only=True)

    def location(self, key: str) -> str:
        """The address by which other programs open the object."""
        return str(self.root / key)

    def _create(self, key: str, data: bytes | memoryview) -> None:
        target, partial = self.root / key, self._partial(key)
        make_folders(target.parent)
        try:
            write_file(partial, data)
            # Unlike a renaming it replaces nothing.
            target.hardlink_to(partial)
        except FileExistsError:
            if target.read_bytes() != data:
                raise BusyError(
                    f"another run has written {target} meanwhile",
                    "nothing of it was overwritten; run the command again",
                ) from None
        finally:
            partial.unlink(missing_ok=True)

    def _is_there(self, key: str) -> bool:
        try:
            return S_ISREG((self.root / key).stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._refused("read", key, error) from error

    def _check(self, key: str) -> None:
        """Check that the lease that an object is changed under, if any, is still held."""
        fence = self._fences.get(_folder_of(key))
        if fence:
            fence()

    def _partial(self, key: str) -> Path:
        """A new name for a file that is to become an object; the right to write there is checked."""
        self._check(key)
        return self._partials(_folder_of(key)) / uuid.uuid4().hex

    def _partials(self, folder: str) -> Path:
        path = self.root / folder / PARTIAL
        make_folders(path)
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a symbolic link")
        return path

    def _reveal(self, partial: Path, key: str) -> None:
        """Let a file that is written take its place."""
        partial.replace(self.root / key)

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


def _folder_of(key: str) -> str:
    """The folder whose lease a key is written under; empty for the archive's root."""
    return key.lstrip("/").partition("/")[0] if "/" in key.lstrip("/") else ""


def _is_object(path: Path) -> bool:
    return path.name[0] != "." and path.is_file()


def _raise(error: OSError) -> NoReturn:
    raise error
