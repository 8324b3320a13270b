"""The series and the frames that are not in it yet as one array of NDVI, read where it is indexed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import StorePath

from etl.load.attributes import SERIES
from etl.load.inventory import Inventory
from etl.load.series import Series
from etl.load.whole_store import WholeStore
from etl.transform.packing import FILL_VALUE, SCALE_FACTOR

Index = int | slice | Sequence[int] | NDArray[np.integer[Any]]


class JoinedNdvi:
    """NDVI of all frames, float64 of dimensions (time, latitude, longitude); NaN where there is no data.

    It is indexed along each dimension by itself: by an integer, by a slice with a positive step, or by
    positions, for which all from the least to the greatest are read. Otherwise only what is selected is read:
    the first frames from the series, the others from the frames' own objects.

    Attributes:
        shape: frames, rows and columns.
        chunks: sides along each dimension of the blocks that are read best at once: shards of the series, and
            chunks of the frames.
    """

    dtype = np.dtype(np.float64)
    ndim = 3

    def __init__(self, inventory: Inventory, series: Series | None, valid_from: float | None = None) -> None:
        """Join what one root metadata document lists.

        Args:
            inventory: the committed frames.
            series: the series committed with them; None is without.
            valid_from: make smaller NDVI NaN.
        """
        grid = inventory.grid
        self.shape = (len(inventory), grid.rows, grid.columns)
        self._valid_from = valid_from
        store = WholeStore(inventory.store.zarr(inventory.group_key))
        self._frames = zarr.Array.from_dict(StorePath(store, "ndvi"), dict(inventory.documents["ndvi"]))
        self._series: zarr.Array[Any] | None = None
        self._in_series = 0
        _, rows, columns = self._frames.chunks
        period = 1
        if series is not None:
            self._series = zarr.Array.from_dict(
                StorePath(store, f"{SERIES}/ndvi"), dict(series.arrays["ndvi"])
            )
            self._in_series = len(series)
            period, rows, columns = series.shard
        times = (period,) * (self._in_series // period) + (1,) * (len(inventory) - self._in_series)
        self.chunks = (times, _sides(grid.rows, rows), _sides(grid.columns, columns))

    def __getitem__(self, key: tuple[Index, Index, Index]) -> NDArray[np.float64]:
        """Read what is selected."""
        spans, picks = zip(*map(_span, key, self.shape), strict=True)
        values = self._read(*spans)
        for axis in (2, 1, 0):
            pick = picks[axis]
            if pick is not None:
                values = np.take(values, pick, axis)
        return values

    def _read(self, when: slice, rows: slice, columns: slice) -> NDArray[np.float64]:
        start, stop, step = when.indices(self.shape[0])
        behind = start + max(0, -(-(self._in_series - start) // step)) * step
        parts = []
        if self._series is not None and start < min(stop, self._in_series):
            parts.append(self._series[start : min(stop, self._in_series) : step, rows, columns])
        if behind < stop or not parts:
            parts.append(self._frames[behind : max(behind, stop) : step, rows, columns])
        stored = np.concatenate([np.asarray(part) for part in parts])
        values = np.where(stored == FILL_VALUE, np.nan, stored * SCALE_FACTOR)
        if self._valid_from is not None:
            values[values < self._valid_from] = np.nan
        return values


def _span(index: Index, length: int) -> tuple[slice, int | NDArray[np.int64] | None]:
    """What to read along a dimension, and what to take of that."""
    if isinstance(index, slice):
        return index, None
    positions = np.arange(length)[index]
    first, last = (int(positions.min()), int(positions.max())) if positions.size else (0, -1)
    taken = positions - first
    return slice(first, last + 1), int(taken) if np.ndim(taken) == 0 else taken


def _sides(length: int, step: int) -> tuple[int, ...]:
    return tuple(min(step, length - start) for start in range(0, length, step))
