"""One writer at a time in an object store: an object that is created only if absent, renewed, and expires.

Its age is told by the storage's own clock, as the time between two objects, so that the clocks of the
machines need not agree.
"""

import json
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from etl.errors import BusyError
from etl.load.holder import LEASE, acquire, own_name

LIFETIME = 120.0
"""Seconds after which a lease that was not renewed belongs to a process that is no more."""

_RENEWALS = 4
"""How often a lease is renewed in its lifetime."""

_POLL_SECONDS = 2.0
_TICK = 0.1


class BucketLease:
    """The exclusive right to write into a folder, from `take` to `release`.

    Attributes:
        taken: a time by the storage's clock: what is older was written before the lease was taken.
    """

    def __init__(self, store: Any, folder: str, where: str, wait: float, lifetime: float = LIFETIME) -> None:  # noqa: ANN401 - one of obstore's stores
        """Describe the lease; nothing is requested yet.

        Args:
            store: the storage.
            folder: the folder, or the empty string for the archive's root.
            where: the folder's address.
            wait: seconds to wait for the present holder; `math.inf` is for ever.
            lifetime: seconds it lasts without being renewed.
        """
        self.taken = datetime.min.replace(tzinfo=UTC)
        self._store = store
        self._key = f"{folder}/{LEASE}" if folder else LEASE
        self._where = where
        self._wait = wait
        self._lifetime = lifetime
        self._text = json.dumps({**own_name(), "id": uuid.uuid4().hex, "seconds": lifetime}).encode()
        self._e_tag = ""
        self._renewed = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def take(self) -> None:
        """Take the lease.

        Raises:
            BusyError: Another process holds it; the message names that process and since when.
        """
        acquire(self._try, self._where, self._wait, _POLL_SECONDS)
        begun: datetime = obstore.head(self._store, self._key)["last_modified"]
        self.taken = self._now()
        # The clock counts whole seconds: in this one, the holder before may have written too.
        while self.taken <= begun:
            time.sleep(_TICK)
            self.taken = self._now()
        self._thread.start()

    def release(self) -> None:
        """Give the lease back."""
        self._ended.set()
        self._thread.join()
        # Where that fails it expires.
        with suppress(BaseError, OSError):
            if bytes(obstore.get(self._store, self._key).bytes()) == self._text:
                obstore.delete(self._store, self._key)

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            BusyError: It may have expired.
        """
        if monotonic() - self._renewed > self._lifetime:
            raise BusyError(
                f"the lease of {self._where} could not be renewed and may have passed to another run",
                "what was committed is archived; run the command again",
            )

    def _try(self) -> bytes | None:
        """Take the lease if it is free or expired; else tell what it says."""
        asked = monotonic()
        mode: Any = "create"
        try:
            found = obstore.get(self._store, self._key)
        except FileNotFoundError:
            pass
        else:
            text = bytes(found.bytes())
            if text != self._text and not self._has_expired(text, found.meta):
                return text
            mode = {"e_tag": found.meta["e_tag"]}
        try:
            result = obstore.put(self._store, self._key, self._text, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return b""
        self._e_tag, self._renewed = result["e_tag"] or "", asked
        return None

    def _has_expired(self, text: bytes, meta: Mapping[str, Any]) -> bool:
        try:
            lifetime = float(json.loads(text)["seconds"])
        except (ValueError, KeyError, TypeError):
            lifetime = self._lifetime
        age: float = (self._now() - meta["last_modified"]).total_seconds()
        return age > lifetime

    def _now(self) -> datetime:
        """The time by the storage's clock."""
        clock = f"{self._key}-clock-{uuid.uuid4().hex}"
        obstore.put(self._store, clock, b"", use_multipart=False)
        now: datetime = obstore.head(self._store, clock)["last_modified"]
        obstore.delete(self._store, clock)
        return now

    def _keep(self) -> None:
        """Renew the lease until it is given back, or lost."""
        while not self._ended.wait(self._lifetime / _RENEWALS):
            asked = monotonic()
            try:
                result = obstore.put(
                    self._store, self._key, self._text, mode={"e_tag": self._e_tag}, use_multipart=False
                )
            except (AlreadyExistsError, PreconditionError):
                self._renewed = float("-inf")
                return
            except (BaseError, OSError):
                continue
            self._e_tag, self._renewed = result["e_tag"] or "", asked
