"""NDVI of a place, of a region or of the whole grid over time."""

import numpy as np
import xarray as xr

from etl.analysis.along_time import open_along_time
from etl.analysis.area import STATISTICS, Statistic, over_area
from etl.analysis.selection import Selection
from etl.analysis.windows import windows
from etl.errors import IncompatibleError, UsageError
from etl.load.inventory import DAMAGE
from etl.report import Progress

_CELL_METHODS = {"mean": "mean", "median": "median", "min": "minimum", "max": "maximum"}
"""The statistics as CF names them, appendix E; it has no name for a count."""


def timeseries(
    selection: Selection,
    *,
    stat: Statistic = "mean",
    together: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Reduce the NDVI of a selection to one number a frame, or a day.

    Mean and median are weighted by the area of the pixels (`etl.analysis.area`). Pixels are read a few frames
    at a time, from the archive's series where that is sooner; the numbers are the same.

    Args:
        selection: which frames, and which part of the grid. Its `mask` is what counts as data.
        stat: `mean`, `median`, `min`, `max`, or `count`, the number of pixels with data.
        together: one number a day (UTC) from the pixels of all its frames, of any satellite; a place that
            several of them saw counts as often. Else one a frame, the satellites apart.
        progress: called with the number of frames done and of all.

    Returns:
        In memory, of dimension time (UTC, in order; the sensing start of each frame, or the day):

        - `value`, float64: NDVI, dimensionless, or a number of pixels; NaN (0 of `count`) where no pixel of
          the region has data: such a frame is there all the same.
        - `pixels`, int64: the pixels with data that it was made from.
        - coordinate `satellite`, text: `S3A` or `S3B`; `S3A+S3B` if they are together.

    Raises:
        UsageError: There is no such statistic, frame, archive or continent, or the region lies outside.
        IncompatibleError: The archive is damaged, or not one of ours.
        StorageError: The storage refuses to be read.
    """
    if stat not in STATISTICS:
        raise UsageError(f"there is no statistic {stat!r}", f"choose one of {', '.join(STATISTICS)}")
    dataset = open_along_time(selection)
    times, satellites = dataset.time.values, dataset.satellite.values
    if together:
        times, groups = np.unique(times.astype("datetime64[D]"), return_inverse=True)
        satellites = np.full(len(times), "+".join(np.unique(satellites)))
    else:
        groups = np.arange(len(times))
    try:
        values, pixels = over_area(dataset.ndvi, groups, stat, progress, windows(dataset, selection.region))
    except DAMAGE as error:
        raise IncompatibleError(
            f"what {selection.archive} holds of {selection.continent} is damaged: {error}",
            "ndvi-archive verify tells which frame",
        ) from error
    place = ", ".join([dataset.attrs["continent"], *([selection.region.name] if selection.region else [])])
    return xr.Dataset(
        {"value": ("time", values, _about(stat)), "pixels": ("time", pixels, _about("count"))},
        {
            "time": ("time", times.astype("datetime64[ns]"), {"standard_name": "time"}),
            "satellite": ("time", satellites, {"long_name": "satellite"}),
        },
        {
            "title": f"{place}: {_name(stat)}",
            "source": dataset.attrs["source"],
            "statistic": stat,
        },
    )


def _name(stat: Statistic) -> str:
    return "pixels with data" if stat == "count" else f"{stat} NDVI"


def _about(stat: Statistic) -> dict[str, str]:
    attributes = {"long_name": _name(stat), "units": "1"}
    if stat in _CELL_METHODS:
        attributes["cell_methods"] = f"area: {_CELL_METHODS[stat]}"
    return attributes
