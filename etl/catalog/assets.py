"""The assets of collections and items: the Zarr group, and images of its frames."""

from typing import Any

import pystac

from etl import __version__
from etl.catalog.datacube import documents
from etl.catalog.quicklook import quicklook_shape
from etl.catalog.resolution import ground_sample_distance
from etl.load.attributes import OVERVIEWS
from etl.load.inventory import Inventory
from etl.load.series import Series
from etl.transform.grid import Grid

ZARR_MEDIA_TYPE = "application/vnd.zarr; version=3"
PARQUET_MEDIA_TYPE = "application/vnd.apache.parquet"
CRS = "EPSG:4326"

STORE_TITLE = "NDVI, all frames (Zarr v3 group)"
COLOURS = (
    "Sand to dark green for NDVI 0 to 0.9; transparent where there is no data or NDVI is below 0.05."
    " Covers the bounding box exactly."
)


def store_asset(inventory: Inventory, href: str) -> pystac.Asset:
    """The group with all frames: how it is to be opened, what its `ndvi` holds and how that was made."""
    return pystac.Asset(
        href,
        title=STORE_TITLE,
        description="Open it as a group; `ndvi` has the dimensions time, latitude and longitude."
        + _levels_text(inventory),
        media_type=ZARR_MEDIA_TYPE,
        roles=["data"],
        extra_fields={
            **zarr_fields(inventory),
            **projection(inventory.grid, inventory.grid.rows, inventory.grid.columns),
            "bands": [_band(inventory)],
            "processing:software": {"ndvi-archive": __version__},
            "processing:lineage": _lineage(inventory.bits),
        },
    )


def series_asset(inventory: Inventory, series: Series, href: str) -> pystac.Asset:
    """The group with the same values in chunks for reading along time, as far as it goes."""
    last = inventory.times[len(series) - 1]
    frames, rows, columns = series.chunk
    return pystac.Asset(
        href,
        title="NDVI, for reading along time (Zarr v3 group)",
        description=(
            f"The first {len(series)} of {len(inventory)} frames, up to {last:%Y-%m-%d}, in chunks of"
            f" {frames} frames × {rows} × {columns} pixels: for the course of a pixel or of a small region."
            " Newer frames are in the group of all frames alone."
        ),
        media_type=ZARR_MEDIA_TYPE,
        roles=["data"],
        extra_fields={
            **zarr_fields(inventory),
            **projection(inventory.grid, inventory.grid.rows, inventory.grid.columns),
            "bands": [_band(inventory)],
            "ndvi_archive:frames": len(series),
        },
    )


def image_asset(
    inventory: Inventory, href: str, longest: int, title: str, roles: list[str], **fields: str
) -> pystac.Asset:
    """A quicklook whose longer side has so many pixels at most."""
    shape = quicklook_shape(inventory.grid.rows, inventory.grid.columns, longest)
    return pystac.Asset(
        href,
        title=title,
        description=COLOURS,
        media_type=pystac.MediaType.PNG,
        roles=roles,
        extra_fields={**fields, **projection(inventory.grid, *shape)},
    )


def export_asset(href: str) -> pystac.Asset:
    """All items in one file."""
    return pystac.Asset(
        href,
        title="All items (STAC-GeoParquet)",
        description="One row an item, to search for dates and shares of valid pixels without a server.",
        media_type=PARQUET_MEDIA_TYPE,
        roles=["collection-mirror"],
    )


def zarr_fields(inventory: Inventory) -> dict[str, Any]:
    """The zarr extension's fields of the group."""
    root = inventory.root
    return {
        "zarr:consolidated": "consolidated_metadata" in root,
        "zarr:node_type": root["node_type"],
        "zarr:zarr_format": root["zarr_format"],
    }


def projection(grid: Grid, rows: int, columns: int) -> dict[str, Any]:
    """The projection extension's fields of an image over the grid's extent."""
    image = Grid(columns, rows, grid.bbox)
    return {
        "proj:code": CRS,
        "proj:bbox": list(image.bbox),
        "proj:shape": [image.rows, image.columns],
        "proj:transform": list(image.affine),
    }


def _band(inventory: Inventory) -> dict[str, Any]:
    """What the stored numbers of `ndvi` are, read off its metadata."""
    document = documents(inventory)["ndvi"]
    attributes = document["attributes"]
    return {
        "name": "ndvi",
        "description": attributes["long_name"],
        "data_type": document["data_type"],
        "nodata": document["fill_value"],
        "unit": attributes["units"],
        "cf:standard_name": attributes["standard_name"],
        "raster:scale": attributes["scale_factor"],
        "raster:offset": attributes.get("add_offset", 0.0),
        "raster:sampling": "area",
        "raster:spatial_resolution": ground_sample_distance(inventory.grid),
    }


def _levels_text(inventory: Inventory) -> str:
    if not inventory.factors:
        return ""
    levels = ", ".join(f"`{OVERVIEWS}/{factor}`" for factor in inventory.factors)
    return (
        f" Coarser levels for maps, told by the multiscales convention, are the groups {levels}: each cell is"
        " the mean of its pixels with NDVI of at least 0.05, or no data."
    )


def _lineage(bits: int) -> str:
    return (
        "Decoded from the HEVC video of Sentinel-3 NDVI that DestinEStreamer streams. Of every frame:"
        f" value = code / {(1 << bits) - 1} × (maximum − minimum) + minimum, with the minimum and maximum"
        " that the service gives for it; rounded to steps of 0.0001 and stored as int16. Nothing was masked,"
        " resampled or filled."
    )
