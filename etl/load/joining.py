"""The series and the frames that are not in it yet as one array of NDVI, read where it is indexed."""

from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import StorePath

from etl.load.inventory import Inventory
from etl.load.series import SERIES, Series
from etl.transform.packing import FILL_VALUE, SCALE_FACTOR

Index = int | slice


class JoinedNdvi:
    """NDVI of all frames, float64 of dimensions (time, latitude, longitude); NaN where there is no data.

    It can be indexed by integers and by slices with positive steps. What is selected is all that is read: the
    first frames from the series, the others from the frames' own objects.

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
        self._frames = inventory.array("ndvi")
        self._series: zarr.Array[Any] | None = None
        self._in_series = 0
        _, rows, columns = self._frames.chunks
        period = 1
        if series is not None:
            path = StorePath(inventory.store.zarr(inventory.group_key), f"{SERIES}/ndvi")
            self._series = zarr.Array.from_dict(path, dict(series.arrays["ndvi"]))
            self._in_series = len(series)
            period, rows, columns = series.shard
        times = (period,) * (self._in_series // period) + (1,) * (len(inventory) - self._in_series)
        self.chunks = (times, _sides(grid.rows, rows), _sides(grid.columns, columns))

    def __getitem__(self, key: tuple[Index, Index, Index]) -> NDArray[np.float64]:
        """Read what is selected."""
        when, *where = key
        if not isinstance(when, slice):
            alone: NDArray[np.float64] = self[slice(when, when + 1), key[1], key[2]][0]
            return alone
        start, stop, step = when.indices(self.shape[0])
        behind = start + max(0, -(-(self._in_series - start) // step)) * step
        parts = []
        if self._series is not None and start < min(stop, self._in_series):
            parts.append(self._series[(slice(start, min(stop, self._in_series), step), *where)])
        if behind < stop or not parts:
            parts.append(self._frames[(slice(behind, max(behind, stop), step), *where)])
        stored = np.concatenate([np.asarray(part) for part in parts])
        values = np.where(stored == FILL_VALUE, np.nan, stored * SCALE_FACTOR)
        if self._valid_from is not None:
            values[values < self._valid_from] = np.nan
        return values


def _sides(length: int, step: int) -> tuple[int, ...]:
    return tuple(min(step, length - start) for start in range(0, length, step))
