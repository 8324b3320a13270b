"""The documents of a catalog: a function of the committed frames, of texts and of a style."""

import json
from collections.abc import Mapping
from typing import Any

import pystac

from etl.catalog.collection import build_collection
from etl.catalog.items import Surroundings, build_item, item_key, month_key, months, year_key, years
from etl.catalog.periods import build_month, build_year, digest
from etl.catalog.style import Style
from etl.catalog.templates import Template
from etl.load.inventory import COLLECTION, Inventory
from etl.load.stores import Store


def describe(inventory: Inventory, template: Template, catalog_title: str, style: Style) -> Surroundings:
    """Describe the committed frames of a continent, with all that its documents are made of.

    Args:
        inventory: the committed frames, at least one.
        template: texts of the collection.
        catalog_title: title of the catalog that the collection belongs to.
        style: how the continent is catalogued.
    """
    collection = build_collection(inventory, template, catalog_title, style)
    return Surroundings(inventory, to_fields(collection), catalog_title, style)


def documents(around: Surroundings) -> dict[str, bytes]:
    """The JSON files of a continent's catalog by key: items, months, years, and the collection."""
    inventory = around.inventory
    files: dict[str, bytes] = {}
    if around.style.items == "frame":
        for month, positions in months(inventory).items():
            items = {item_key(inventory, each): to_json(build_item(around, each)) for each in positions}
            catalog = build_month(around, month, positions, digest(items.values()))
            files |= items | {month_key(inventory.folder, month): to_json(catalog)}
        for year, its_months in years(inventory).items():
            files[year_key(inventory.folder, year)] = to_json(build_year(around, year, its_months))
    return files | {f"{inventory.folder}/{COLLECTION}": to_json(around.collection)}


def to_fields(document: pystac.Catalog) -> dict[str, Any]:
    """The fields of a catalog or a collection, its links as they are."""
    return document.to_dict(include_self_link=True, transform_hrefs=False)


def to_json(document: pystac.Catalog | Mapping[str, Any]) -> bytes:
    """The file of a document: its links as they are, two blanks a level, a final newline."""
    fields = to_fields(document) if isinstance(document, pystac.Catalog) else document
    return (json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def put_changed(store: Store, key: str, data: bytes) -> int:
    """Write an object unless it is there as it should be.

    Returns:
        Bytes written.

    Raises:
        StorageError: The storage refuses a read or a write.
    """
    if store.get(key) == data:
        return 0
    store.put(key, data)
    return len(data)
