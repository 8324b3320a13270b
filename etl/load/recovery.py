"""What an interrupted run left behind is completed, or dropped, before the next one writes.

A commit that was interrupted between the arrays' own metadata and the root has written all it is made of, so
it is completed: no reader sees an array shrink. Whatever else lies beyond the committed root is ignored, and
written again. Hold the continent's lease for everything here.
"""

import json
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl.errors import IncompatibleError
from etl.load.archive import lengthened, own_metadata, to_json
from etl.load.generations import finish_replacing, purge_outdated
from etl.load.inventory import COLLECTION, GROUP, ROOT, Inventory, inventory_of, read_inventory
from etl.load.levels import changing, own_document
from etl.load.stores import Store
from etl.transform.overview import levels_of

log = logging.getLogger(__name__)


def recover(store: Store, folder: str) -> Inventory | None:
    """Bring a continent's folder into order.

    Returns:
        What is committed then; None where nothing ever was.

    Raises:
        IncompatibleError: The group is damaged, not one of ours, or from a newer version.
        StorageError: The storage refuses a read or a write.
    """
    store.clear_partial(folder)
    finish_replacing(store, folder)
    purge_outdated(store, folder)
    inventory = read_inventory(store, folder)
    if inventory is None:
        # Of a first commit that was interrupted: without a root, nobody has seen it as an archive. After a
        # collection was published, a group that no listing shows can be one that has lost its root.
        if store.missing([f"{folder}/{COLLECTION}"]):
            store.delete(f"{folder}/{GROUP}")
        return None
    return complete_commit(store, inventory)


def complete_commit(store: Store, inventory: Inventory) -> Inventory:
    """Complete a commit that was interrupted before its root; without one, nothing happens.

    Returns:
        What is committed then.

    Raises:
        StorageError: The storage refuses a read or a write.
    """
    prefix = inventory.group_key
    committed: dict[str, Any] = inventory.root["consolidated_metadata"]["metadata"]
    own = {name: _document(store, f"{prefix}/{name}/{ROOT}") for name in changing(committed)}
    ahead = [document for name, document in own.items() if document != own_document(committed, name)]
    if not ahead:
        return inventory
    following = _following(inventory, max(map(_length, ahead)))
    if following is not None:
        documents = following.root["consolidated_metadata"]["metadata"]
        _put_metadata(store, prefix, documents)
        store.put(f"{prefix}/{ROOT}", to_json(following.root))
        count = len(following) - len(inventory)
        log.info(
            "completed the commit of %d frames that an earlier run was interrupted in",
            count,
            extra={"event": "commit_completed", "fields": {"frames": count}},
        )
        return following
    log.warning(
        "the metadata of arrays in %s differ from the committed ones and are restored",
        store.location(prefix),
        extra={"event": "metadata_restored"},
    )
    _put_metadata(store, prefix, committed)
    return inventory


def _following(inventory: Inventory, length: int) -> Inventory | None:
    """What an interrupted commit up to a length would have made visible; None where it is not all there."""
    if length <= len(inventory):
        return None
    consolidated = inventory.root["consolidated_metadata"]
    documents = lengthened(consolidated["metadata"], length)
    root = {**inventory.root, "consolidated_metadata": {**consolidated, "metadata": documents}}
    try:
        following = inventory_of(inventory.store, inventory.folder, root)
        begun = len(inventory)
        for name, values in inventory.columns.items():
            if following.columns[name][:begun].tobytes() != values.tobytes():
                return None
        for position in range(begun, length):
            if not has_overviews_of(following, position, following.frame(position)):
                return None
    except IncompatibleError as error:
        log.info("%s", error)
        return None
    return following


def has_overviews_of(inventory: Inventory, position: int, values: NDArray[np.int16]) -> bool:
    """Whether the archived overviews of a frame are those of its values.

    Args:
        inventory: the frames.
        position: the frame's position.
        values: its stored values, shape (rows, columns).

    Raises:
        IncompatibleError: An object of an overview is damaged.
    """
    levels = levels_of(values, inventory.factors)
    return all(np.array_equal(inventory.frame(position, factor), level) for factor, level in levels.items())


def _put_metadata(store: Store, prefix: str, documents: dict[str, Any]) -> None:
    for batch in own_metadata(documents, changing(documents)):
        objects = {f"{prefix}/{key}": data for key, data in batch.items()}
        store.put_all({key: data for key, data in objects.items() if store.get(key) != data})


def _document(store: Store, key: str) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(store.get(key) or b"null")
    except ValueError:
        return None
    return document


def _length(document: dict[str, Any] | None) -> int:
    try:
        return int(document["shape"][0]) if document else 0
    except (LookupError, TypeError, ValueError):
        return 0
