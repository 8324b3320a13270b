"""Opening a selection in that of the archive's layouts from which its course over time is read sooner."""

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from etl.analysis.selection import Selection
from etl.analysis.windows import WHOLE, Window, windows
from etl.load.inventory import Inventory
from etl.load.series import Series, committed_series
from etl.reading import inventory_at

_SERIES_COST = 2.0
"""Time to decode a pixel of the series' many small chunks, relative to one of a frame's."""


def open_along_time(selection: Selection) -> xr.Dataset:
    """Open a selection, lazily, in the layout that costs less.

    Either layout holds the same values. Whole chunks must be decoded: those of the series are narrow and
    deep, those of frames wide and one frame deep. So the series serves a place over many frames, and frames
    a wide region, or few dates.

    Returns:
        As `Selection.open`.

    Raises:
        UsageError: As `Selection.open`.
        IncompatibleError: As `Selection.open`.
        StorageError: As `Selection.open`.
    """
    inventory = inventory_at(selection.archive, selection.continent)
    by_frames = selection.open()
    series = committed_series(inventory)
    parts = windows(by_frames, selection.region)
    if series is None or not reads_less(inventory, series, by_frames, parts):
        return by_frames
    return selection.open(layout="series")


def reads_less(
    inventory: Inventory, series: Series, part: xr.Dataset, parts: Sequence[Window] = (WHOLE,)
) -> bool:
    """Whether a part of the archive is read at a lower cost from the series than from the frames.

    Args:
        inventory: the committed frames.
        series: the series committed with them.
        part: a selection of frames, and a window of the grid.
        parts: what of that window is read.
    """
    grid = inventory.grid
    step_x, step_y = grid.step
    seconds = part.time.values.astype("datetime64[s]").astype(np.int64)
    frames = np.searchsorted(inventory.columns["time"], seconds)
    rows = np.rint((grid.bbox[3] - part.latitude.values) / step_y - 0.5).astype(np.int64)
    columns = np.rint((part.longitude.values - grid.bbox[0]) / step_x - 0.5).astype(np.int64)
    places = [(frames[frames < len(series)], rows[south], columns[east]) for south, east in parts]
    _, height, width = inventory.array("ndvi").chunks
    by_series, by_frames = (
        sum(_decoded(each, chunk) for each in places) for chunk in (series.chunk, (1, height, width))
    )
    return _SERIES_COST * by_series < by_frames


def _decoded(places: tuple[NDArray[np.int64], ...], chunk: tuple[int, int, int]) -> int:
    """Pixels of the chunks that the places along each dimension lie in."""
    return math.prod(side * len(np.unique(along // side)) for along, side in zip(places, chunk, strict=True))
