"""The catalogs of a month's items and of a year's months, which keep many frames browsable."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import pystac

from etl.catalog.items import (
    Surroundings,
    item_key,
    month_key,
    title_of,
    year_key,
)
from etl.load.inventory import CATALOG, COLLECTION

DIGEST = "ndvi_archive:digest"
"""Field of a month's catalog: SHA-256 of its items' files, one after the other.

Items are written before it, so that one look at it tells whether they are as they should be.
"""


def digest(items: Iterable[bytes]) -> str:
    """The digest of items' files."""
    total = sha256()
    for item in items:
        total.update(item)
    return total.hexdigest()


def build_month(
    around: Surroundings, month: str, positions: Sequence[int], items_digest: str
) -> pystac.Catalog:
    """The catalog of a month, such as `2021-03`: a link to every item.

    Args:
        around: what it is within.
        month: the month.
        positions: positions of its frames.
        items_digest: digest of the items' files.
    """
    inventory = around.inventory
    count = len(positions)
    catalog = _catalog(
        around, month, f"{count} frame{'' if count == 1 else 's'}, each from one satellite at one time."
    )
    catalog.extra_fields[DIGEST] = items_digest
    year = month[:4]
    _lead_up(catalog, around, month_key(inventory.folder, month), year_key(inventory.folder, year), year)
    for position in positions:
        time, satellite = inventory.times[position], inventory.satellites[position]
        href = around.address.href(month_key(inventory.folder, month), item_key(inventory, position))
        title = f"{time:%Y-%m-%d %H:%M} UTC, {satellite}"
        catalog.add_link(pystac.Link(pystac.RelType.ITEM, href, pystac.MediaType.GEOJSON, title))
    return catalog


def build_year(around: Surroundings, year: str, months: Iterable[str]) -> pystac.Catalog:
    """The catalog of a year, such as `2021`: a link to every month that has frames."""
    folder = around.inventory.folder
    catalog = _catalog(around, year, "One catalog a month that has frames.")
    _lead_up(catalog, around, year_key(folder, year), f"{folder}/{COLLECTION}", None)
    for month in months:
        href = around.address.href(year_key(folder, year), month_key(folder, month))
        title = title_of(around.inventory, month)
        catalog.add_link(pystac.Link(pystac.RelType.CHILD, href, pystac.MediaType.JSON, title))
    return catalog


def _catalog(around: Surroundings, period: str, what: str) -> pystac.Catalog:
    title = title_of(around.inventory, period)
    description = f"Sentinel-3 NDVI of {title}. {what}"
    return pystac.Catalog(f"{around.inventory.folder}-{period}", description, title)


def _lead_up(
    catalog: pystac.Catalog, around: Surroundings, own: str, parent: str, parent_period: str | None
) -> None:
    """Links to itself, where its address is known, to the root and to the parent."""
    catalog.clear_links()
    address, json = around.address, pystac.MediaType.JSON
    if address.public_url is not None:
        catalog.add_link(pystac.Link(pystac.RelType.SELF, address.href(own, own), json, catalog.title))
    catalog.add_link(pystac.Link(pystac.RelType.ROOT, address.href(own, CATALOG), json, around.catalog_title))
    title = title_of(around.inventory, parent_period) if parent_period else around.collection.get("title")
    catalog.add_link(pystac.Link(pystac.RelType.PARENT, address.href(own, parent), json, title))
