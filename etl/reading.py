"""An archive as analysts open it: an xarray dataset, lazy, masked, with the satellites' names."""

import warnings
from typing import Literal

import dask.array
import numpy as np
import xarray as xr

from etl.errors import UsageError
from etl.extract.frame import SATELLITES
from etl.load.inventory import GROUP, Inventory, folder_of, read_inventory
from etl.load.joining import JoinedNdvi
from etl.load.schema import COLUMNS
from etl.load.series import committed_series
from etl.load.stores import open_store
from etl.transform.packing import VALID_FROM


def open_archive(
    url: str, continent: str, *, mask: bool = True, layout: Literal["frames", "series"] = "frames"
) -> xr.Dataset:
    """Open the archived NDVI of a continent; nothing but times and coordinates is read yet.

    Args:
        url: address of the archive: a folder, or such as `s3://bucket/folder`.
        continent: name of the continent, such as `Europe`.
        mask: make NDVI below 0.05 NaN. That is the service's own rule of thumb for "no data"; it drops real
            low NDVI, as of deserts, too.
        layout: how to read: `frames` is for maps, `series` for the course of pixels or small regions over
            time. The values are the same, to the newest frame. Of the series, select before you compute
            anything: then nothing else is read.

    Returns:
        `ndvi` of dimensions (time, latitude, longitude), float64, NaN where there is no data, as a dask
        array; and for every frame the coordinates `time` (UTC), `satellite` (`S3A`, `S3B`, …),
        `valid_fraction`, `ndvi_mean` and what else the archive keeps.

    Raises:
        UsageError: The address is none, or holds nothing of that continent.
        IncompatibleError: The archive is damaged, or not one of ours.
        StorageError: The storage refuses to be read.
    """
    if layout not in ("frames", "series"):
        raise UsageError(f"there is no layout {layout!r}", "choose frames or series")
    store, folder = open_store(url), folder_of(continent)
    inventory = read_inventory(store, folder)
    if inventory is None:
        raise UsageError(f"nothing of {continent} is archived in {url}", "check the address and the name")
    if layout == "series":
        dataset = _joined(inventory, mask=mask)
    else:
        dataset = xr.open_zarr(store.zarr(f"{folder}/{GROUP}"), chunks={})
    names = {flag: name for name, flag in SATELLITES.items()}
    satellites = np.array([names[int(flag)] for flag in dataset.satellite.values])
    attributes = {"long_name": dataset.satellite.attrs["long_name"]}
    dataset = dataset.assign_coords(satellite=("time", satellites, attributes))
    if mask and layout == "frames":
        dataset["ndvi"] = dataset.ndvi.where(dataset.ndvi >= VALID_FROM).assign_attrs(dataset.ndvi.attrs)
    return dataset


def _joined(inventory: Inventory, *, mask: bool) -> xr.Dataset:
    """The series and the frames behind it, as one root metadata document lists them."""
    series = committed_series(inventory)
    if series is None:
        warnings.warn(
            f"{inventory.continent} has no series: frames are read, which is slow along time; run"
            f" ndvi-archive optimize {inventory.continent!r} first",
            stacklevel=3,
        )
    documents = inventory.root["consolidated_metadata"]["metadata"]
    joined = JoinedNdvi(inventory, series, VALID_FROM if mask else None)
    # Reading is left to dask as a whole: it then reads only what is selected of a block, masked or not.
    ndvi = dask.array.from_array(  # type: ignore[no-untyped-call]
        joined, chunks=joined.chunks, name=False, meta=np.empty((0, 0, 0))
    )
    values = {name: inventory.columns[name] for name in COLUMNS}
    values |= {name: np.asarray(inventory.array(name)[...]) for name in ("latitude", "longitude", "crs")}
    variables = {
        name: (documents[name].get("dimension_names") or (), array, documents[name]["attributes"])
        for name, array in values.items()
    }
    packing = ("scale_factor", "_FillValue")
    attributes = {key: each for key, each in documents["ndvi"]["attributes"].items() if key not in packing}
    dataset = xr.Dataset(
        {"ndvi": (documents["ndvi"]["dimension_names"], ndvi, attributes), **variables},
        attrs=inventory.root["attributes"],
    )
    decoded: xr.Dataset = xr.decode_cf(dataset)
    return decoded
