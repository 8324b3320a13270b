"""What an archive's Zarr group looks like: arrays, types, chunks, codecs and attributes."""

import warnings
from collections.abc import Mapping, Sequence
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
from etl.load.attributes import (
    OVERVIEWS,
    crs_attributes,
    group_attributes,
    level_attributes,
    multiscales_attributes,
    ndvi_attributes,
)
from etl.transform.grid import Grid
from etl.transform.overview import overview_factors
from etl.transform.packing import FILL_VALUE

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

_OF_NDVI = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", blocksize=CHUNK * CHUNK * 2)
"""A chunk is one block: half the time of the blocks that Blosc would choose, and 7 to 9 % fewer bytes."""

_EPOCH = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}


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
        overviews: whether it has the levels of which large frames are given some.
    """

    continent: str
    grid: Grid
    bits: int
    layout: Layout = "sharded"
    keys: Keys = "default"
    overviews: bool = True

    @property
    def factors(self) -> tuple[int, ...]:
        """Its levels."""
        return overview_factors(self.grid.rows, self.grid.columns) if self.overviews else ()


def empty_group(schema: Schema) -> dict[str, bytes]:
    """All objects of a group that holds no frame yet, by key; its root has consolidated metadata."""
    grid, factors = schema.grid, schema.factors
    objects: dict[str, Buffer] = {}
    attributes = group_attributes(schema.continent, grid)
    more = multiscales_attributes(grid, factors) if factors else {}
    group = zarr.create_group(
        MemoryStore(objects), attributes={**attributes, "ndvi_archive_format": FORMAT, **more}
    )
    columns = [name for name in COLUMNS if name != "time"]
    _create_ndvi(group, schema, grid, ndvi_attributes(grid, schema.bits, columns))
    _create_columns(group, schema, tuple(COLUMNS))
    _create_coordinates(group, schema, grid)
    for factor in factors:
        coarser = grid.coarser(factor)
        level = group.create_group(
            f"{OVERVIEWS}/{factor}", attributes=group_attributes(schema.continent, coarser)
        )
        _create_ndvi(level, schema, coarser, level_attributes(coarser, factor))
        _create_columns(level, schema, ("time",))
        _create_coordinates(level, schema, coarser)
    with warnings.catch_warnings():
        # zarr-python warns that other implementations may not read consolidated metadata; they ignore it.
        warnings.simplefilter("ignore", UserWarning)
        zarr.consolidate_metadata(group.store)
    return {key: value.to_bytes() for key, value in objects.items()}


def _create_ndvi(group: zarr.Group, schema: Schema, grid: Grid, attributes: dict[str, JSON]) -> None:
    rows, columns = min(CHUNK, grid.rows), min(CHUNK, grid.columns)
    shard = (1, _round_up(grid.rows, rows), _round_up(grid.columns, columns))
    group.create_array(
        "ndvi",
        shape=(0, grid.rows, grid.columns),
        chunks=(1, rows, columns),
        shards=shard if schema.layout == "sharded" else None,
        dtype="int16",
        chunk_key_encoding=_encoding(schema),
        fill_value=FILL_VALUE,
        compressors=_OF_NDVI,
        dimension_names=("time", "latitude", "longitude"),
        attributes=attributes,
    )


def _create_columns(group: zarr.Group, schema: Schema, names: Sequence[str]) -> None:
    for name in names:
        column = COLUMNS[name]
        group.create_array(
            name,
            shape=(0,),
            chunks=(COLUMN_CHUNK,),
            dtype=column.dtype,
            chunk_key_encoding=_encoding(schema),
            fill_value=column.fill_value,
            compressors=_COMPRESSOR,
            dimension_names=("time",),
            attributes=dict(column.attributes),
        )


def _create_coordinates(group: zarr.Group, schema: Schema, grid: Grid) -> None:
    for name, values, axis in (("latitude", grid.latitude, "Y"), ("longitude", grid.longitude, "X")):
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=values.shape,
            dtype="float64",
            chunk_key_encoding=_encoding(schema),
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
        chunk_key_encoding=_encoding(schema),
        fill_value=0,
        attributes=crs_attributes(grid),
    )
    crs[...] = 4326


def _encoding(schema: Schema) -> ChunkKeyEncodingLike:
    return {"name": schema.keys, "separator": "/"}


def _round_up(size: int, step: int) -> int:
    return -(-size // step) * step
