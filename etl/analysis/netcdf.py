"""Frames as NetCDF, with the CF attributes of the archive. The library `netCDF4` must be installed."""

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import xarray as xr

from etl.analysis.raster import Label, Raster
from etl.load.schema import COLUMNS
from etl.reading import OF_THE_WHOLE

_BLOCK = 512
_one_at_a_time = Lock()
"""HDF5 is not made for several threads."""


def write_netcdf(path: Path, raster: Raster) -> None:
    """Write a new NetCDF-4 file of dimensions (time, latitude, longitude), durably.

    Raises:
        OSError: It cannot be written.
    """
    rows, columns = raster.part.shape
    compression = {"zlib": True, "complevel": 4, "shuffle": True}
    encoding: dict[str, dict[str, Any]] = {
        "ndvi": {"chunksizes": (1, min(_BLOCK, rows), min(_BLOCK, columns)), **compression},
        # xarray would give coordinates one, which CF forbids.
        "latitude": {"_FillValue": None},
        "longitude": {"_FillValue": None},
    }
    dataset = _as_stored(raster)
    try:
        with _one_at_a_time:
            dataset.to_netcdf(path, mode="w", format="NETCDF4", engine="netcdf4", encoding=encoding)
    except RuntimeError as error:
        # As netCDF4 tells of a full disk.
        raise OSError(str(error)) from error
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_label(path: Path) -> Label | None:
    """The label of a NetCDF file that was written here; None if it was not."""
    import netCDF4  # noqa: PLC0415 - an extra of the package

    try:
        with _one_at_a_time, netCDF4.Dataset(path) as file:
            return Label.of({name: str(file.getncattr(name)) for name in file.ncattrs()})
    except OSError:
        return None


_OF_WHOLE_FRAMES = ("valid_fraction", "ndvi_mean", "checksum")
"""They would be wrong of a part, or of masked values."""


def _as_stored(raster: Raster) -> xr.Dataset:
    """The dataset with nothing decoded: its values and attributes go into the file as they are."""
    inventory, part = raster.inventory, raster.part
    attributes = {name: _of_a_part(each["attributes"]) for name, each in inventory.documents.items()}
    # JSON has lost their type, which CF wants to be the variable's.
    attributes["satellite"]["flag_values"] = np.array(attributes["satellite"]["flag_values"], np.int8)
    of_ndvi = attributes["ndvi"] | {"comment": raster.tags["comment"]}
    if not raster.settings.packed:
        del of_ndvi["scale_factor"]
        of_ndvi["_FillValue"] = np.float32(np.nan)
    a, b, c, d, e, f = part.affine
    geotransform = " ".join(map(repr, (c, a, b, f, d, e)))
    frame = slice(raster.position, raster.position + 1)
    names = [name for name in COLUMNS if name not in _OF_WHOLE_FRAMES]
    of_ndvi["coordinates"] = " ".join(name for name in names if name != "time")
    return xr.Dataset(
        {
            "ndvi": (("time", "latitude", "longitude"), raster.values()[None], of_ndvi),
            "crs": ((), np.int32(4326), attributes["crs"] | {"GeoTransform": geotransform}),
            "latitude": ("latitude", inventory.grid.latitude[part.rows], attributes["latitude"]),
            "longitude": ("longitude", inventory.grid.longitude[part.columns], attributes["longitude"]),
            **{name: ("time", inventory.columns[name][frame], attributes[name]) for name in names},
        },
        attrs=_of_a_part(inventory.root["attributes"])
        | {"satellite": raster.tags["satellite"]}
        | raster.label.tags,
    )


def _of_a_part(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if not name.startswith(OF_THE_WHOLE)}
