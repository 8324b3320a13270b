"""An archive as analysts open it: an xarray dataset, lazy, masked, with the satellites' names."""

import numpy as np
import xarray as xr

from etl.errors import UsageError
from etl.extract.frame import SATELLITES
from etl.load.inventory import GROUP, folder_of, read_inventory
from etl.load.stores import open_store
from etl.transform.packing import VALID_FROM


def open_archive(url: str, continent: str, *, mask: bool = True) -> xr.Dataset:
    """Open the archived NDVI of a continent; nothing but times and coordinates is read yet.

    Args:
        url: address of the archive: a folder, or such as `s3://bucket/folder`.
        continent: name of the continent, such as `Europe`.
        mask: make NDVI below 0.05 NaN. That is the service's own rule of thumb for "no data"; it drops real
            low NDVI, as of deserts, too.

    Returns:
        `ndvi` of dimensions (time, latitude, longitude), float64, NaN where there is no data, as a dask
        array; and for every frame the coordinates `time` (UTC), `satellite` (`S3A`, `S3B`, …),
        `valid_fraction`, `ndvi_mean` and what else the archive keeps.

    Raises:
        UsageError: The address is none, or holds nothing of that continent.
        IncompatibleError: The archive is damaged, or not one of ours.
        StorageError: The storage refuses to be read.
    """
    store, folder = open_store(url), folder_of(continent)
    if read_inventory(store, folder) is None:
        raise UsageError(f"nothing of {continent} is archived in {url}", "check the address and the name")
    dataset: xr.Dataset = xr.open_zarr(store.zarr(f"{folder}/{GROUP}"), chunks={})
    names = {flag: name for name, flag in SATELLITES.items()}
    satellites = np.array([names[int(flag)] for flag in dataset.satellite.values])
    attributes = {"long_name": dataset.satellite.attrs["long_name"]}
    dataset = dataset.assign_coords(satellite=("time", satellites, attributes))
    if mask:
        dataset["ndvi"] = dataset.ndvi.where(dataset.ndvi >= VALID_FROM).assign_attrs(dataset.ndvi.attrs)
    return dataset
