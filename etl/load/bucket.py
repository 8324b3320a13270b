"""An archive in an object store: S3 and what speaks its protocol; Google and Azure as far as obstore does.

While this process holds a folder's lease, an object there is only written if it is as this process last saw
it, or as it was when the lease was taken: a writer that lost its lease without knowing (a machine that slept,
a network that was away) cannot overwrite what the next one has committed. Removals and copies have no
conditions: the lease is looked at before them, and like all that is small they have a limit of time, and end
before the lease they began under could.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from zarr.abc.store import Store as ZarrStore

from etl.errors import BusyError
from etl.load.addresses import check_plain
from etl.load.bucket_client import PATIENT, RETRIED, client, is_missing, refusal, settings_of
from etl.load.bucket_lease import BucketLease, version_of
from etl.load.bucket_zarr import BucketZarr
from etl.load.holder import LEASE

if TYPE_CHECKING:
    from obstore import GetResult, ListResult, ObjectMeta, PutMode, PutResult, UpdateVersion

Item = TypeVar("Item")
Result = TypeVar("Result")

_AT_ONCE = 16
"""Objects that are written at a time."""

_MANY_AT_ONCE = 32
"""Requests without bytes of objects that are under way at a time."""

_LARGE = 1 << 20
"""Bytes from which on an object may take long to be written."""

_REMOVED_AT_ONCE = 1000
"""Objects that one request removes, at most; S3 takes no more."""

_LEASE_REQUEST = timedelta(seconds=10)
"""How long a request about a lease may take, and its retries."""


@dataclass(frozen=True)
class _Held:
    """What is known while a folder's lease is held.

    Attributes:
        lease: the lease.
        seen: versions of the objects that were read and written meanwhile.
        copied: objects that were made of others; their versions are not told.
    """

    lease: BucketLease
    seen: "dict[str, UpdateVersion]" = field(default_factory=dict)
    copied: set[str] = field(default_factory=set)


class Bucket:
    """An archive in a bucket, or below a prefix of one."""

    _retried = RETRIED
    """No retry begins later than this after the first try."""

    def __init__(self, url: str) -> None:
        """Describe the storage; nothing is requested yet.

        Credentials, region and endpoint come from the usual variables of the cloud, such as
        `AWS_ACCESS_KEY_ID`, `AWS_REGION` and `AWS_ENDPOINT_URL`, the profile, or the machine's role.

        Args:
            url: `s3://bucket/prefix`, `gs://…` or `az://…`.

        Raises:
            StorageError: There are no credentials.
            UsageError: It is no such address, or the credentials are not configured as they should be.
        """
        check_plain(url)
        self._url = url.rstrip("/")
        self._settings = settings_of(url)
        self._store = client(self._url, self._settings, retried=self._retried)
        self._patient = client(self._url, self._settings, PATIENT, self._retried)
        self._held: dict[str, _Held] = {}

    def __str__(self) -> str:
        return self._url

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is no such object."""

        def read() -> bytes:
            result = obstore.get(self._patient, key)
            data = bytes(result.bytes())
            self._note(key, result.meta)
            return data

        return self._unless_missing(key, read)

    def put(self, key: str, data: bytes) -> None:
        """Write the object as a whole, replacing the one of that name."""
        self.put_all({key: data})

    def put_all(self, objects: Mapping[str, bytes | memoryview], *, final: bool = False) -> None:
        """Write objects, several at a time."""
        _each(lambda item: self._put(*item), objects.items(), _AT_ONCE)
        if final:
            self._forget(*objects)

    def create_all(self, objects: Mapping[str, bytes | memoryview]) -> None:
        """Write objects, none of which is there yet unless as it would be written."""
        _each(lambda item: self._create(*item), objects.items(), _AT_ONCE)

    def copy_all(self, objects: Mapping[str, str]) -> None:
        """Make objects objects at other keys too, without downloading them, many at a time."""
        self._confirm(objects)
        _each(lambda item: self._copy(*item), objects.items())

    def _copy(self, target: str, source: str) -> None:
        held = self._check(target)
        try:
            self._told("write", target, lambda: obstore.copy(self._store, source, target))
        except FileNotFoundError as error:
            raise refusal("read", self.location(source), error) from None
        self._forget(target)
        if held:
            held.copied.add(target)

    def exchanges(self, folder: str) -> bool:
        """There are no folders to exchange."""
        return False

    def exchange(self, one: str, other: str) -> bool:
        """There are no folders to exchange."""
        return False

    def delete(self, prefix: str) -> None:
        """Remove an object, or all objects below a prefix."""
        paths = [entry["path"] for entry in self._list(f"{prefix}/")]
        if self._head(prefix):
            paths.append(prefix)
        self.remove(paths)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects, many with one request."""
        paths = list(keys)
        for first in range(0, len(paths), _REMOVED_AT_ONCE):
            removed = paths[first : first + _REMOVED_AT_ONCE]
            self._confirm(removed)
            try:
                self._told("remove", removed[0], partial(obstore.delete, self._store, removed))
            except FileNotFoundError:
                # Some storages refuse the removal of an object that is not there.
                for key in removed:
                    with suppress(FileNotFoundError):
                        self._told("remove", key, partial(obstore.delete, self._store, key))
            self._forget(*removed)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys of which there is no object; many are asked for at a time."""
        asked = list(keys)
        return [key for key, there in zip(asked, _each(self._is_there, asked), strict=True) if not there]

    def exists(self, key: str) -> bool:
        """Whether there is an object of that name, or one below it."""
        return self._head(key) is not None or next(self._list(f"{key}/"), None) is not None

    def names(self, prefix: str) -> list[str]:
        """Names of the objects directly below the prefix, sorted, hidden ones left out."""
        names = (entry["path"].rpartition("/")[2] for entry in self._directly_below(prefix))
        return sorted(name for name in names if name[0] != ".")

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys of all objects below the prefix, those in hidden folders left out."""
        for entry in self._list(f"{prefix.rstrip('/')}/"):
            below = entry["path"][len(prefix) :]
            if not any(part.startswith(".") for part in below.split("/")):
                yield entry["path"]

    def folders(self) -> list[str]:
        """Names of the folders directly below the root, sorted, hidden ones left out."""
        names = (path.rpartition("/")[2] for path in self._level("")["common_prefixes"])
        return sorted(name for name in names if name[0] != ".")

    def is_empty(self) -> bool:
        """Whether nothing has been written yet."""
        return not self.folders() and not self.names("")

    def size(self, prefix: str) -> int:
        """Bytes of all objects below the prefix."""
        return sum(entry["size"] for entry in self._list(f"{prefix}/"))

    def clear_partial(self, folder: str) -> None:
        """Nothing: an object that was not written as a whole is not there."""

    @contextmanager
    def lease(self, folder: str, wait: float = 0.0) -> Iterator[None]:
        """Hold the exclusive right to write into a folder of the archive; see `BucketLease`."""
        store = client(self._url, self._settings, _LEASE_REQUEST, _LEASE_REQUEST)
        lease = BucketLease(store, folder, self.location(folder), wait)
        self._told("write", f"{folder}/{LEASE}".lstrip("/"), lease.take)
        self._held[folder] = _Held(lease)
        try:
            yield
        finally:
            del self._held[folder]
            lease.release()

    def zarr(self, prefix: str) -> ZarrStore:
        """The objects below the prefix as a read-only Zarr store."""
        where = self.location(prefix)
        return BucketZarr(client(where, self._settings, PATIENT), where=where)

    def location(self, key: str) -> str:
        """The address by which other programs open the object."""
        return f"{self._url}/{key}" if key else self._url

    def _put(self, key: str, data: bytes | memoryview) -> None:
        """Write an object unless another writer has, while the folder's lease was held here."""
        held = self._check(key)
        if held is None:
            if self._tried(key, data, "overwrite") is None:
                raise self._overtaken(key)
            return
        known = held.seen.get(key)
        if known is None and key in held.copied:
            known = version_of(self._head(key))
        mode: PutMode = known or "create"
        written = self._tried(key, data, mode)
        if written is not None:
            self._note(key, written)
            return
        found = self._found(key)
        if bytes(found.bytes()) == data:
            # Written by this process, and the answer was lost.
            self._note(key, found.meta)
            return
        if mode != "create" or found.meta["last_modified"] >= held.lease.taken:
            raise self._overtaken(key)
        written = self._tried(key, data, version_of(found.meta))
        if written is None:
            raise self._overtaken(key)
        self._note(key, written)

    def _create(self, key: str, data: bytes | memoryview) -> None:
        self._check(key)
        if self._tried(key, data, "create") is None and bytes(self._found(key).bytes()) != data:
            raise self._overtaken(key)

    def _found(self, key: str) -> "GetResult":
        """An object that another writer has written; the storage said so."""
        try:
            return self._told("read", key, lambda: obstore.get(self._patient, key))
        except FileNotFoundError:
            raise self._overtaken(key) from None

    def _check(self, key: str) -> _Held | None:
        """What is known under the lease that an object is written under, if any; it must still be held."""
        held = self._holding(key)
        if held:
            held.lease.check()
        return held

    def _confirm(self, keys: Iterable[str]) -> None:
        """Make sure by a request that leases are held: what is changed then has no conditions."""
        held = [self._holding(key) for key in keys]
        for lease in {each.lease for each in held if each}:
            lease.check(now=True)

    def _holding(self, key: str) -> _Held | None:
        return self._held.get(key.partition("/")[0] if "/" in key else "")

    def _tried(self, key: str, data: bytes | memoryview, mode: "PutMode") -> "PutResult | None":
        """Write an object; None where its condition does not hold."""

        def write() -> "PutResult | None":
            try:
                return self._written(key, data, mode)
            except (AlreadyExistsError, PreconditionError):
                return None

        return self._told("write", key, write)

    def _written(self, key: str, data: bytes | memoryview, mode: "PutMode") -> "PutResult":
        store = self._store if len(data) < _LARGE else self._patient
        return obstore.put(store, key, data, mode=mode, use_multipart=False)

    def _overtaken(self, key: str) -> BusyError:
        return BusyError(
            f"another run has written {self.location(key)} meanwhile",
            "nothing of it was overwritten; run the command again once that run has finished",
        )

    def _note(self, key: str, meta: "ObjectMeta | PutResult") -> None:
        held = self._holding(key)
        if held:
            held.seen[key] = version_of(meta)

    def _forget(self, *keys: str) -> None:
        for key in keys:
            held = self._holding(key)
            if held:
                held.seen.pop(key, None)
                held.copied.discard(key)

    def _head(self, key: str) -> "ObjectMeta | None":
        return self._unless_missing(key, lambda: obstore.head(self._store, key))

    def _is_there(self, key: str) -> bool:
        # HEAD does not distinguish a missing bucket from a missing object.
        return self._head(key) is not None or self.get(key) is not None

    def _level(self, prefix: str) -> "ListResult[Sequence[ObjectMeta]]":
        return self._told("read", prefix, lambda: obstore.list_with_delimiter(self._store, prefix or None))

    def _directly_below(self, prefix: str) -> "Iterator[ObjectMeta]":
        """The objects directly below a prefix; folder markers there look as the prefix itself."""
        return (entry for entry in self._level(prefix)["objects"] if entry["path"] != prefix.rstrip("/"))

    def _list(self, prefix: str) -> "Iterator[ObjectMeta]":
        pages = iter(obstore.list(self._store, prefix, chunk_size=1000))
        while True:
            page = self._told("read", prefix, lambda: next(pages, None))
            if page is None:
                return
            for entry in page:
                if not self._is_marker(entry, prefix):
                    yield entry

    def _is_marker(self, entry: "ObjectMeta", prefix: str) -> bool:
        """Whether it is what consoles make of a folder: an empty object named `folder/`.

        Obstore leaves the slash out, and finds no object of the name that is left.
        """
        if entry["path"] == prefix.rstrip("/"):
            return True
        return entry["size"] == 0 and self._head(entry["path"]) is None

    def _unless_missing(self, key: str, call: Callable[[], Result]) -> Result | None:
        try:
            return self._told("read", key, call)
        except FileNotFoundError:
            return None

    def _told(self, verb: str, key: str, call: Callable[[], Result]) -> Result:
        """Do something, and tell in one line what the storage has against it."""
        try:
            return call()
        except FileNotFoundError as error:
            if is_missing(error):
                raise
            raise refusal(verb, self.location(key), error) from None
        except (BaseError, OSError) as error:
            raise refusal(verb, self.location(key), error) from None


def _each(
    call: Callable[[Item], Result], items: Iterable[Item], at_once: int = _MANY_AT_ONCE
) -> list[Result]:
    """The results of a call for each item; a few calls run at a time."""
    with ThreadPoolExecutor(at_once) as pool:
        # Exhausted, so that the first error is raised; calls that have not begun are then left out.
        return list(pool.map(call, items))
