"""Writing the items of a continent: only those that are new or have changed.

A month's catalog is written after its items and holds their digest. Where it is there as it should be, so are
they, and none of them is read.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping

from etl.catalog.documents import documents, put_changed
from etl.catalog.items import (
    ITEM_PIXELS,
    Document,
    Surroundings,
    image_key,
    is_ours,
    item_key,
    items_folder,
    month_key,
    months,
    year_key,
    years,
)
from etl.catalog.quicklook import quicklook
from etl.load.inventory import Inventory
from etl.load.stores import Store
from etl.signals import raise_if_asked

Told = Callable[[int, int], None]
"""Called with the number of items that are done, and of all that are to be looked at or drawn."""

log = logging.getLogger(__name__)


def publish_items(around: Surroundings, told: Told | None = None) -> int:
    """Bring the items, their quicklooks and the catalogs of months and years up to what is committed.

    Items come before the month that links to them, and months before their year. What is no longer of use
    stays, so that no link leads nowhere; see `remove_stale`. A signal or the deadline ends it between two
    items; the next run goes on from there.

    Args:
        around: what the items are within.
        told: is told how many items are done, of all that are to be looked at or drawn.

    Returns:
        Bytes written.

    Raises:
        IncompatibleError: A frame that is to be drawn is damaged.
        StorageError: The storage refuses a read or a write.
    """
    inventory, files = around.inventory, documents(around)
    present = set(inventory.store.keys(items_folder(inventory.folder)))
    missing = {
        month: positions
        for month, positions in months(inventory).items()
        if not _is_published(inventory, month, positions, files, present)
    }
    done, planned = 0, sum(map(len, missing.values()))

    def one_done() -> None:
        nonlocal done
        done += 1
        if told:
            told(done, planned)

    if told and planned:
        told(0, planned)
    written = sum(
        _publish_month(inventory, month, positions, files, one_done) for month, positions in missing.items()
    )
    for year in years(inventory):
        key = year_key(inventory.folder, year)
        written += put_changed(inventory.store, key, files[key])
    return written


def remove_stale(store: Store, folder: str, inventory: Inventory | None) -> None:
    """Remove items, quicklooks and catalogs of no frame; call it when nothing links to them any more.

    What else there is was put there by others, and stays.

    Args:
        store: the archive's storage.
        folder: the continent's folder.
        inventory: the frames that have items; None where none is to have one.

    Raises:
        StorageError: The storage refuses to remove it.
    """
    known = set() if inventory is None else set(known_keys(inventory))
    present = set(store.keys(items_folder(folder)))
    others = {key for key in present if not is_ours(folder, key)}
    if others:
        log.warning(
            "%s was not written by this program, and stays there%s",
            store.location(min(others)),
            f", as do {len(others) - 1} more" if len(others) > 1 else "",
            extra={"event": "others_among_items", "fields": {"keys": sorted(others)}},
        )
    # By name: what a listing does not show may be of others, too.
    store.remove(sorted(present - known - others))


def known_keys(inventory: Inventory) -> Iterable[str]:
    """Keys of all items, quicklooks and catalogs of months and years."""
    for year, its_months in years(inventory).items():
        yield year_key(inventory.folder, year)
        for month in its_months:
            yield month_key(inventory.folder, month)
    for position in range(len(inventory)):
        key = item_key(inventory, position)
        yield from (key, image_key(key))


def _is_published(
    inventory: Inventory,
    month: str,
    positions: Iterable[int],
    files: Mapping[str, bytes],
    present: set[str],
) -> bool:
    """Whether a month and its items are there as they should be."""
    own, items = month_key(inventory.folder, month), [item_key(inventory, each) for each in positions]
    if not {own, *items, *map(image_key, items)} <= present:
        return False
    return inventory.store.get(own) == files[own]


def _publish_month(
    inventory: Inventory,
    month: str,
    positions: Iterable[int],
    files: Mapping[str, bytes],
    one_done: Callable[[], None],
) -> int:
    store, own = inventory.store, month_key(inventory.folder, month)
    keys = {position: item_key(inventory, position) for position in positions}
    absent = set(store.missing([*keys.values(), *map(image_key, keys.values())]))
    written = 0
    redescribed = {}
    for position, key in keys.items():
        found = None if key in absent else store.get(key)
        if image_key(key) in absent or not _shows_same(found, files[key]):
            raise_if_asked()
            written += _draw(inventory, position, key, files[key])
        elif found != files[key]:
            redescribed[key] = files[key]
        one_done()
    store.put_all(redescribed)
    store.put(own, files[own])
    return written + sum(map(len, redescribed.values())) + len(files[own])


def _draw(inventory: Inventory, position: int, key: str, item: bytes) -> int:
    """Write a frame's quicklook, then its item."""
    image = quicklook(inventory.frame(position), ITEM_PIXELS)
    written = put_changed(inventory.store, image_key(key), image)
    return written + put_changed(inventory.store, key, item)


def _shows_same(found: bytes | None, item: bytes) -> bool:
    """Whether the item that is there is of the same pixels, and its quicklook of the same size."""
    if found is None:
        return False
    try:
        return _look(json.loads(found)) == _look(json.loads(item))
    except (ValueError, LookupError, TypeError):
        return False


def _look(item: Document) -> object:
    return item["properties"]["ndvi_archive:checksum"], item["assets"]["thumbnail"]["proj:shape"]
