"""The STAC collection of one continent: what the store knows, and the texts of a template around it."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pystac

from etl.catalog.datacube import DATACUBE, cube_dimensions, cube_variables, iso
from etl.catalog.quicklook import (
    OVERVIEW_PIXELS,
    THUMBNAIL_PIXELS,
    choose_frame,
    quicklook_shape,
)
from etl.catalog.templates import Template
from etl.errors import UsageError
from etl.load.inventory import GROUP, Inventory
from etl.transform.grid import Grid

CATALOG = "catalog.json"
THUMBNAIL = "thumbnail.png"
OVERVIEW = "overview.png"

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
ZARR = "https://stac-extensions.github.io/zarr/v1.1.0/schema.json"
ZARR_MEDIA_TYPE = "application/vnd.zarr; version=3"

_CRS = "EPSG:4326"
_LICENSE = "other"


def build_collection(inventory: Inventory, template: Template, catalog_title: str) -> pystac.Collection:
    """Describe the committed frames of a continent.

    All its links are relative and none is `self`, so that the archive can be served from anywhere.

    Args:
        inventory: the committed frames, at least one.
        template: texts, keywords, providers, licence and links.
        catalog_title: title of the catalog that the collection belongs to.

    Raises:
        UsageError: The template cannot be used.
    """
    texts = template.fill(_placeholders(inventory))
    try:
        collection = pystac.Collection(
            id=texts.pop("id"),
            title=texts.pop("title"),
            description=texts.pop("description"),
            license=texts.pop("license", _LICENSE),
            keywords=texts.pop("keywords", None),
            providers=[pystac.Provider.from_dict(provider) for provider in texts.pop("providers", [])],
            stac_extensions=[DATACUBE, PROJECTION, ZARR, *texts.pop("stac_extensions", [])],
            extent=_extent(inventory),
            summaries=pystac.Summaries(texts.pop("summaries", {}) | _summaries(inventory)),
        )
        written_links = [pystac.Link.from_dict(link) for link in texts.pop("links", [])]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(
            f"the template {template.source} is no STAC collection: {type(error).__name__}: {error}",
            "compare it with the one that comes with the program",
        ) from error
    collection.extra_fields = texts | _fields(inventory)
    collection.clear_links()
    collection.add_links([*_links(catalog_title), *written_links])
    for key, asset in _assets(inventory).items():
        collection.add_asset(key, asset)
    return collection


def shown_frame(inventory: Inventory) -> int:
    """Position of the frame that the quicklooks show."""
    return choose_frame(inventory.columns["valid_fraction"])


def platform(satellite: str) -> str:
    """A satellite's name in STAC: `S3A` is `sentinel-3a`."""
    return satellite.replace("S", "sentinel-", 1).lower()


def _placeholders(inventory: Inventory) -> dict[str, str]:
    return {
        "archive": ".",
        "bits": str(inventory.bits),
        "continent": inventory.continent,
        "folder": inventory.folder,
        "full_scale": str((1 << inventory.bits) - 1),
        "satellites": " and ".join(sorted(set(inventory.satellites))),
    }


def _extent(inventory: Inventory) -> pystac.Extent:
    times = inventory.times
    return pystac.Extent(
        pystac.SpatialExtent([list(inventory.grid.bbox)]), pystac.TemporalExtent([[times[0], times[-1]]])
    )


def _summaries(inventory: Inventory) -> dict[str, Any]:
    return {"platform": sorted(_frames_by_platform(inventory)), "proj:code": [_CRS]}


def _fields(inventory: Inventory) -> dict[str, Any]:
    archived = inventory.columns["archived_at"]
    return {
        "created": iso(datetime.fromtimestamp(int(archived.min()), UTC)),
        "updated": iso(datetime.fromtimestamp(int(archived.max()), UTC)),
        "ndvi_archive:format": inventory.root["attributes"]["ndvi_archive_format"],
        "ndvi_archive:frames": len(inventory),
        "ndvi_archive:frames_by_platform": _frames_by_platform(inventory),
        "cube:dimensions": cube_dimensions(inventory),
        "cube:variables": cube_variables(inventory),
    }


def _frames_by_platform(inventory: Inventory) -> dict[str, int]:
    return dict(sorted(Counter(map(platform, inventory.satellites)).items()))


def _links(catalog_title: str) -> list[pystac.Link]:
    return [
        pystac.Link(pystac.RelType.ROOT, f"../{CATALOG}", pystac.MediaType.JSON, catalog_title),
        pystac.Link(pystac.RelType.PARENT, f"../{CATALOG}", pystac.MediaType.JSON, catalog_title),
        pystac.Link("store", f"./{GROUP}", ZARR_MEDIA_TYPE, "Zarr group with all frames"),
    ]


def _assets(inventory: Inventory) -> dict[str, pystac.Asset]:
    grid, root = inventory.grid, inventory.root
    position = shown_frame(inventory)
    time, satellite = inventory.times[position], inventory.satellites[position]
    shown = {"datetime": iso(time), "platform": platform(satellite)}
    subject = f"NDVI of {time:%Y-%m-%d} ({satellite})"
    ndvi = pystac.Asset(
        f"./{GROUP}",
        title="NDVI, all frames (Zarr v3 group)",
        media_type=ZARR_MEDIA_TYPE,
        roles=["data"],
        extra_fields={
            "zarr:consolidated": "consolidated_metadata" in root,
            "zarr:node_type": root["node_type"],
            "zarr:zarr_format": root["zarr_format"],
            **_projection(grid, grid.rows, grid.columns),
        },
    )
    overview = pystac.Asset(
        f"./{OVERVIEW}",
        title=f"Overview: {subject}",
        description="Sand to dark green for NDVI 0 to 0.9; transparent where there is no data or NDVI is "
        "below 0.05. Covers the bounding box exactly.",
        media_type=pystac.MediaType.PNG,
        roles=["overview", "visual"],
        extra_fields=shown | _projection(grid, *quicklook_shape(grid.rows, grid.columns, OVERVIEW_PIXELS)),
    )
    thumbnail = pystac.Asset(
        f"./{THUMBNAIL}",
        title=f"Thumbnail: {subject}",
        media_type=pystac.MediaType.PNG,
        roles=["thumbnail"],
        extra_fields=shown | _projection(grid, *quicklook_shape(grid.rows, grid.columns, THUMBNAIL_PIXELS)),
    )
    return {"ndvi": ndvi, "overview": overview, "thumbnail": thumbnail}


def _projection(grid: Grid, rows: int, columns: int) -> dict[str, Any]:
    """The projection extension's fields of an image over the grid's extent."""
    image = Grid(columns, rows, grid.bbox)
    return {
        "proj:code": _CRS,
        "proj:bbox": list(image.bbox),
        "proj:shape": [image.rows, image.columns],
        "proj:transform": list(image.affine),
    }
