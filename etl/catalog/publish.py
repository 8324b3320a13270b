"""Writing the STAC files of an archive; they are derived from the committed stores and can be rebuilt."""

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from etl.catalog.collection import OVERVIEW, THUMBNAIL, shown_frame
from etl.catalog.documents import describe, put_changed, to_json
from etl.catalog.export import build_export
from etl.catalog.items import Surroundings, is_ours, items_folder
from etl.catalog.publish_items import Told, known_keys, publish_items, remove_stale
from etl.catalog.quicklook import OVERVIEW_PIXELS, THUMBNAIL_PIXELS, quicklook
from etl.catalog.root import build_catalog, find_children
from etl.catalog.style import EXPORT, Choices, Style, chosen_style
from etl.catalog.templates import load_template, templates_for
from etl.errors import UsageError
from etl.load.inventory import CATALOG, COLLECTION, Inventory, read_inventory
from etl.load.stores import Store

_PATIENCE = 600.0
"""Seconds to wait for others that write the catalog, which takes each of them a moment."""

log = logging.getLogger(__name__)


def publish(
    store: Store,
    folder: str,
    templates: Path | None = None,
    choices: Choices | None = None,
    told: Told | None = None,
    *,
    at_end: bool = False,
) -> int:
    """Bring a continent's STAC files, and the archive's catalog, up to what is committed.

    Only what differs from what is there is written, and always what is led to before what leads there: items
    and quicklooks, then the collection, then the catalog. What nothing leads to any more goes last.
    Hold the continent's lease; the root's is taken here, waiting for it, while the catalog is written.

    Args:
        store: the archive's storage.
        folder: the continent's folder in the archive.
        templates: folder of the templates; those that come with the program if None.
        choices: what is to be otherwise than it was.
        told: is told how many of the items that are to be written are done, and of how many.
        at_end: the run has to end now; where there are items, whose drawing takes long, all is left to the
            next one.

    Returns:
        Bytes written.

    Raises:
        UsageError: Nothing was archived in the folder, or a template or a choice cannot be used.
        IncompatibleError: The continent's store is damaged.
        StorageError: The storage refuses a read or a write.
        Interrupted: A signal came while items were written; as `DeadlineError`, the next run goes on.
    """
    templates = templates or templates_for([folder])
    catalog_template = load_template(CATALOG, templates)
    collection_template = load_template(COLLECTION, templates)
    catalog_title = catalog_template.fill({})["title"]
    style = chosen_style(store, folder, choices or Choices())
    if at_end and style.items == "frame":
        return 0
    inventory = read_inventory(store, folder)
    if inventory is None or len(inventory) == 0:
        raise UsageError(f"{store.location(folder)} holds no archived frames", "archive some first")

    around = describe(inventory, collection_template, catalog_title, style)
    written = 0
    if not _is_published(around):
        written += _write_below(around, told)
        written += put_changed(store, f"{folder}/{COLLECTION}", to_json(around.collection))
        _remove_stale(inventory, style)
    with store.lease("", _PATIENCE):
        store.clear_partial("")
        catalog = build_catalog(find_children(store, folder), catalog_template, style.address)
        written += put_changed(store, CATALOG, to_json(catalog))
    return written


def _is_published(around: Surroundings) -> bool:
    """Whether the collection is there as it should be, and what it leads to; that was written before it."""
    inventory, style = around.inventory, around.style
    store, folder = inventory.store, inventory.folder
    if store.get(f"{folder}/{COLLECTION}") != to_json(around.collection):
        return False
    names = [OVERVIEW, THUMBNAIL, *([EXPORT] if style.exported else [])]
    if store.missing(f"{folder}/{name}" for name in names):
        return False
    known = set(known_keys(inventory)) if style.items == "frame" else set()
    # Where a listing lacks some, they are looked at one by one.
    return known == {key for key in store.keys(items_folder(folder)) if is_ours(folder, key)}


def _write_below(around: Surroundings, told: Told | None) -> int:
    """Write what the collection leads to."""
    inventory, style = around.inventory, around.style
    written = publish_items(around, told) if style.items == "frame" else 0
    if style.exported:
        written += put_changed(inventory.store, f"{inventory.folder}/{EXPORT}", build_export(around))
    elif style.items == "frame" and style.geoparquet:
        log.warning(
            "the STAC-GeoParquet file of %s is left out: run pip install 'ndvi-archive[geoparquet]'",
            inventory.continent,
            extra={"event": "export_left_out", "fields": {"folder": inventory.folder}},
        )
    return written + _write_quicklooks(inventory)


def _write_quicklooks(inventory: Inventory) -> int:
    values = inventory.frame(shown_frame(inventory))
    sizes = {OVERVIEW: OVERVIEW_PIXELS, THUMBNAIL: THUMBNAIL_PIXELS}
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(partial(quicklook, values), sizes.values()))
    return sum(
        put_changed(inventory.store, f"{inventory.folder}/{name}", image)
        for name, image in zip(sizes, images, strict=True)
    )


def _remove_stale(inventory: Inventory, style: Style) -> None:
    remove_stale(inventory.store, inventory.folder, inventory if style.items == "frame" else None)
    if not style.exported:
        inventory.store.remove([f"{inventory.folder}/{EXPORT}"])
