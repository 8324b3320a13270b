"""What an archive's Zarr group looks like: arrays, types, chunks, codecs and attributes."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.core.buffer import Buffer
from zarr.core.chunk_key_encodings import ChunkKeyEncodingLike
from zarr.core.common import JSON
from zarr.storage import MemoryStore

from etl.extract.frame import SATELLITES
from etl.transform.grid import Grid
from etl.transform.packing import FILL_VALUE, SCALE_FACTOR

FORMAT = 1
"""Version of the format written here; raised when older programs can no longer append."""

Layout = Literal["sharded", "flat"]
"""`sharded`: one object a frame; `flat`: one object a chunk, for readers that cannot read shards."""

Keys = Literal["default", "v2"]
"""How the keys of a group's chunks are made, as Zarr names it: `ndvi/c/0/0/0` or `ndvi/0/0/0`.

A rebuilt group uses the other one, so that its objects and those it replaces can lie side by side.
"""

CHUNK = 512
"""Rows and columns of an `ndvi` chunk."""

COLUMN_CHUNK = 4096
"""Chunk length of every array along time, so that appending never changes the chunks."""

NO_TIME = np.iinfo(np.int64).min
"""Fill value of times: it cannot be decoded to a date, so a missing object is noticed."""

_COMPRESSOR = ZstdCodec(level=3, checksum=True)
"""Of all but `ndvi`, whose values have a checksum of their own: a flipped bit is an error, not a value."""

_EPOCH = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}

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
_ZARR_CONVENTIONS = [
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


@dataclass(frozen=True)
class Column:
    """One array along time, one value a frame.

    Attributes:
        dtype: type of the stored values.
        fill_value: what a missing object reads as.
        attributes: CF attributes.
    """

    dtype: npt.DTypeLike
    fill_value: int | float
    attributes: Mapping[str, JSON]


COLUMNS: Mapping[str, Column] = {
    "time": Column(
        "int64",
        NO_TIME,
        {
            "standard_name": "time",
            "long_name": "sensing start (UTC)",
            "axis": "T",
            "units_metadata": "leap_seconds: none",
            **_EPOCH,
        },
    ),
    "satellite": Column(
        "int8",
        0,
        {
            "long_name": "satellite",
            "flag_values": list(SATELLITES.values()),
            "flag_meanings": " ".join(SATELLITES),
        },
    ),
    "frame_number": Column("int32", -1, {"long_name": "number of the frame in the video stream, from 1"}),
    "source_min": Column("float64", np.nan, {"long_name": "NDVI of the lowest video code", "units": "1"}),
    "source_max": Column("float64", np.nan, {"long_name": "NDVI of the highest video code", "units": "1"}),
    "valid_fraction": Column(
        "float32", np.nan, {"long_name": "share of pixels with NDVI of at least 0.05", "units": "1"}
    ),
    "ndvi_mean": Column(
        "float32",
        np.nan,
        {"long_name": "mean NDVI of the pixels of at least 0.05, not weighted by area", "units": "1"},
    ),
    "checksum": Column("uint32", 0, {"long_name": "CRC-32C of the stored int16 values of ndvi"}),
    "archived_at": Column("int64", NO_TIME, {"long_name": "time of archiving (UTC)", **_EPOCH}),
}
"""The arrays along time with one value a frame, in the order in which they are written."""

ALONG_TIME = ("ndvi", *COLUMNS)
"""All arrays along time."""

ARRAYS = (*ALONG_TIME, "latitude", "longitude", "crs")
"""All arrays of a group."""


@dataclass(frozen=True)
class Schema:
    """What all frames of one archived continent share.

    Attributes:
        continent: the name by which the service knows the continent.
        grid: the grid of every frame.
        bits: bit depth of the video codes the values are made from.
        layout: one object a frame, or one a chunk.
        keys: how the keys of its chunks are made.
    """

    continent: str
    grid: Grid
    bits: int
    layout: Layout = "sharded"
    keys: Keys = "default"


def empty_group(schema: Schema) -> dict[str, bytes]:
    """All objects of a group that holds no frame yet, by key; its root has consolidated metadata."""
    grid = schema.grid
    objects: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(objects), attributes=_group_attributes(schema))
    rows, columns = min(CHUNK, grid.rows), min(CHUNK, grid.columns)
    keys: ChunkKeyEncodingLike = {"name": schema.keys, "separator": "/"}
    shard = (1, _round_up(grid.rows, rows), _round_up(grid.columns, columns))
    group.create_array(
        "ndvi",
        shape=(0, grid.rows, grid.columns),
        chunks=(1, rows, columns),
        shards=shard if schema.layout == "sharded" else None,
        dtype="int16",
        chunk_key_encoding=keys,
        fill_value=FILL_VALUE,
        compressors=BloscCodec(cname="zstd", clevel=2, shuffle="shuffle"),
        dimension_names=("time", "latitude", "longitude"),
        attributes=_ndvi_attributes(schema),
    )
    for name, column in COLUMNS.items():
        group.create_array(
            name,
            shape=(0,),
            chunks=(COLUMN_CHUNK,),
            dtype=column.dtype,
            chunk_key_encoding=keys,
            fill_value=column.fill_value,
            compressors=_COMPRESSOR,
            dimension_names=("time",),
            attributes=dict(column.attributes),
        )
    for name, values, axis in (("latitude", grid.latitude, "Y"), ("longitude", grid.longitude, "X")):
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype="float64",
            chunk_key_encoding=keys,
            fill_value=np.nan,
            compressors=_COMPRESSOR,
            dimension_names=(name,),
            attributes={
                "standard_name": name,
                "long_name": f"{name} of the pixel centre",
                "units": "degrees_north" if axis == "Y" else "degrees_east",
                "axis": axis,
            },
        )
        array[:] = values
    crs = group.create_array(
        "crs",
        shape=(),
        dtype="int32",
        chunk_key_encoding=keys,
        fill_value=0,
        attributes=_crs_attributes(grid),
    )
    crs[...] = 4326
    with warnings.catch_warnings():
        # zarr-python warns that other implementations may not read consolidated metadata; they ignore it.
        warnings.simplefilter("ignore", UserWarning)
        zarr.consolidate_metadata(group.store)
    return {key: value.to_bytes() for key, value in objects.items()}


def _round_up(size: int, step: int) -> int:
    return -(-size // step) * step


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


def _group_attributes(schema: Schema) -> dict[str, JSON]:
    return {
        "Conventions": "CF-1.11",
        "title": f"Daily Sentinel-3 NDVI of {schema.continent}",
        "source": "DestinEStreamer (Destination Earth): HEVC video of Sentinel-3 NDVI, one scale a frame",
        "history": "decoded and packed as steps of 0.0001 by ndvi-archive; archived_at tells when",
        "ndvi_archive_format": FORMAT,
        "continent": schema.continent,
        "coordinates": "crs",
        **_spatial_attributes(schema.grid),
    }


def _ndvi_attributes(schema: Schema) -> dict[str, JSON]:
    return {
        "standard_name": "normalized_difference_vegetation_index",
        "long_name": "normalized difference vegetation index",
        "units": "1",
        "scale_factor": SCALE_FACTOR,
        "_FillValue": FILL_VALUE,
        "grid_mapping": "crs",
        "coordinates": " ".join(name for name in COLUMNS if name != "time"),
        "comment": "Values are as decoded. NDVI below 0.05 is commonly taken as no data; nothing was masked.",
        "source_bits": schema.bits,
        **_spatial_attributes(schema.grid),
    }


def _crs_attributes(grid: Grid) -> dict[str, JSON]:
    return {
        "long_name": "WGS 84, EPSG:4326",
        "grid_mapping_name": "latitude_longitude",
        "crs_wkt": _CRS_WKT,
        "semi_major_axis": 6378137.0,
        "inverse_flattening": 298.257223563,
        "longitude_of_prime_meridian": 0.0,
        "GeoTransform": " ".join(map(repr, grid.geotransform)),
    }
