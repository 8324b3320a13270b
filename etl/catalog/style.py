"""How a continent is catalogued: what was chosen for it once stays, until something else is chosen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from pydantic_core import from_json

from etl.catalog.address import Address, address_of
from etl.errors import UsageError
from etl.load.inventory import CATALOG, COLLECTION
from etl.load.stores import Store

Items = Literal["none", "frame"]
"""`frame`: one STAC item for every frame; `none`: the collection alone."""

ITEMS = "items"
"""Folder of a continent's items, beside its collection."""

EXPORT = "items.parquet"
"""All items of a continent in one STAC-GeoParquet file, beside its collection."""

_ITEMS = "ndvi_archive:items"
_GEOPARQUET = "ndvi_archive:geoparquet"
_LIBRARY = "rustac"


@dataclass(frozen=True)
class Choices:
    """What a user wants; None is: as it was before.

    Attributes:
        items: which items there are.
        geoparquet: export the items as STAC-GeoParquet too.
        public_url: URL of the archive's root for absolute links; `relative` for relative ones.
    """

    items: Items | None = None
    geoparquet: bool | None = None
    public_url: str | None = None


@dataclass(frozen=True)
class Style:
    """How a continent is catalogued.

    Attributes:
        items: which items there are; None where that was never said, which means none.
        geoparquet: the items are to be exported; None where that was never said, which means no.
        exported: there is an export.
        address: where links lead.
    """

    items: Items | None = None
    geoparquet: bool | None = None
    exported: bool = False
    address: Address = field(default_factory=Address)

    def fields(self) -> dict[str, Any]:
        """The fields of a collection by which later runs know."""
        said = {_ITEMS: self.items, _GEOPARQUET: self.geoparquet}
        return {name: value for name, value in said.items() if value is not None}


def can_export() -> bool:
    """Whether the library that writes STAC-GeoParquet is installed."""
    return find_spec(_LIBRARY) is not None


def style_of(document: Mapping[str, Any], key: str) -> Style:
    """How a catalog or a collection says that it was published.

    Args:
        document: what was read; it can be anything.
        key: its key in the archive.
    """
    items, geoparquet = document.get(_ITEMS), document.get(_GEOPARQUET)
    assets, links = document.get("assets"), document.get("links")
    hrefs = [
        link.get("href")
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, Mapping) and link.get("rel") == "self"
    ]
    href = hrefs[0] if hrefs and isinstance(hrefs[0], str) else ""
    return Style(
        items=items if items in ("none", "frame") else None,
        geoparquet=geoparquet if isinstance(geoparquet, bool) else None,
        exported=items == "frame" and geoparquet is True and isinstance(assets, Mapping) and ITEMS in assets,
        address=Address(href.removesuffix(f"/{key}") if href.endswith(f"/{key}") else None),
    )


def chosen_style(store: Store, folder: str, choices: Choices) -> Style:
    """How to catalogue a continent: as chosen now, else as before.

    Raises:
        UsageError: The choices cannot be used.
        StorageError: The storage refuses to be read.
    """
    key = f"{folder}/{COLLECTION}"
    before = style_of(_read(store, key), key)
    items = choices.items or before.items
    if items is None and store.exists(f"{folder}/{ITEMS}"):
        # Of a first run with items that was interrupted, or the collection was lost.
        items = "frame"
    geoparquet = before.geoparquet if choices.geoparquet is None else choices.geoparquet
    if geoparquet is None and store.exists(f"{folder}/{EXPORT}"):
        # The collection was lost.
        geoparquet = True
    if choices.geoparquet and items != "frame":
        raise UsageError("there are no items to export", "add --items frame")
    if choices.geoparquet and not can_export():
        raise UsageError(
            "the library that writes STAC-GeoParquet is not installed",
            "run pip install 'ndvi-archive[geoparquet]', or leave out --geoparquet",
        )
    exported = bool(geoparquet) and items == "frame" and can_export()
    return Style(items, geoparquet, exported, chosen_address(store, choices))


def chosen_address(store: Store, choices: Choices) -> Address:
    """The archive's address: as given now, else as its catalog has it, or any collection.

    Raises:
        UsageError: The one given cannot be used.
        StorageError: The storage refuses to be read.
    """
    if choices.public_url is not None:
        return address_of(choices.public_url)
    catalog = _read(store, CATALOG)
    if catalog:
        return style_of(catalog, CATALOG).address
    of_collections = (style_of(_read(store, key), key).address for key in _collections(store))
    return next((address for address in of_collections if address.public_url is not None), Address())


def _collections(store: Store) -> Iterator[str]:
    for folder in store.folders():
        yield f"{folder}/{COLLECTION}"


def _read(store: Store, key: str) -> Mapping[str, Any]:
    try:
        document = from_json(store.get(key) or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
