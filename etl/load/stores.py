"""Where an archive's objects live: the one seam between the archive and its storage.

An object is named by a key with `/` between its parts, relative to the archive's root. Writing an object
is atomic and durable: a reader sees the old bytes or the new ones, and once `put` or `put_all` has returned
the objects survive a power loss. The order of these calls is therefore the order of commits.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from zarr.abc.store import Store as ZarrStore

from etl.load.addresses import folder_at
from etl.load.bucket import Bucket
from etl.load.folder import LocalFolder


class Store(Protocol):
    """An archive's storage. All methods raise `StorageError` where it refuses or cannot be reached."""

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is no such object."""

    def put(self, key: str, data: bytes) -> None:
        """Write the object as a whole, replacing the one of that name.

        Raises:
            BusyError: Another writer has written it while this one held the lease.
        """

    def put_all(self, objects: Mapping[str, bytes | memoryview], *, final: bool = False) -> None:
        """Write objects whose order among themselves does not matter, each as a whole.

        Args:
            objects: bytes by key.
            final: this run will not write them again.

        Raises:
            BusyError: As `put`.
        """

    def create_all(self, objects: Mapping[str, bytes | memoryview]) -> None:
        """Write objects, none of which is there yet unless as it would be written.

        Nothing is ever replaced, so that this is safe without the lease.

        Raises:
            BusyError: Another one is there.
        """

    def copy_all(self, objects: Mapping[str, str]) -> None:
        """Make objects objects at other keys too, replacing those there.

        Args:
            objects: keys of the sources by those of the targets.

        Raises:
            BusyError: As `put`.
        """

    def exchanges(self, folder: str) -> bool:
        """Whether two folders in a folder of the archive can be exchanged."""

    def exchange(self, one: str, other: str) -> bool:
        """Let two folders change places, at once; False where that cannot be done, and is not."""

    def delete(self, prefix: str) -> None:
        """Remove an object, or a folder and all below it; nothing happens where there is none.

        What is below is what a listing shows, which can lag: some of it may stay.
        """

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects, and nothing else; those that are not there are none."""

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys of which there is no object; each is asked for, and none is looked up in a listing."""

    def exists(self, key: str) -> bool:
        """Whether there is an object of that name, or a folder, as far as a listing shows it."""

    def names(self, prefix: str) -> list[str]:
        """Names of the objects directly below the prefix, sorted, hidden ones left out."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys of all objects below the prefix, in no order, those in hidden folders left out."""

    def folders(self) -> list[str]:
        """Names of the folders directly below the root, sorted, hidden ones left out.

        Raises:
            IncompatibleError: The root is not a folder.
        """

    def is_empty(self) -> bool:
        """Whether nothing has been written yet.

        Raises:
            IncompatibleError: The root is not a folder.
        """

    def size(self, prefix: str) -> int:
        """Bytes of all objects below the prefix."""

    def clear_partial(self, folder: str) -> None:
        """Remove what an interrupted `put` left behind an hour ago or more."""

    def lease(self, folder: str, wait: float = 0.0) -> AbstractContextManager[None]:
        """Hold the exclusive right to write into a folder of the archive.

        Args:
            folder: the folder, or the empty string for the archive's root.
            wait: seconds to wait for the present holder before giving up; `math.inf` is for ever.

        Raises:
            BusyError: Another process holds it; the message names that process and since when.
        """

    def zarr(self, prefix: str) -> ZarrStore:
        """The objects below the prefix as a read-only Zarr store."""

    def location(self, key: str) -> str:
        """The address by which other programs open the object."""


def open_store(address: str) -> Store:
    """The storage at an address: the path of a folder, `file:///…`, `s3://…`, `gs://…` or `az://…`.

    Raises:
        StorageError: There are no credentials for it.
        UsageError: It is no such address.
    """
    folder = folder_at(address)
    return Bucket(address) if folder is None else LocalFolder(folder)
