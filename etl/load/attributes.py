"""The attributes of a Zarr group and its arrays: CF, and the zarr conventions that web maps and GDAL read."""

from collections.abc import Sequence

from zarr.core.common import JSON

from etl.transform.grid import Grid
from etl.transform.packing import FILL_VALUE, SCALE_FACTOR

SERIES = "series"
"""The group of the same values in chunks for reading along time; see `etl.load.series`."""

OVERVIEWS = "overviews"
"""The group of the levels, each of which is a group named by its factor: `overviews/2`, `overviews/4`, …"""

# The text of EPSG:4326 in WKT 2 as PROJ writes it.
_CRS_WKT = (
    'GEOGCRS["WGS 84",ENSEMBLE["World Geodetic System 1984 ensemble",'
    'MEMBER["World Geodetic System 1984 (Transit)"],MEMBER["World Geodetic System 1984 (G730)"],'
    'MEMBER["World Geodetic System 1984 (G873)"],MEMBER["World Geodetic System 1984 (G1150)"],'
    'MEMBER["World Geodetic System 1984 (G1674)"],MEMBER["World Geodetic System 1984 (G1762)"],'
    'MEMBER["World Geodetic System 1984 (G2139)"],ELLIPSOID["WGS 84",6378137,298.257223563,'
    'LENGTHUNIT["metre",1]],ENSEMBLEACCURACY[2.0]],PRIMEM["Greenwich",0,'
    'ANGLEUNIT["degree",0.0174532925199433]],CS[ellipsoidal,2],AXIS["geodetic latitude (Lat)",north,'
    'ORDER[1],ANGLEUNIT["degree",0.0174532925199433]],AXIS["geodetic longitude (Lon)",east,ORDER[2],'
    'ANGLEUNIT["degree",0.0174532925199433]],USAGE[SCOPE["Horizontal component of 3D system."],'
    'AREA["World."],BBOX[-90,-180,90,180]],ID["EPSG",4326]]'
)

# UUIDs and addresses as the conventions' own schemas (v0.1) prescribe them.
_ZARR_CONVENTIONS: list[JSON] = [
    {
        "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v0.1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/spatial/blob/v0.1/README.md",
        "name": "spatial",
        "description": "Spatial coordinate information",
    },
    {
        "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/proj/refs/tags/v0.1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/proj/blob/v0.1/README.md",
        "name": "proj",
        "description": "Coordinate reference system information for geospatial data",
    },
]

_MULTISCALES: JSON = {
    "uuid": "d35379db-88df-4056-af3a-620245f8e347",
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/multiscales/refs/tags/v0.1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/multiscales/blob/v0.1/README.md",
    "name": "multiscales",
    "description": "Multiscale layout of zarr datasets",
}

_HERE = "."
"""The group itself as a level. Web maps add a variable's name to it; GDAL 3.13 does not understand it."""


def group_attributes(continent: str, grid: Grid) -> dict[str, JSON]:
    """Of the group of a continent."""
    return {
        "Conventions": "CF-1.11",
        "title": f"Daily Sentinel-3 NDVI of {continent}",
        "source": "DestinEStreamer (Destination Earth): HEVC video of Sentinel-3 NDVI, one scale a frame",
        "history": "decoded and packed as steps of 0.0001 by ndvi-archive; archived_at tells when",
        "continent": continent,
        "coordinates": "crs",
        **_spatial_attributes(grid),
    }


def multiscales_attributes(grid: Grid, factors: Sequence[int]) -> dict[str, JSON]:
    """Of a continent's group with levels: where they are, and their grids.

    Args:
        grid: grid of the frames.
        factors: the levels.
    """
    levels: list[JSON] = [_level(_HERE, grid, 1)]
    for factor in factors:
        level = _level(f"{OVERVIEWS}/{factor}", grid.coarser(factor), factor)
        levels.append({**level, "derived_from": _HERE})
    return {
        "zarr_conventions": [*_ZARR_CONVENTIONS, _MULTISCALES],
        "multiscales": {"layout": levels, "resampling_method": "average"},
    }


def _level(asset: str, grid: Grid, factor: int) -> dict[str, JSON]:
    return {
        "asset": asset,
        # One number a dimension, time included: GDAL leaves out levels that have another count.
        "transform": {"scale": [1.0, float(factor), float(factor)], "translation": [0.0, 0.0, 0.0]},
        "spatial:shape": [grid.rows, grid.columns],
        "spatial:transform": list(grid.affine),
    }


def ndvi_attributes(grid: Grid, bits: int, columns: Sequence[str]) -> dict[str, JSON]:
    """Of the frames.

    Args:
        grid: their grid.
        bits: bit depth of the video codes the values are made from.
        columns: the arrays along time that tell more of them.
    """
    return {
        **_ndvi_attributes(grid),
        "coordinates": " ".join(columns),
        "comment": "Values are as decoded. NDVI below 0.05 is commonly taken as no data; nothing was masked.",
        "source_bits": bits,
    }


def level_attributes(grid: Grid, factor: int) -> dict[str, JSON]:
    """Of a level's values.

    Args:
        grid: its grid.
        factor: pixels along a side of its cells.
    """
    return {
        **_ndvi_attributes(grid),
        "cell_methods": "latitude: longitude: mean (comment: of the pixels of at least 0.05)",
        "comment": f"Means over cells of {factor} × {factor} pixels, of those with NDVI of at least 0.05; no"
        " data where there is none. The last cells in a row or a column can reach beyond the frame.",
    }


def _ndvi_attributes(grid: Grid) -> dict[str, JSON]:
    return {
        "standard_name": "normalized_difference_vegetation_index",
        "long_name": "normalized difference vegetation index",
        "units": "1",
        "scale_factor": SCALE_FACTOR,
        "_FillValue": FILL_VALUE,
        "grid_mapping": "crs",
        **_spatial_attributes(grid),
    }


def crs_attributes(grid: Grid) -> dict[str, JSON]:
    """Of the CF grid mapping."""
    return {
        "long_name": "WGS 84, EPSG:4326",
        "grid_mapping_name": "latitude_longitude",
        "crs_wkt": _CRS_WKT,
        "semi_major_axis": 6378137.0,
        "inverse_flattening": 298.257223563,
        "longitude_of_prime_meridian": 0.0,
        "GeoTransform": " ".join(map(repr, grid.geotransform)),
    }


def _spatial_attributes(grid: Grid) -> dict[str, JSON]:
    return {
        "zarr_conventions": _ZARR_CONVENTIONS,
        "spatial:dimensions": ["latitude", "longitude"],
        "spatial:bbox": list(grid.bbox),
        "spatial:transform_type": "affine",
        "spatial:transform": list(grid.affine),
        "spatial:shape": [grid.rows, grid.columns],
        "spatial:registration": "pixel",
        "proj:code": "EPSG:4326",
    }
