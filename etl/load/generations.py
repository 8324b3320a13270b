"""Replacing all of a continent's frames at once, while readers that have it open go on with the old ones.

A rebuild writes a whole group into a side folder, with the other kind of chunk keys, so that the objects of
both generations can lie in one folder. The archived objects are linked into the new group, and the two
folders are exchanged by one system call. Where the storage cannot do that, the new objects are linked into
the archived group instead, and its metadata are written anew, the root last: readers that ignore consolidated
metadata then see arrays of both generations for a moment.

No listing decides what is replaced: the objects of a group are those that its root calls for, and each of the
new ones is looked for before the exchange.

The old objects stay for a while: whoever opened the group before reads the frames whose times they know. Hold
the continent's lease for everything here.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from etl.errors import BusyError, IncompatibleError
from etl.load.archive import own_metadata, to_json
from etl.load.encoding import chunk_keys
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
        IncompatibleError: Objects of the finished group are missing; it is dropped, and nothing is replaced.
        StorageError: The storage refuses a read or a write; the next run goes on with it.
    """
    main, side = f"{folder}/{GROUP}", f"{side_folder(folder)}/{GROUP}"
    before, documents = _documents(store, main), _documents(store, side)
    chunks = chunk_keys(documents)
    _check_whole(store, folder, chunks)
    exchange = store.exchanges(folder)
    if exchange:
        # Those that are missing were so for readers of the archived group before.
        known = _chunks_of_damaged(before)
        lost = set(store.missing(f"{main}/{key}" for key in known))
        _link(store, main, side, (key for key in known if f"{main}/{key}" not in lost))
    else:
        _purge(store, folder)
        _link(store, side, main, chunks)
    ready = {"keys": _keys_in(documents), "exchange": exchange, "gone": sorted(before.keys() - documents)}
    store.put(f"{side_folder(folder)}/{_READY}", to_json(ready))


def finish_replacing(store: Store, folder: str) -> bool:
    """Complete a replacement whose objects are in place; without one, nothing happens.

    Returns:
        Whether there was one.

    Raises:
        IncompatibleError: Objects of the new group are missing; it is dropped, and nothing is replaced.
        StorageError: The storage refuses a read or a write; the next run goes on with it.
    """
    main, side = f"{folder}/{GROUP}", f"{side_folder(folder)}/{GROUP}"
    try:
        ready = json.loads(store.get(f"{side_folder(folder)}/{_READY}") or b"")
        new: Keys = ready["keys"]
        exchange, gone = ready["exchange"] is True, list(map(str, ready.get("gone", _documents(store, main))))
        if _keys_of(store, main) != new and _keys_of(store, side) != new:
            return False
    except (ValueError, LookupError, TypeError):
        return False
    if _keys_of(store, main) != new:
        _replace(store, folder, exchange=exchange)
    # Of what the replaced group had and this one has not, such as overviews.
    known = _documents(store, main)
    store.remove(f"{main}/{name}/{ROOT}" for name in gone if name not in known)
    # The objects stay for those who opened it before, and nobody is led to them any more.
    remove_series_metadata(store, main)
    # After an exchange it is that of the replaced group, which must not pass for an unfinished rebuild.
    store.remove([f"{side}/{ROOT}"])
    # A removal may not outlast a power loss; done again after later commits, this would undo them.
    store.put(f"{side_folder(folder)}/{_READY}", b"")
    drop_side(store, folder)
    log.info("the rebuilt group has replaced the archived one", extra={"event": "group_replaced"})
    return True


def drop_side(store: Store, folder: str) -> None:
    """Remove what a rebuild wrote; what makes it a group first, so that what stays is never taken for one.

    Raises:
        StorageError: The storage refuses a removal.
    """
    store.remove([f"{side_folder(folder)}/{name}" for name in (f"{GROUP}/{ROOT}", _READY)])
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
        _purge(store, folder)
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


def _replace(store: Store, folder: str, *, exchange: bool) -> None:
    """Let the group in the side folder be the archived one; each of its objects is looked for before."""
    main, side = f"{folder}/{GROUP}", f"{side_folder(folder)}/{GROUP}"
    root = _document(store, f"{side}/{ROOT}")
    documents = root["consolidated_metadata"]["metadata"]
    # Prepared for an exchange that this machine cannot do, none of the new objects are there yet.
    lacking = chunk_keys(documents)
    if not exchange:
        lost = store.missing(f"{main}/{key}" for key in lacking)
        lacking = [key.removeprefix(f"{main}/") for key in lost]
    _check_whole(store, folder, lacking)
    _note_outdated(store, folder)
    if exchange and store.exchange(main, side):
        return
    _link(store, side, main, lacking)
    for batch in own_metadata(documents, documents):
        store.put_all({f"{main}/{key}": data for key, data in batch.items()})
    store.put(f"{main}/{ROOT}", to_json(root))


def _check_whole(store: Store, folder: str, chunks: Iterable[str]) -> None:
    """Check that chunks of the group in the side folder are there; it is dropped where one is not."""
    side = f"{side_folder(folder)}/{GROUP}"
    lost = store.missing(f"{side}/{key}" for key in chunks)
    if lost:
        drop_side(store, folder)
        raise IncompatibleError(
            f"{store.location(lost[0])} is missing"
            + (f", as are {len(lost) - 1} more objects of the rebuilt group" if lost[1:] else ""),
            "nothing was replaced; run it again with --rebuild, which begins from the first frame",
        )


def _link(store: Store, source: str, target: str, chunks: Iterable[str]) -> None:
    """Let chunks of a group be chunks of another one too."""
    store.copy_all({f"{target}/{key}": f"{source}/{key}" for key in chunks})


def _chunks_of_damaged(documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Keys of all chunks of a group, as far as its metadata can be understood."""
    known: list[str] = []
    for name, document in documents.items():
        with suppress(LookupError, TypeError, ValueError, ArithmeticError):
            known += chunk_keys({name: document})
    return known


def _purge(store: Store, folder: str) -> None:
    """Remove chunks of the kind that is not in force; those that a listing lacks do no harm."""
    group = f"{folder}/{GROUP}"
    keys = other_keys(_keys_of(store, group))
    found = ((key, array_and_chunk(key.removeprefix(f"{group}/"))[1]) for key in store.keys(group))
    store.remove(sorted(key for key, chunk in found if chunk not in ("", ROOT) and is_of(keys, chunk)))


def _documents(store: Store, group: str) -> dict[str, dict[str, Any]]:
    """The metadata documents that a group's root consolidates, by name."""
    documents: dict[str, dict[str, Any]] = _document(store, f"{group}/{ROOT}")["consolidated_metadata"][
        "metadata"
    ]
    return documents


def _document(store: Store, key: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(store.get(key) or b"{}")
    return document


def _keys_of(store: Store, group: str) -> Keys:
    return _keys_in(_documents(store, group))


def _keys_in(documents: Mapping[str, Mapping[str, Any]]) -> Keys:
    keys: Keys = documents["ndvi"]["chunk_key_encoding"]["name"]
    return keys
