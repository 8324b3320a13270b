"""Statistics of NDVI over an area, a few frames at a time."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import dask.array
import numpy as np
import xarray as xr
from dask.base import compute
from dask.system import CPU_COUNT
from numpy.typing import NDArray

from etl.analysis.windows import WHOLE, Window
from etl.report import Progress
from etl.transform.packing import SCALE_FACTOR

Statistic = Literal["mean", "median", "min", "max", "count"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)

_GRID = ("latitude", "longitude")
_BLOCKS_AT_ONCE = 1024
"""Blocks of pixels that dask is given at once; it has one a thread in memory."""

_FRAMES_AT_ONCE = 64
"""Frames of which histograms, half a megabyte each, are in memory at once."""

_PIXELS_AT_ONCE = 1 << 25
"""Pixels of the blocks that all threads work on; each takes some 40 bytes meanwhile."""

_CODES = 1 << 16
_TIE = 1e-10
"""Difference of two shares of an area below which they are equal: sums of weights are rounded."""

_PARTS: dict[str, tuple[np.ufunc, float]] = {
    "pixels": (np.add, 0),
    "sum": (np.add, 0),
    "weight": (np.add, 0),
    "min": (np.fmin, np.nan),
    "max": (np.fmax, np.nan),
}
"""What is known of each frame: how those of several are joined, and that of none."""


def row_weights(latitude: xr.DataArray) -> xr.DataArray:
    """Relative areas of the pixels of each row of an EPSG:4326 grid, float64.

    On the sphere a pixel's area is in proportion to sin(north edge) − sin(south edge) (J. P. Snyder, Map
    Projections: A Working Manual, USGS Professional Paper 1395, 1987, equation 10-2, of which areas are
    true), which is 2 sin(height / 2) cos(centre). All rows are of one height, so the cosine remains.

    Args:
        latitude: centres of the rows in degrees, evenly spaced.
    """
    return xr.DataArray(np.cos(np.deg2rad(latitude.values)), {"latitude": latitude}, "latitude")


def over_area(
    ndvi: xr.DataArray,
    groups: NDArray[np.integer[Any]],
    stat: Statistic,
    progress: Progress | None = None,
    parts: Sequence[Window] = (WHOLE,),
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Reduce each group of frames to one number; pixels are read here.

    Mean and median are weighted by the pixels' areas. The median is the NDVI that half of the area reaches;
    the mean of two where it is exactly half (as in T. H. Cormen et al., Introduction to Algorithms, problem
    9-2). It is exact, as archived NDVI are whole steps of 0.0001.

    Args:
        ndvi: dimensions (time, latitude, longitude), a dask array; NaN is no data, and belongs to nothing.
        groups: number of the group of each frame, from 0 on and never less than the one before.
        stat: `mean`, `median`, `min`, `max`, or `count`, which is the number of pixels with data.
        progress: called with the number of frames done and of all.
        parts: disjoint windows that hold all data; nothing else is read.

    Returns:
        The number of each group, NaN where it has no pixel with data (0 of `count`); and how many it has.
    """
    ndvi = ndvi.drop_vars(set(ndvi.coords) - {"latitude"})
    windows = [ndvi[:, rows, columns] for rows, columns in parts]
    count = int(groups[-1]) + 1
    totals = {name: np.full(count, empty, np.float64) for name, (_, empty) in _PARTS.items()}
    medians = _Medians(count)
    threads = _threads(windows)
    for frames in _spans(windows, stat):
        parts_of_it = (_of_each_frame(window[frames], stat) for window in windows)
        known = compute(*parts_of_it, num_workers=threads)  # type: ignore[no-untyped-call]
        for name, (join, _) in _PARTS.items():
            for each in known if name in known[0] else ():
                join.at(totals[name], groups[frames], each[name].values)
        if stat == "median":
            medians.add(groups[frames], sum(each["areas"].values for each in known))
        if progress:
            progress(frames.stop, ndvi.sizes["time"])
    pixels = totals["pixels"]
    with np.errstate(invalid="ignore"):
        values = {
            "mean": totals["sum"] / totals["weight"],
            "median": medians.values,
            "min": totals["min"],
            "max": totals["max"],
            "count": pixels,
        }[stat]
    return values, pixels.astype(np.int64)


def _threads(windows: Sequence[xr.DataArray]) -> int:
    """As many threads as there are cores, but fewer where blocks are so large that memory would go."""
    largest = max(math.prod(map(max, window.data.chunks)) for window in windows)
    return int(max(1, min(CPU_COUNT, _PIXELS_AT_ONCE // largest)))


def _spans(windows: Sequence[xr.DataArray], stat: Statistic) -> Iterator[slice]:
    """The frames in runs small enough to be worked on at once, as far as possible of whole blocks."""
    blocks = [window.data.numblocks for window in windows]
    times: tuple[int, ...] = windows[0].data.chunks[0]
    layers = max(1, _BLOCKS_AT_ONCE // sum(rows * columns for _, rows, columns in blocks))
    most = _FRAMES_AT_ONCE // len(windows) if stat == "median" else sum(times)
    first = stop = taken = 0
    for length in times:
        if taken and (taken == layers or stop + length - first > most):
            yield slice(first, stop)
            first, taken = stop, 0
        stop, taken = stop + length, taken + 1
    yield slice(first, stop)


def _of_each_frame(ndvi: xr.DataArray, stat: Statistic) -> xr.Dataset:
    """What of each frame the statistic needs, lazily."""
    weighted = ndvi.weighted(row_weights(ndvi.latitude))
    known = {"pixels": ndvi.count(_GRID)}
    if stat == "mean":
        known |= {"sum": weighted.sum(_GRID), "weight": weighted.sum_of_weights(_GRID).fillna(0)}
    elif stat == "min":
        known["min"] = ndvi.min(_GRID)
    elif stat == "max":
        known["max"] = ndvi.max(_GRID)
    elif stat == "median":
        known["areas"] = _areas(ndvi)
    return xr.Dataset(known)


def _areas(ndvi: xr.DataArray) -> xr.DataArray:
    """The area, in weights, that each stored code has in each frame: dimensions (time, code)."""
    _, rows, _ = ndvi.data.chunks
    weights = dask.array.from_array(  # type: ignore[no-untyped-call]
        row_weights(ndvi.latitude).values[None, :, None], chunks=((1,), rows, (1,))
    )
    blocks = dask.array.map_blocks(  # type: ignore[no-untyped-call]
        _areas_of_block,
        ndvi.data,
        weights,
        dtype=np.float64,
        meta=np.empty((0, 0, 0, 0)),
        new_axis=3,
        chunks=(ndvi.data.chunks[0], *((1,) * len(each) for each in ndvi.data.chunks[1:]), (_CODES,)),
    )
    return xr.DataArray(blocks.sum(axis=(1, 2)), dims=("time", "code"))


def _areas_of_block(ndvi: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    areas = np.empty((len(ndvi), 1, 1, _CODES))
    for frame, values in enumerate(ndvi):
        valid = np.isfinite(values)
        codes = np.rint(values[valid] / SCALE_FACTOR).astype(np.int64) + _CODES // 2
        every = np.broadcast_to(weights[0], values.shape)
        areas[frame, 0, 0] = np.bincount(codes, every[valid], _CODES)
    return areas


class _Medians:
    """Medians of groups of frames that come one after the other.

    Attributes:
        values: the median of each group; NaN where there is no area.
    """

    def __init__(self, groups: int) -> None:
        self.values = np.full(groups, np.nan)
        self._last = -1
        self._areas = np.zeros(_CODES)

    def add(self, groups: NDArray[np.integer[Any]], areas: NDArray[np.float64]) -> None:
        """Take in frames: the group of each, and the area that each code has in it."""
        for group, each in zip(groups.tolist(), areas, strict=True):
            self._areas = self._areas + each if group == self._last else each
            self._last = group
            self.values[group] = _median(self._areas)


def _median(areas: NDArray[np.float64]) -> float:
    below = np.cumsum(areas)
    whole = below[-1]
    if not whole:
        return float("nan")
    low = np.searchsorted(below, (0.5 - _TIE) * whole)
    high = np.searchsorted(below, (0.5 + _TIE) * whole, side="right")
    return float((low + high - _CODES) / 2 * SCALE_FACTOR)
