"""An archive in an object store: S3 and what speaks its protocol; Google and Azure as far as obstore does.

While this process holds a folder's lease, an object there is only written if it is as this process last saw
it, or as it was when the lease was taken: a writer that lost its lease without knowing (a machine that slept,
a network that was away) cannot overwrite what the next one has committed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import from_url
from zarr.abc.store import Store as ZarrStore
from zarr.storage import ObjectStore

from etl.errors import BusyError, StorageError, UsageError
from etl.load.bucket_lease import BucketLease
from etl.load.holder import LEASE

Result = TypeVar("Result")

_AT_ONCE = 16
"""Requests under way at a time."""

_RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(minutes=2)}
_REASONS = {
    "AccessDenied": ("access is denied", "check the permissions of the account"),
    "InvalidAccessKeyId": ("the access key is not known there", "check AWS_ACCESS_KEY_ID and --endpoint-url"),
    "SignatureDoesNotMatch": ("the secret key is wrong", "check AWS_SECRET_ACCESS_KEY"),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "set the clock"),
    "ExpiredToken": ("the credentials have expired", "get new ones"),
    "NoSuchBucket": ("there is no such bucket", "create it, or check --archive and --endpoint-url"),
}
"""What storages answer, in words, and what to do."""


class Bucket:
    """An archive in a bucket, or below a prefix of one."""

    def __init__(self, url: str) -> None:
        """Describe the storage; nothing is requested yet.

        Credentials, region and endpoint come from the usual variables of the cloud, such as
        `AWS_ACCESS_KEY_ID`, `AWS_REGION` and `AWS_ENDPOINT_URL`, or from the machine's role.

        Args:
            url: `s3://bucket/prefix`, `gs://…` or `az://…`.

        Raises:
            UsageError: It is no such address.
        """
        self._url = url.rstrip("/")
        self._store = self._below("")
        self._seen: dict[str, str] = {}
        self._leases: dict[str, BucketLease] = {}

    def __str__(self) -> str:
        return self._url

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is no such object."""

        def read() -> bytes:
            result = obstore.get(self._store, key)
            data = bytes(result.bytes())
            self._note(key, result.meta)
            return data

        return self._unless_missing(key, read)

    def put(self, key: str, data: bytes) -> None:
        """Write the object as a whole, replacing the one of that name."""
        self.put_all({key: data})

    def put_all(self, objects: Mapping[str, bytes | memoryview], *, final: bool = False) -> None:
        """Write objects, several at a time."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            # Exhausted, so that the first error is raised.
            list(pool.map(lambda item: self._put(*item), objects.items()))
        if final:
            for key in objects:
                self._seen.pop(key, None)

    def copy(self, source: str, target: str) -> None:
        """Make the object at `source` an object at `target` too, without downloading it."""
        self._check(target)
        self._told("write", target, lambda: obstore.copy(self._store, source, target))
        self._seen.pop(target, None)

    def exchanges(self, folder: str) -> bool:
        """There are no folders to exchange."""
        return False

    def exchange(self, one: str, other: str) -> bool:
        """There are no folders to exchange."""
        return False

    def delete(self, prefix: str) -> None:
        """Remove an object, or all objects below a prefix."""
        found = [entry["path"] for entry in self._list(f"{prefix}/")]
        paths = [*found, prefix] if self._head(prefix) else found
        if paths:
            self._check(prefix)
            self._told("remove", prefix, lambda: obstore.delete(self._store, paths))
        for path in paths:
            self._seen.pop(path, None)

    def exists(self, key: str) -> bool:
        """Whether there is an object of that name, or one below it."""
        return self._head(key) is not None or next(self._list(f"{key}/"), None) is not None

    def names(self, prefix: str) -> list[str]:
        """Names of the objects directly below the prefix, sorted, hidden ones left out."""
        names = (entry["path"].rpartition("/")[2] for entry in self._level(prefix)["objects"])
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
        level = self._level("")
        names = [*level["common_prefixes"], *(entry["path"] for entry in level["objects"])]
        return not any(name[0] != "." for name in names)

    def size(self, prefix: str) -> int:
        """Bytes of all objects below the prefix."""
        return sum(entry["size"] for entry in self._list(f"{prefix}/"))

    def clear_partial(self, folder: str) -> None:
        """Nothing: an object that was not written as a whole is not there."""

    @contextmanager
    def lease(self, folder: str, wait: float = 0.0) -> Iterator[None]:
        """Hold the exclusive right to write into a folder of the archive; see `BucketLease`."""
        lease = BucketLease(self._store, folder, self.location(folder), wait)
        self._told("write", f"{folder}/{LEASE}".lstrip("/"), lease.take)
        self._leases[folder] = lease
        try:
            yield
        finally:
            del self._leases[folder]
            lease.release()

    def zarr(self, prefix: str) -> ZarrStore:
        """The objects below the prefix as a read-only Zarr store."""
        return ObjectStore(self._below(prefix), read_only=True)

    def location(self, key: str) -> str:
        """The address by which other programs open the object."""
        return f"{self._url}/{key}" if key else self._url

    def _below(self, prefix: str) -> Any:  # noqa: ANN401 - one of obstore's stores
        try:
            return from_url(
                f"{self._url}/{prefix}".rstrip("/"),
                client_options={"allow_http": True, "connect_timeout": "10s", "timeout": "300s"},
                retry_config=_RETRIES,
            )
        except (BaseError, ValueError) as error:
            raise UsageError(
                f"{self._url} is no address of a bucket: {_first_line(error)}",
                "name a folder, or such as s3://bucket/folder",
            ) from None

    def _put(self, key: str, data: bytes | memoryview) -> None:
        """Write an object unless another writer has, while the folder's lease was held here."""
        lease = self._check(key)
        mode: Any = "overwrite"
        if lease is not None:
            known = self._seen.get(key)
            mode = {"e_tag": known} if known else "create"
        try:
            self._note(key, self._told("write", key, lambda: self._written(key, data, mode)))
            return
        except (AlreadyExistsError, PreconditionError):
            found = self._told("read", key, lambda: obstore.get(self._store, key))
        if bytes(found.bytes()) == data:
            # Written by this process, and the answer was lost.
            self._note(key, found.meta)
            return
        if mode != "create" or lease is None or found.meta["last_modified"] >= lease.taken:
            raise self._overtaken(key)
        left_before: Any = {"e_tag": found.meta["e_tag"]}
        try:
            self._note(key, self._told("write", key, lambda: self._written(key, data, left_before)))
        except (AlreadyExistsError, PreconditionError):
            raise self._overtaken(key) from None

    def _check(self, key: str) -> BucketLease | None:
        """The lease under which an object is written, if there is one; it must still be held."""
        lease = self._leases.get(key.partition("/")[0] if "/" in key else "")
        if lease is not None:
            lease.check()
        return lease

    def _written(self, key: str, data: bytes | memoryview, mode: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as obstore has it
        result: Mapping[str, Any] = obstore.put(self._store, key, data, mode=mode, use_multipart=False)
        return result

    def _overtaken(self, key: str) -> BusyError:
        return BusyError(
            f"another run has written {self.location(key)} meanwhile",
            "nothing of it was overwritten; run the command again once that run has finished",
        )

    def _note(self, key: str, meta: Mapping[str, Any]) -> None:
        if meta["e_tag"]:
            self._seen[key] = meta["e_tag"]

    def _head(self, key: str) -> Mapping[str, Any] | None:
        return self._unless_missing(key, lambda: obstore.head(self._store, key))

    def _level(self, prefix: str) -> Any:  # noqa: ANN401 - as obstore has it
        return self._told("read", prefix, lambda: obstore.list_with_delimiter(self._store, prefix or None))

    def _list(self, prefix: str) -> Iterator[Any]:
        pages = iter(obstore.list(self._store, prefix, chunk_size=1000))
        while True:
            page = self._told("read", prefix, lambda: next(pages, None))
            if page is None:
                return
            yield from page

    def _unless_missing(self, key: str, call: Callable[[], Result]) -> Result | None:
        try:
            return self._told("read", key, call)
        except FileNotFoundError:
            return None

    def _told(self, verb: str, key: str, call: Callable[[], Result]) -> Result:
        """Do something, and tell in one line what the storage has against it."""
        try:
            return call()
        except (AlreadyExistsError, PreconditionError):
            raise
        except FileNotFoundError as error:
            if _code(error) == "NoSuchKey" or "NoSuch" not in str(error):
                raise
            raise self._refused(verb, key, error) from None
        except (BaseError, OSError) as error:
            raise self._refused(verb, key, error) from None

    def _refused(self, verb: str, key: str, error: Exception) -> StorageError:
        reason, remedy = _REASONS.get(
            _code(error),
            (_first_line(error), "check the address, the credentials and the network, then run it again"),
        )
        return StorageError(f"cannot {verb} {self.location(key)}: {reason}", remedy)


def _code(error: Exception) -> str:
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found[1] if found else ""


def _first_line(error: Exception) -> str:
    """What obstore says, without the query of addresses, which can hold secrets."""
    line = str(error).strip().partition("\n")[0]
    return re.sub(r"\?\S*", "", line)[:300]
