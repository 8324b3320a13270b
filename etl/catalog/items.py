"""STAC items, one a frame, and the months and years they are kept in.

europe/items/2021/catalog.json
europe/items/2021/2021-03/catalog.json
europe/items/2021/2021-03/europe-20210301t100000-s3a.json, and the frame's quicklook, .png
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pystac

from etl.catalog.address import Address
from etl.catalog.assets import COLOURS, CRS, STORE_TITLE, ZARR_MEDIA_TYPE, projection, zarr_fields
from etl.catalog.extensions import OF_ITEMS
from etl.catalog.quicklook import quicklook_shape
from etl.catalog.resolution import ground_sample_distance
from etl.catalog.style import ITEMS, Style
from etl.catalog.values import iso, platform, shortest
from etl.load.inventory import CATALOG, COLLECTION, Inventory

ITEM_PIXELS = 256
"""Longer side of an item's quicklook, at most."""

_SAID = ("constellation", "instruments")
"""What people say of all frames in the collection's summaries, and items repeat."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Surroundings:
    """What items are within.

    Attributes:
        inventory: the committed frames.
        collection: their collection, as it is or will be written.
        catalog_title: title of the archive's catalog.
        style: how they are catalogued.
    """

    inventory: Inventory
    collection: Mapping[str, Any]
    catalog_title: str
    style: Style

    @property
    def address(self) -> Address:
        """Where links lead."""
        return self.style.address

    @cached_property
    def said(self) -> Document:
        """What people say of all frames: the constellation by its name, the instruments as a list."""
        summaries = self.collection.get("summaries")
        if not isinstance(summaries, Mapping):
            return {}
        found = {key: summaries[key] for key in _SAID if summaries.get(key)}
        if isinstance(found.get("constellation"), list):
            found["constellation"] = found["constellation"][0]
        return found

    @cached_property
    def place(self) -> Document:
        """Geometry and bounding box of every frame."""
        west, south, east, north = box = list(self.inventory.grid.bbox)
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        return {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": box}

    @cached_property
    def extents(self) -> tuple[Document, Document]:
        """The projection extension's fields of the frames, and of their quicklooks."""
        grid = self.inventory.grid
        shape = quicklook_shape(grid.rows, grid.columns, ITEM_PIXELS)
        return projection(grid, grid.rows, grid.columns), projection(grid, *shape)


def months(inventory: Inventory) -> dict[str, list[int]]:
    """Positions of the frames of every month, such as `2021-03`, in order."""
    found: dict[str, list[int]] = {}
    for position, time in enumerate(inventory.times):
        found.setdefault(f"{time:%Y-%m}", []).append(position)
    return found


def years(inventory: Inventory) -> dict[str, list[str]]:
    """Months of every year, such as `2021`, in order."""
    found: dict[str, list[str]] = {}
    for month in months(inventory):
        found.setdefault(month[:4], []).append(month)
    return found


def items_folder(folder: str) -> str:
    """Where all items of a continent are."""
    return f"{folder}/{ITEMS}"


def year_key(folder: str, year: str) -> str:
    """Key of a year's catalog."""
    return f"{folder}/{ITEMS}/{year}/{CATALOG}"


def month_key(folder: str, month: str) -> str:
    """Key of a month's catalog."""
    return f"{folder}/{ITEMS}/{month[:4]}/{month}/{CATALOG}"


def item_id(inventory: Inventory, position: int) -> str:
    """What tells a frame from all others: its continent, time and satellite."""
    time, satellite = inventory.times[position], inventory.satellites[position]
    return f"{inventory.folder}-{time:%Y%m%dt%H%M%S}-{satellite.lower()}"


def item_key(inventory: Inventory, position: int) -> str:
    """Key of a frame's item."""
    month = month_key(inventory.folder, f"{inventory.times[position]:%Y-%m}")
    return f"{month.removesuffix(CATALOG)}{item_id(inventory, position)}.json"


def image_key(key: str) -> str:
    """Key of the quicklook of the item with a key."""
    return f"{key.removesuffix('.json')}.png"


def is_ours(folder: str, key: str) -> bool:
    """Whether a key is of an item, a quicklook or a catalog; there need not be such a frame."""
    ours = (
        rf"{folder}/{ITEMS}/(?P<year>\d{{4}})/({CATALOG}|(?P=year)-\d\d/"
        rf"({CATALOG}|{folder}-(?P=year)\d{{4}}t\d{{6}}-s3\w\.(json|png)))"
    )
    return re.fullmatch(ours, key) is not None


def build_item(around: Surroundings, position: int, seen_from: str | None = None) -> Document:
    """Describe one frame.

    Args:
        around: what it is within.
        position: the frame's position in the store.
        seen_from: key of a file that holds the item together with others; its links lead from there, and
            one of them leads to the item's own file. None is the item's own file.
    """
    inventory = around.inventory
    time, satellite = inventory.times[position], inventory.satellites[position]
    return {
        "type": "Feature",
        "stac_version": pystac.get_stac_version(),
        "stac_extensions": list(OF_ITEMS),
        "id": item_id(inventory, position),
        **around.place,
        "properties": {
            "title": f"NDVI of {inventory.continent}, {time:%Y-%m-%d %H:%M} UTC, {satellite}",
            "datetime": iso(time),
            "created": _archived(inventory, position),
            "platform": platform(satellite),
            **around.said,
            "gsd": ground_sample_distance(inventory.grid),
            "proj:code": CRS,
            **_figures(inventory, position),
        },
        "links": _links(around, position, seen_from),
        "assets": _assets(around, position, seen_from),
        "collection": around.collection.get("id"),
    }


def item_assets(inventory: Inventory) -> Document:
    """`item_assets` of the collection: what the assets of every item are."""
    return {
        "ndvi": {"title": STORE_TITLE, "type": ZARR_MEDIA_TYPE, "roles": ["data"], **zarr_fields(inventory)},
        "thumbnail": {
            "title": "Quicklook",
            "description": COLOURS,
            "type": str(pystac.MediaType.PNG),
            "roles": ["thumbnail", "overview"],
        },
    }


def _archived(inventory: Inventory, position: int) -> str:
    return f"{inventory.columns['archived_at'][position].astype('datetime64[s]')}Z"


def _figures(inventory: Inventory, position: int) -> Document:
    """What the store knows of the frame, under the names it has there."""
    columns = inventory.columns
    figures: Document = {
        "time_index": position,
        "frame_number": int(columns["frame_number"][position]),
        "checksum": int(columns["checksum"][position]),
    }
    for name in ("valid_fraction", "ndvi_mean"):
        if np.isfinite(columns[name][position]):
            figures[name] = shortest(columns[name][position])
    return {f"ndvi_archive:{name}": value for name, value in figures.items()}


def _links(around: Surroundings, position: int, seen_from: str | None) -> list[Document]:
    inventory = around.inventory
    own = item_key(inventory, position)
    collection = f"{inventory.folder}/{COLLECTION}"
    month = f"{inventory.times[position]:%Y-%m}"
    title = around.collection.get("title")
    leads = [
        ("root", CATALOG, pystac.MediaType.JSON, around.catalog_title),
        ("parent", month_key(inventory.folder, month), pystac.MediaType.JSON, title_of(inventory, month)),
        ("collection", collection, pystac.MediaType.JSON, title),
        ("store", inventory.group_key, ZARR_MEDIA_TYPE, STORE_TITLE),
    ]
    if seen_from or around.address.public_url is not None:
        leads.insert(0, ("self", own, pystac.MediaType.GEOJSON, "This item"))
    return [
        {
            "rel": rel,
            "href": around.address.href(seen_from or own, key),
            "type": str(media_type),
            "title": title,
        }
        for rel, key, media_type, title in leads
    ]


def _assets(around: Surroundings, position: int, seen_from: str | None) -> Document:
    inventory = around.inventory
    own = item_key(inventory, position)
    of_frame, of_image = around.extents
    assets = item_assets(inventory)
    hrefs = {"ndvi": inventory.group_key, "thumbnail": image_key(own)}
    extras = {
        "ndvi": {"description": f"This frame is at position {position} of time.", **of_frame},
        "thumbnail": of_image,
    }
    return {
        name: {"href": around.address.href(seen_from or own, hrefs[name]), **asset, **extras[name]}
        for name, asset in assets.items()
    }


def title_of(inventory: Inventory, period: str) -> str:
    """Title of a year's or month's catalog."""
    return f"{inventory.continent} in {period}"
