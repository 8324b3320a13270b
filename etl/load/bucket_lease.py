"""One writer at a time in an object store: an object that is taken by a conditional write, and expires.

Its age is told by the storage's own clock, as the time between two objects, so that the clocks of the
machines need not agree. A lease that was given back is an empty object. Every renewal changes its text, so
that whoever takes an expired lease over fails if it was renewed in that very moment.
"""

import json
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from etl.errors import BusyError, StorageError
from etl.load.bucket_client import refusal
from etl.load.holder import LEASE, acquire, own_name

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, PutResult, UpdateVersion
    from obstore.store import ObjectStore

LIFETIME = 120.0
"""Seconds after which a lease that was not renewed belongs to a process that is no more."""

_RENEWALS = 4
"""How often a lease is renewed in its lifetime."""

_POLL_SECONDS = 2.0
_TICK = 0.1


def version_of(meta: "ObjectMeta | PutResult | None") -> "UpdateVersion":
    """Which of the writes of an object an answer tells of; empty where the storage does not say."""
    version: UpdateVersion = {}
    if meta and meta["e_tag"]:
        version["e_tag"] = meta["e_tag"]
    if meta and meta["version"]:
        version["version"] = meta["version"]
    return version


class BucketLease:
    """The exclusive right to write into a folder, from `take` to `release`.

    Attributes:
        taken: a time by the storage's clock: what is older was written before the lease was taken.
    """

    def __init__(
        self, store: "ObjectStore", folder: str, where: str, wait: float, lifetime: float = LIFETIME
    ) -> None:
        """Describe the lease; nothing is requested yet.

        Args:
            store: the storage.
            folder: the folder, or the empty string for the archive's root.
            where: the folder's address.
            wait: seconds to wait for the present holder; `math.inf` is for ever.
            lifetime: seconds it lasts without being renewed.
        """
        self.taken = datetime.min.replace(tzinfo=UTC)
        self._inherited = False
        self._store = store
        self._key = f"{folder}/{LEASE}" if folder else LEASE
        self._where = where
        self._wait = wait
        self._lifetime = lifetime
        self._own: dict[str, object] = {**own_name(), "id": uuid.uuid4().hex, "seconds": lifetime}
        self._writes = 0
        self._version: UpdateVersion = {}
        self._renewed = float("-inf")
        self._lost = False
        self._one_at_a_time = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def take(self) -> None:
        """Take the lease.

        Raises:
            BusyError: Another process holds it; the message names that process and since when.
            StorageError: The storage does not keep the conditions of writes.
        """
        acquire(self._try, self._where, self._wait, _POLL_SECONDS)
        try:
            self._prove()
            begun: datetime = obstore.head(self._store, self._key)["last_modified"]
            # The clock counts whole seconds.
            self.taken = begun + timedelta(seconds=1)
            while self._inherited and self._now() < self.taken:
                # In this one the holder before may have written too.
                time.sleep(_TICK)
        except BaseException:
            self.release()
            raise
        self._thread.start()

    def release(self) -> None:
        """Give the lease back."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        # Where that fails it expires.
        with suppress(BaseError, OSError):
            if not self._lost:
                self._put(b"", self._version)

    def check(self, *, now: bool = False) -> None:
        """Make sure that the lease is held, and will be for half of its lifetime.

        Args:
            now: ask the storage, though it was held a moment ago.

        Raises:
            BusyError: It has passed to another process.
            StorageError: It cannot be renewed.
        """
        try:
            if self._lost or _seconds() - self._renewed > self._lifetime / 2:
                self._renew()
            elif now:
                with self._one_at_a_time:
                    self._lost = not self._look_again()
                if self._lost:
                    raise self._passed()
        except (BaseError, OSError) as error:
            raise refusal("write", f"{self._where}/{LEASE}", error) from None

    def _try(self) -> bytes | None:
        """Take the lease if it is free or expired; else tell what it says."""
        begun = _seconds()
        mode: PutMode = "create"
        # Where there is none, somebody may have removed it under a process that is writing.
        inherited = True
        with suppress(FileNotFoundError):
            found = obstore.get(self._store, self._key)
            text = bytes(found.bytes())
            if text and not self._is_own(text) and not self._has_expired(text, found.meta):
                return text
            mode, inherited = version_of(found.meta), bool(text)
        try:
            self._version = self._put(self._text(), mode)
        except (AlreadyExistsError, PreconditionError):
            # Taken by another, or by this one, and the answer was lost.
            with suppress(FileNotFoundError):
                found = obstore.get(self._store, self._key)
                text = bytes(found.bytes())
                if not self._is_own(text):
                    return text
                self._version = version_of(found.meta)
            if not self._version:
                return b""
        self._renewed, self._inherited = begun, inherited
        return None

    def _prove(self) -> None:
        """Make sure that the storage keeps conditions: one that ignores them would let two runs write.

        Raises:
            StorageError: It does not.
        """
        stale: UpdateVersion | None = self._version
        if stale:
            self._renew()
            with suppress(AlreadyExistsError):
                self._put(self._text(), "create")
                stale = None
        if stale:
            with suppress(PreconditionError):
                self._put(self._text(), stale)
                stale = None
        if not stale:
            raise StorageError(
                f"cannot write {self._where}: the storage does not keep the conditions of writes"
                " (If-None-Match, If-Match), which keep two runs apart",
                "use one that does, or archive into a folder",
            )

    def _renew(self) -> None:
        """Write the lease anew.

        Raises:
            BusyError: It has passed to another process.
        """
        with self._one_at_a_time:
            for _ in range(2):
                begun = _seconds()
                if self._lost:
                    break
                try:
                    self._version = self._put(self._text(), self._version)
                except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                    # Passed to another, or renewed before, and the answer was lost.
                    self._lost = not self._look_again()
                else:
                    self._renewed = begun
                    return
            self._lost = True
        raise self._passed()

    def _passed(self) -> BusyError:
        return BusyError(
            f"the lease of {self._where} has passed to another run",
            "what was committed is archived; run the command again",
        )

    def _look_again(self) -> bool:
        """Whether the lease is the own one still; its version is noted."""
        with suppress(FileNotFoundError):
            found = obstore.get(self._store, self._key)
            if self._is_own(bytes(found.bytes())):
                self._version = version_of(found.meta)
                return True
        return False

    def _keep(self) -> None:
        """Renew the lease until it is given back, or lost."""
        while not self._ended.wait(self._lifetime / _RENEWALS):
            with suppress(BaseError, OSError):
                try:
                    self._renew()
                except BusyError:
                    return

    def _text(self) -> bytes:
        self._writes += 1
        return json.dumps({**self._own, "write": self._writes}).encode()

    def _is_own(self, text: bytes) -> bool:
        return f'"{self._own["id"]}"'.encode() in text

    def _put(self, text: bytes, mode: "PutMode") -> "UpdateVersion":
        return version_of(obstore.put(self._store, self._key, text, mode=mode, use_multipart=False))

    def _has_expired(self, text: bytes, meta: "ObjectMeta") -> bool:
        try:
            lifetime = float(json.loads(text)["seconds"])
        except (ValueError, KeyError, TypeError):
            lifetime = self._lifetime
        age: float = (self._now() - meta["last_modified"]).total_seconds()
        return age > lifetime

    def _now(self) -> datetime:
        """The time by the storage's clock."""
        clock = f"{self._key}-clock"
        obstore.put(self._store, clock, b"", use_multipart=False)
        now: datetime = obstore.head(self._store, clock)["last_modified"]
        return now


def _seconds() -> float:
    """Seconds of this machine, those included in which it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
