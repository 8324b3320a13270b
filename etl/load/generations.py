"""Replacing all of a continent's frames at once, while readers that have it open go on with the old ones.

A rebuild writes a whole group into a side folder, with the other kind of chunk keys. To replace the archived
group its objects are linked beside the old ones, which they cannot hide, and the switch is the one atomic
write of the root. The old objects stay for a while, so that whoever opened the group before still reads the
frames whose times they know. Hold the continent's lease for everything here.
"""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from etl.load.archive import own_metadata, to_json
from etl.load.inventory import GROUP, ROOT
from etl.load.schema import ARRAYS, Keys
from etl.load.stores import Store

log = logging.getLogger(__name__)

_READY = "ready.json"
"""In the side folder: its group is complete, and the replacement has begun."""

_OUTDATED = ".outdated"
"""In the continent's folder: which objects of its group were replaced, and when."""

_KEPT = timedelta(hours=12)
"""How long replaced objects are kept for readers that opened the group before."""


def side_folder(folder: str) -> str:
    """Where a rebuild of a continent's folder is written."""
    return f"{folder}/.rebuild"


def other_keys(keys: Keys) -> Keys:
    """The kind of chunk keys that a group to replace this one must have."""
    return "v2" if keys == "default" else "default"


def replace_group(store: Store, folder: str) -> None:
    """Let the finished group in the side folder replace the archived one.

    Raises:
        StorageError: The storage refuses a read or a write; the next run goes on with it.
    """
    side = f"{side_folder(folder)}/{GROUP}"
    keys = _keys_of(_document(store, f"{side}/{ROOT}"))
    # Of the generation before the archived one, which had the same keys.
    _purge(store, folder, keys)
    for key in sorted(store.keys(side)):
        if not key.endswith(f"/{ROOT}"):
            store.copy(key, f"{folder}/{GROUP}{key.removeprefix(side)}")
    store.put(f"{side_folder(folder)}/{_READY}", b"{}\n")
    finish_replacing(store, folder)


def finish_replacing(store: Store, folder: str) -> None:
    """Complete a replacement whose objects are in place; without one, nothing happens.

    Raises:
        StorageError: The storage refuses a read or a write; the next run goes on with it.
    """
    if not store.exists(f"{side_folder(folder)}/{_READY}"):
        return
    prefix = f"{folder}/{GROUP}"
    root = _document(store, f"{side_folder(folder)}/{GROUP}/{ROOT}")
    since = datetime.now(UTC).isoformat(timespec="seconds")
    outdated = {"keys": other_keys(_keys_of(root)), "since": since}
    store.put(f"{folder}/{_OUTDATED}", to_json(outdated))
    for batch in own_metadata(root["consolidated_metadata"]["metadata"]):
        store.put_all({f"{prefix}/{key}": data for key, data in batch.items()})
    store.put(f"{prefix}/{ROOT}", to_json(root))
    store.delete(f"{side_folder(folder)}/{_READY}")
    store.delete(side_folder(folder))
    log.info("the rebuilt group has replaced the archived one", extra={"event": "group_replaced"})


def purge_outdated(store: Store, folder: str) -> None:
    """Remove the objects of a replaced group once no reader can be expected to use them any more.

    Raises:
        StorageError: The storage refuses a read or a removal.
    """
    data = store.get(f"{folder}/{_OUTDATED}")
    if data is None:
        return
    outdated = json.loads(data)
    in_force = _keys_of(_document(store, f"{folder}/{GROUP}/{ROOT}"))
    age = datetime.now(UTC) - datetime.fromisoformat(outdated["since"])
    if age >= _KEPT and outdated["keys"] != in_force:
        _purge(store, folder, outdated["keys"])


def is_of(keys: Keys, key: str) -> bool:
    """Whether a chunk's key within its array, such as `c/0/0/0` or `0/0/0`, is of a kind."""
    return (key.split("/", maxsplit=1)[0] == "c") == (keys == "default")


def _purge(store: Store, folder: str, keys: Keys) -> None:
    for name in ARRAYS:
        array = f"{folder}/{GROUP}/{name}/"
        for key in list(store.keys(array)):
            if key != array + ROOT and is_of(keys, key.removeprefix(array)):
                store.delete(key)
    store.delete(f"{folder}/{_OUTDATED}")


def _document(store: Store, key: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(store.get(key) or b"{}")
    return document


def _keys_of(root: dict[str, Any]) -> Keys:
    keys: Keys = root["consolidated_metadata"]["metadata"]["ndvi"]["chunk_key_encoding"]["name"]
    return keys
