"""Writing the STAC files of an archive; they are derived from the committed stores and can be rebuilt."""

import json
from pathlib import Path

import pystac

from etl.catalog.collection import (
    CATALOG,
    OVERVIEW,
    THUMBNAIL,
    build_collection,
    shown_frame,
)
from etl.catalog.quicklook import OVERVIEW_PIXELS, THUMBNAIL_PIXELS, quicklook
from etl.catalog.root import build_catalog, find_children
from etl.catalog.templates import load_template
from etl.errors import UsageError
from etl.load.inventory import COLLECTION, Inventory, read_inventory
from etl.load.stores import Store

_PATIENCE = 600.0
"""Seconds to wait for others that write the catalog, which takes each of them a moment."""


def publish(store: Store, folder: str, templates: Path | None = None) -> int:
    """Bring a continent's collection and quicklooks, and the archive's catalog, up to what is committed.

    Only what differs from what is there is written. Quicklooks come before the collection that names their
    frame, and the collection before the catalog that links to it, so that no link ever leads nowhere.
    Hold the continent's lease; the root's is taken here, waiting for it, while the catalog is written.

    Args:
        store: the archive's storage.
        folder: the continent's folder in the archive.
        templates: folder of the templates; those that come with the program if None.

    Returns:
        Bytes written.

    Raises:
        UsageError: Nothing was archived in the folder, or a template cannot be used.
        IncompatibleError: The continent's store is damaged.
        StorageError: The storage refuses a read or a write.
    """
    catalog_template = load_template(CATALOG, templates)
    collection_template = load_template(COLLECTION, templates)
    catalog_title = catalog_template.fill({})["title"]
    inventory = read_inventory(store, folder)
    if inventory is None or len(inventory) == 0:
        raise UsageError(f"{store.location(folder)} holds no archived frames", "archive some first")

    collection = to_json(build_collection(inventory, collection_template, catalog_title))
    written = 0
    if not _is_published(store, folder, collection):
        written += _write_quicklooks(inventory)
        written += _put_changed(store, f"{folder}/{COLLECTION}", collection)
    with store.lease("", _PATIENCE):
        store.clear_partial("")
        catalog = build_catalog(find_children(store), catalog_template)
        written += _put_changed(store, CATALOG, to_json(catalog))
    return written


def to_json(document: pystac.Catalog) -> bytes:
    """The file of a catalog or a collection: its links as they are, two blanks a level, a final newline."""
    fields = document.to_dict(include_self_link=False, transform_hrefs=False)
    return (json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _is_published(store: Store, folder: str, collection: bytes) -> bool:
    """Whether the collection is there as it should be; its quicklooks then show the right frame already."""
    return store.get(f"{folder}/{COLLECTION}") == collection and all(
        store.exists(f"{folder}/{name}") for name in (OVERVIEW, THUMBNAIL)
    )


def _write_quicklooks(inventory: Inventory) -> int:
    values = inventory.frame(shown_frame(inventory))
    sizes = {OVERVIEW: OVERVIEW_PIXELS, THUMBNAIL: THUMBNAIL_PIXELS}
    return sum(
        _put_changed(inventory.store, f"{inventory.folder}/{name}", quicklook(values, longest))
        for name, longest in sizes.items()
    )


def _put_changed(store: Store, key: str, data: bytes) -> int:
    if store.get(key) == data:
        return 0
    store.put(key, data)
    return len(data)
