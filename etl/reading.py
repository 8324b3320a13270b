"""An archive as analysts open it: an xarray dataset, lazy, masked, with the satellites' names."""

import math
import warnings
from os import PathLike, fspath
from typing import Literal
from urllib.parse import urlsplit

import dask.array
import numpy as np
import xarray as xr

from etl.errors import IncompatibleError, UsageError
from etl.extract.frame import SATELLITES
from etl.load.absent import no_continent
from etl.load.attributes import OVERVIEWS
from etl.load.inventory import Inventory, folder_of, read_inventory
from etl.load.joining import JoinedNdvi
from etl.load.schema import COLUMNS
from etl.load.series import committed_series
from etl.load.served import Served
from etl.load.stores import open_store
from etl.load.whole_store import WholeStore
from etl.transform.packing import FILL_VALUE, SCALE_FACTOR, VALID_FROM

OF_THE_WHOLE = ("zarr_conventions", "spatial:", "proj:", "GeoTransform", "multiscales")
"""Attributes of the stored grid: they would be wrong of a part of it, and NetCDF cannot hold some of them."""


def open_archive(
    url: str | PathLike[str],
    continent: str,
    *,
    mask: bool | float = True,
    layout: Literal["frames", "series"] = "frames",
    level: int = 1,
) -> xr.Dataset:
    """Open the archived NDVI of a continent; pixels are read when they are computed.

    Args:
        url: address of the archive: a folder, such as `s3://bucket/folder`, or where it is served, such as
            `http://127.0.0.1:8000`.
        continent: name of the continent, such as `Europe`.
        mask: make NDVI below 0.05, or below the number given, NaN. 0.05 is the service's own rule of thumb
            for "no data"; it drops real low NDVI, as of deserts, too.
        layout: how to read: `frames` is for maps, `series` for the course of pixels or small regions over
            time. The values are the same, to the newest frame. Of the series, select before you compute
            anything: then nothing else is read.
        level: read cells of at most `level` × `level` pixels, each the mean of those of at least 0.05, from
            the coarsest overview there is of such; without one, and for 1, the frames themselves.

    Returns:
        `ndvi` of dimensions (time, latitude, longitude), float64, NaN where there is no data, as a dask
        array of the archive's chunks, at most 512 × 512 pixels of one frame, or, of the series, of one
        period of frames; and for every frame, already
        read, the coordinates `time` (UTC), `satellite` (`S3A`, `S3B`, …), `valid_fraction`, `ndvi_mean` and
        what else the archive keeps. It can be pickled for dask's workers, each of which opens the storage
        for itself.

    Raises:
        UsageError: The address is none, or holds nothing of that continent; the mask is no NDVI; or a level
            of the series is asked for.
        IncompatibleError: The archive is damaged, or not one of ours.
        StorageError: The storage refuses to be read.
    """
    lowest = lowest_shown(mask)
    if layout not in ("frames", "series"):
        raise UsageError(f"there is no layout {layout!r}", "choose frames or series")
    if layout == "series" and level > 1:
        raise UsageError("the series has no levels", "choose the layout frames, or level 1")
    inventory = inventory_at(url, continent)
    store, group = inventory.store, inventory.group_key
    if layout == "series":
        dataset = _joined(inventory, lowest)
    else:
        dataset = xr.open_zarr(WholeStore(store.zarr(group)), chunks={})
        if factor := max((each for each in inventory.factors if each <= level), default=0):
            where = f"{group}/{OVERVIEWS}/{factor}"
            dataset = _coarser(
                dataset, xr.open_zarr(WholeStore(store.zarr(where)), chunks={}), store.location(where)
            )
        dataset = dataset.assign_coords({name: column.load() for name, column in dataset.coords.items()})
    names = {flag: name for name, flag in SATELLITES.items()}
    satellites = np.array([names[int(flag)] for flag in dataset.satellite.values])
    attributes = {"long_name": dataset.satellite.attrs["long_name"]}
    dataset = dataset.assign_coords(satellite=("time", satellites, attributes))
    dataset = _exportable(dataset)
    for part in (dataset, dataset.ndvi, dataset.crs):
        part.attrs = {name: value for name, value in part.attrs.items() if not name.startswith(OF_THE_WHOLE)}
    if lowest is not None and layout == "frames":
        stored = dataset.ndvi
        dataset["ndvi"] = stored.where(stored >= lowest).assign_attrs(stored.attrs)
        dataset.ndvi.encoding = stored.encoding
    if lowest is not None:
        dataset.ndvi.attrs["comment"] = f"NDVI below {lowest:g} is left out as no data."
    return dataset


def inventory_at(url: str | PathLike[str], continent: str) -> Inventory:
    """What is archived of a continent, as it is committed.

    Args:
        url: address of the archive, as of `open_archive`.
        continent: name of the continent.

    Raises:
        UsageError: The address is none, or holds nothing of that continent.
        IncompatibleError: The archive is damaged, or not one of ours.
        StorageError: The storage refuses to be read.
    """
    place = fspath(url)
    store = Served(place) if urlsplit(place).scheme in ("http", "https") else open_store(place)
    inventory = read_inventory(store, folder_of(continent))
    if inventory is None:
        raise no_continent(store, place, continent)
    return inventory


def _coarser(dataset: xr.Dataset, level: xr.Dataset, where: str) -> xr.Dataset:
    """The frames with the values and the coordinates of a level, which may have been appended to since."""
    level = level.isel(time=slice(dataset.sizes["time"]))
    if not np.array_equal(level.time, dataset.time):
        raise IncompatibleError(
            f"{where} has other frames than the archive",
            "open it again; if it stays so, run ndvi-archive verify",
        )
    of_frames = dataset.drop_dims(("latitude", "longitude"))
    places = {name: level[name] for name in ("latitude", "longitude")}
    return of_frames.assign_coords(places).assign(ndvi=level.ndvi.variable)


def _joined(inventory: Inventory, lowest: float | None) -> xr.Dataset:
    """The series and the frames behind it, as one root metadata document lists them."""
    series = committed_series(inventory)
    if series is None:
        warnings.warn(
            f"{inventory.continent} has no series: frames are read, which is slow along time; run"
            f" ndvi-archive optimize {inventory.continent!r} first",
            stacklevel=3,
        )
    joined = JoinedNdvi(inventory, series, lowest)
    # Reading is left to dask as a whole: it then reads only what is selected of a block, masked or not.
    ndvi = dask.array.from_array(  # type: ignore[no-untyped-call]
        joined, chunks=joined.chunks, name=False, meta=np.empty((0, 0, 0))
    )
    documents = inventory.documents
    values = {name: inventory.columns[name] for name in COLUMNS}
    values |= {name: np.asarray(inventory.array(name)[...]) for name in ("latitude", "longitude", "crs")}
    variables = {
        name: (
            documents[name].get("dimension_names") or (),
            array,
            documents[name]["attributes"],
        )
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


def _exportable(dataset: xr.Dataset) -> xr.Dataset:
    """Let copies be packed as in the archive, but not chunked as there, which parts of it would not fit."""
    dataset = dataset.drop_encoding()
    dataset.ndvi.encoding = {"dtype": "int16", "scale_factor": SCALE_FACTOR, "_FillValue": FILL_VALUE}
    for name in ("latitude", "longitude"):
        # xarray would give coordinates one, which CF forbids.
        dataset[name].encoding = {"_FillValue": None}
    return dataset


def lowest_shown(mask: bool | float) -> float | None:
    """The lowest NDVI that is not masked; None where nothing is.

    Raises:
        UsageError: The mask is no NDVI.
    """
    if isinstance(mask, bool):
        return VALID_FROM if mask else None
    if not isinstance(mask, int | float | np.number) or not math.isfinite(mask):
        raise UsageError(f"mask={mask!r} is no NDVI", "give True, False or a number such as 0.1")
    if not -1 <= mask <= 1:
        raise UsageError(f"mask={mask!r} is no NDVI", "give True, False or a number such as 0.1")
    return float(mask)
