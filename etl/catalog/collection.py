"""The STAC collection of one continent: what the store knows, and the texts of a template around it."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pystac
from numpy.typing import NDArray

from etl.catalog.assets import (
    CRS,
    STORE_TITLE,
    ZARR_MEDIA_TYPE,
    export_asset,
    image_asset,
    series_asset,
    store_asset,
)
from etl.catalog.datacube import cube_dimensions, cube_variables
from etl.catalog.extensions import OF_COLLECTIONS
from etl.catalog.items import item_assets, title_of, year_key, years
from etl.catalog.quicklook import OVERVIEW_PIXELS, THUMBNAIL_PIXELS, choose_frame
from etl.catalog.render import renders
from etl.catalog.resolution import ground_sample_distance, resolution_text
from etl.catalog.style import EXPORT, ITEMS, Style
from etl.catalog.templates import Template
from etl.catalog.values import iso, platform, shortest
from etl.load.attributes import SERIES
from etl.load.inventory import CATALOG, COLLECTION, GROUP, Inventory
from etl.load.series import committed_series

THUMBNAIL = "thumbnail.png"
OVERVIEW = "overview.png"

_LICENSE = "other"


def build_collection(
    inventory: Inventory, template: Template, catalog_title: str, style: Style | None = None
) -> pystac.Collection:
    """Describe the committed frames of a continent.

    Args:
        inventory: the committed frames, at least one.
        template: texts, keywords, providers, licence and links.
        catalog_title: title of the catalog that the collection belongs to.
        style: how it is catalogued; None is without items, with relative links.
    """
    style = style or Style()
    texts = template.fill(_placeholders(inventory, style))
    collection = pystac.Collection(
        id=texts.pop("id"),
        title=texts.pop("title"),
        description=texts.pop("description"),
        license=texts.pop("license", _LICENSE),
        keywords=texts.pop("keywords", None),
        providers=[pystac.Provider.from_dict(provider) for provider in texts.pop("providers", [])],
        stac_extensions=[*OF_COLLECTIONS, *texts.pop("stac_extensions", [])],
        extent=_extent(inventory),
        summaries=pystac.Summaries(texts.pop("summaries", {}) | _summaries(inventory)),
    )
    written_links = [pystac.Link.from_dict(link) for link in texts.pop("links", [])]
    collection.extra_fields = texts | _fields(inventory, style)
    collection.clear_links()
    collection.add_links([*_links(inventory, collection, catalog_title, style), *written_links])
    for key, asset in _assets(inventory, style).items():
        collection.add_asset(key, asset)
    return collection


def shown_frame(inventory: Inventory) -> int:
    """Position of the frame that the quicklooks show."""
    return choose_frame(inventory.columns["valid_fraction"])


def _placeholders(inventory: Inventory, style: Style) -> dict[str, str]:
    first, last = inventory.times[0], inventory.times[-1]
    full_names = [f"Sentinel-{name.removeprefix('S')}" for name in sorted(set(inventory.satellites))]
    return {
        "archive": style.address.public_url or ".",
        "bits": str(inventory.bits),
        "columns": str(inventory.grid.columns),
        "continent": inventory.continent,
        "first_date": f"{first:%Y-%m-%d}",
        "folder": inventory.folder,
        "full_scale": str((1 << inventory.bits) - 1),
        "half_code": f"{0.5 / ((1 << inventory.bits) - 1):.2g}",
        "last_date": f"{last:%Y-%m-%d}",
        "resolution": resolution_text(inventory.grid),
        "rows": str(inventory.grid.rows),
        "satellites": " and ".join(full_names),
        "updated": _updated(inventory)[:10],
        "years": f"{first:%Y}" if first.year == last.year else f"{first:%Y}–{last:%Y}",
    }


def _extent(inventory: Inventory) -> pystac.Extent:
    times = inventory.times
    return pystac.Extent(
        pystac.SpatialExtent([list(inventory.grid.bbox)]), pystac.TemporalExtent([[times[0], times[-1]]])
    )


def _summaries(inventory: Inventory) -> dict[str, Any]:
    ranges = {name: _range(inventory.columns[name]) for name in ("valid_fraction", "ndvi_mean")}
    return {
        "platform": sorted(_frames_by_platform(inventory)),
        "gsd": [ground_sample_distance(inventory.grid)],
        "proj:code": [CRS],
        **{f"ndvi_archive:{name}": span for name, span in ranges.items() if span},
    }


def _range(values: NDArray[np.float32]) -> dict[str, float] | None:
    known = values[np.isfinite(values)]
    return {"minimum": shortest(known.min()), "maximum": shortest(known.max())} if known.size else None


def _fields(inventory: Inventory, style: Style) -> dict[str, Any]:
    fields = {
        "created": iso(datetime.fromtimestamp(int(inventory.columns["archived_at"].min()), UTC)),
        "updated": _updated(inventory),
        "ndvi_archive:format": inventory.root["attributes"]["ndvi_archive_format"],
        "ndvi_archive:frames": len(inventory),
        "ndvi_archive:frames_by_platform": _frames_by_platform(inventory),
        **style.fields(),
        "cube:dimensions": cube_dimensions(inventory),
        "cube:variables": cube_variables(inventory),
        "renders": renders(),
    }
    if style.items == "frame":
        fields["item_assets"] = item_assets(inventory)
    return fields


def _updated(inventory: Inventory) -> str:
    return iso(datetime.fromtimestamp(int(inventory.columns["archived_at"].max()), UTC))


def _frames_by_platform(inventory: Inventory) -> dict[str, int]:
    return dict(sorted(Counter(map(platform, inventory.satellites)).items()))


def _links(
    inventory: Inventory, collection: pystac.Collection, catalog_title: str, style: Style
) -> Iterable[pystac.Link]:
    key, address, json = f"{inventory.folder}/{COLLECTION}", style.address, pystac.MediaType.JSON
    if address.public_url is not None:
        yield pystac.Link(pystac.RelType.SELF, address.href(key, key), json, collection.title)
    yield pystac.Link(pystac.RelType.ROOT, address.href(key, CATALOG), json, catalog_title)
    yield pystac.Link(pystac.RelType.PARENT, address.href(key, CATALOG), json, catalog_title)
    yield pystac.Link("store", address.href(key, inventory.group_key), ZARR_MEDIA_TYPE, STORE_TITLE)
    if style.items == "frame":
        for year in years(inventory):
            href = address.href(key, year_key(inventory.folder, year))
            yield pystac.Link(pystac.RelType.CHILD, href, json, title_of(inventory, year))


def _assets(inventory: Inventory, style: Style) -> dict[str, pystac.Asset]:
    key = f"{inventory.folder}/{COLLECTION}"
    position = shown_frame(inventory)
    time, satellite = inventory.times[position], inventory.satellites[position]
    shown = {"datetime": iso(time), "platform": platform(satellite)}
    subject = f"NDVI of {time:%Y-%m-%d} ({satellite})"

    def href(name: str) -> str:
        return style.address.href(key, f"{inventory.folder}/{name}")

    def image(name: str, longest: int, title: str, roles: list[str]) -> pystac.Asset:
        return image_asset(inventory, href(name), longest, f"{title}: {subject}", roles, **shown)

    assets = {
        "ndvi": store_asset(inventory, href(GROUP)),
        "overview": image(OVERVIEW, OVERVIEW_PIXELS, "Overview", ["overview", "visual"]),
        "thumbnail": image(THUMBNAIL, THUMBNAIL_PIXELS, "Thumbnail", ["thumbnail"]),
    }
    series = committed_series(inventory)
    if series is not None and len(series):
        assets["series"] = series_asset(inventory, series, href(f"{GROUP}/{SERIES}"))
    return assets | ({ITEMS: export_asset(href(EXPORT))} if style.exported else {})
