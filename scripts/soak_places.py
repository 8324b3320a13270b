"""Where the archives of scripts/soak.py lie: in folders, on small disks, in a bucket whose listings lag."""

# ruff: noqa: D102 - the methods of a place are those of `Place`

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
import xarray as xr
from zarr.storage import LocalStore, ObjectStore

from tests.load.buckets import BUCKET, outlive_all, raw, variables
from tests.load.lagging import lag
from tests.witness import GROUP

DISK = "size=24m"
ROOT = f"{GROUP}/zarr.json"
OUTDATED = "europe/.outdated"


class Place(ABC):
    """Where an archive is.

    Attributes:
        name: its name in messages.
        address: what `--archive` is.
        disk: the small file system it has for itself, if it has one.
        proxy: address of the proxy before its storage, which can let listings lag; None without one.
        variables: environment variables that the program needs.
        readers: those that a reader needs.
        commits: numbers of frames between commits to choose from.
        most: faults to have in an archive there.
        poll: seconds between two looks at an object.
    """

    name: str
    address: str
    disk: Path | None = None
    proxy: str | None = None
    variables: Mapping[str, str] = {}
    readers: Mapping[str, str] = {}
    commits: Sequence[int] = (1, 2, 2, 3, 5, 8)
    most = 16
    poll = 0.001

    @abstractmethod
    def version(self, key: str) -> object:
        """Something that changes whenever an object does; None where there is none."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """An object's bytes, none where there is none."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove an object."""

    @abstractmethod
    def group(self) -> LocalStore | ObjectStore[Any]:
        """The Zarr group."""

    def stored(self) -> xr.Dataset:
        """The arrays as they are stored, without those that tell when they were made."""
        with xr.open_zarr(self.group(), chunks=None, mask_and_scale=False) as dataset:
            arrays: xr.Dataset = dataset.load().drop_vars("archived_at")
        return arrays

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        return

    def bury(self) -> None:
        """Let the leases of processes that are no more be free."""
        return


class Folder(Place):
    """A folder, which may be on a small disk of its own."""

    def __init__(self, folder: Path, disk: Path | None = None) -> None:
        self._folder = folder
        self.name, self.address, self.disk = folder.parent.name, str(folder), disk

    def version(self, key: str) -> object:
        try:
            return (self._folder / key).stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, key: str) -> bytes:
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError:
            return b""

    def remove(self, key: str) -> None:
        (self._folder / key).unlink()

    def group(self) -> LocalStore:
        return LocalStore(self._folder / GROUP, read_only=True)


class InBucket(Place):
    """A prefix of a bucket; programs reach it by the proxy, readers directly."""

    commits = (8, 13, 21)
    most = 12
    poll = 0.02

    def __init__(self, name: str, server: str, proxy: str) -> None:
        self.name, self.address, self.proxy = name, f"s3://{BUCKET}/{name}", proxy
        self.variables, self.readers = variables(proxy), variables(server)
        self._server, self._store = server, raw(server, name)

    def version(self, key: str) -> object:
        try:
            return obstore.head(self._store, key)["e_tag"]
        except FileNotFoundError:
            return None

    def read(self, key: str) -> bytes:
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except FileNotFoundError:
            return b""

    def remove(self, key: str) -> None:
        obstore.delete(self._store, key)

    def group(self) -> ObjectStore[Any]:
        return ObjectStore(raw(self._server, f"{self.name}/{GROUP}"), read_only=True)

    def calm(self) -> None:
        if self.proxy:
            lag(self.proxy)

    def bury(self) -> None:
        outlive_all(self._server, f"{self.name}/europe", self.name)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A small file system in memory at the folder; False where this account may not mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", DISK, "none", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)  # noqa: S607
