"""Replacing all of a continent's frames at once, while readers that have it open go on with the old ones.

A rebuild writes a whole group into a side folder, with the other kind of chunk keys, so that the objects of
both generations can lie in one folder. The archived objects are linked into the new group, and the two
folders are exchanged by one system call. Where the storage cannot do that, the new objects are linked into
the archived group instead, and its metadata are written anew, the root last: readers that ignore consolidated
metadata then see arrays of both generations for a moment.

The old objects stay for a while: whoever opened the group before reads the frames whose times they know. Hold
the continent's lease for everything here.
"""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from etl.errors import BusyError
from etl.load.archive import own_metadata, to_json
from etl.load.attributes import OVERVIEWS
from etl.load.inventory import GROUP, ROOT
from etl.load.levels import array_and_chunk
from etl.load.schema import Keys
from etl.load.series import remove_series_metadata
from etl.load.stores import Store

log = logging.getLogger(__name__)

_READY = "ready.json"
"""In the side folder: its group is complete, and the replacement has begun."""

OUTDATED = ".outdated"
"""In the continent's folder: when the objects of a replaced group ceased to be in force."""

_KEPT = timedelta(hours=12)
"""How long replaced objects are kept for readers that opened the group before."""


def side_folder(folder: str) -> str:
    """Where a rebuild of a continent's folder is written."""
    return f"{folder}/.rebuild"


def other_keys(keys: Keys) -> Keys:
    """The kind of chunk keys that a group to replace this one must have."""
    return "v2" if keys == "default" else "default"


def check_replaceable(store: Store, folder: str) -> None:
    """Check that no reader can be using objects that another replacement would remove.

    Raises:
        BusyError: The last replacement is not long ago.
        StorageError: The storage refuses a read.
    """
    since = _outdated_since(store, folder)
    if since is not None and _is_recent(since):
        raise BusyError(
            f"{store.location(folder)} was rebuilt at {since:%Y-%m-%d %H:%M} UTC, and who opened it before"
            " may still be reading the old frames",
            f"run it again after {since + _KEPT:%Y-%m-%d %H:%M} UTC, or, if there are no such readers, remove"
            f" {store.location(f'{folder}/{OUTDATED}')}",
        )


def prepare_replacing(store: Store, folder: str) -> None:
    """Put the objects of the finished group in the side folder and those of the archived one together.

    From here on every run completes the replacement; readers do not see anything of it yet.

    Raises:
        StorageError: The storage refuses a read or a write; the next run goes on with it.
    """
    main, side = f"{folder}/{GROUP}", f"{side_folder(folder)}/{GROUP}"
    new = _keys_of(store, side)
    exchange = store.exchanges(folder)
    if exchange:
        _link(store, main, side, other_keys(new))
    else:
        _purge(store, folder, new)
        _link(store, side, main, new)
    store.put(f"{side_folder(folder)}/{_READY}", to_json({"keys": new, "exchange": exchange}))


def finish_replacing(store: Store, folder: str) -> bool:
    """Complete a replacement whose objects are in place; without one, nothing happens.

    Returns:
        Whether there was one.

    Raises:
        StorageError: The storage refuses a read or a write; the next run goes on with it.
    """
    main, side = f"{folder}/{GROUP}", f"{side_folder(folder)}/{GROUP}"
    try:
        ready = json.loads(store.get(f"{side_folder(folder)}/{_READY}") or b"")
        new: Keys = ready["keys"]
        exchange = ready["exchange"] is True
        if _keys_of(store, main) != new and _keys_of(store, side) != new:
            return False
    except (ValueError, LookupError, TypeError):
        return False
    if _keys_of(store, main) != new:
        _note_outdated(store, folder)
        if not exchange or not store.exchange(main, side):
            # Prepared for an exchange that this machine cannot do, the new objects are not there yet.
            if exchange:
                _link(store, side, main, new)
            root = _document(store, f"{side}/{ROOT}")
            documents = root["consolidated_metadata"]["metadata"]
            for batch in own_metadata(documents, documents):
                store.put_all({f"{main}/{key}": data for key, data in batch.items()})
            store.put(f"{main}/{ROOT}", to_json(root))
    _drop_levels_metadata(store, main)
    # The objects stay for those who opened it before, and nobody is led to them any more.
    remove_series_metadata(store, main)
    # After an exchange it is that of the replaced group, which must not pass for a rebuild that was begun.
    store.delete(f"{side}/{ROOT}")
    # A removal may not outlast a power loss; done again after later commits, this would undo them.
    store.put(f"{side_folder(folder)}/{_READY}", b"")
    drop_side(store, folder)
    log.info("the rebuilt group has replaced the archived one", extra={"event": "group_replaced"})
    return True


def drop_side(store: Store, folder: str) -> None:
    """Remove what a rebuild wrote; its root first, so that half of it is never taken for a group.

    Raises:
        StorageError: The storage refuses a removal.
    """
    store.delete(f"{side_folder(folder)}/{GROUP}/{ROOT}")
    store.delete(side_folder(folder))


def purge_outdated(store: Store, folder: str) -> None:
    """Remove the objects of a replaced group once no reader can be expected to use them any more.

    Raises:
        StorageError: The storage refuses a read or a removal.
    """
    if not store.exists(f"{folder}/{OUTDATED}"):
        return
    since = _outdated_since(store, folder)
    if since is None:
        _note_outdated(store, folder)
    elif not _is_recent(since):
        _purge(store, folder, other_keys(_keys_of(store, f"{folder}/{GROUP}")))
        store.delete(f"{folder}/{OUTDATED}")


def is_of(keys: Keys, key: str) -> bool:
    """Whether a chunk's key within its array, such as `c/0/0/0` or `0/0/0`, is of a kind."""
    return (key.split("/", maxsplit=1)[0] == "c") == (keys == "default")


def _outdated_since(store: Store, folder: str) -> datetime | None:
    """When the group was replaced; None where that is not told."""
    try:
        since = datetime.fromisoformat(json.loads(store.get(f"{folder}/{OUTDATED}") or b"")["since"])
    except (ValueError, LookupError, TypeError):
        return None
    return since if since.tzinfo else None


def _is_recent(since: datetime) -> bool:
    """Whether readers can be left from before; clocks may differ."""
    return abs(datetime.now(UTC) - since) < _KEPT


def _note_outdated(store: Store, folder: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    store.put(f"{folder}/{OUTDATED}", to_json({"since": since}))


def _link(store: Store, source: str, target: str, keys: Keys) -> None:
    """Let all chunks of a kind be chunks of another group too."""
    for key in _chunks(store, source, keys):
        store.copy(key, target + key.removeprefix(source))


def _purge(store: Store, folder: str, keys: Keys) -> None:
    for key in _chunks(store, f"{folder}/{GROUP}", keys):
        store.delete(key)


def _chunks(store: Store, group: str, keys: Keys) -> list[str]:
    """Keys of all chunks of a kind in a group."""
    found = ((key, array_and_chunk(key.removeprefix(f"{group}/"))[1]) for key in store.keys(group))
    return sorted(key for key, chunk in found if chunk not in ("", ROOT) and is_of(keys, chunk))


def _drop_levels_metadata(store: Store, group: str) -> None:
    """Remove the metadata of levels that the replaced group had and this one has not."""
    known = _document(store, f"{group}/{ROOT}")["consolidated_metadata"]["metadata"]
    for key in list(store.keys(f"{group}/{OVERVIEWS}")):
        name, _, last = key.removeprefix(f"{group}/").rpartition("/")
        if last == ROOT and name not in known:
            store.delete(key)


def _document(store: Store, key: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(store.get(key) or b"{}")
    return document


def _keys_of(store: Store, group: str) -> Keys:
    root = _document(store, f"{group}/{ROOT}")
    keys: Keys = root["consolidated_metadata"]["metadata"]["ndvi"]["chunk_key_encoding"]["name"]
    return keys
