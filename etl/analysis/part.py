"""The part of a grid that a region takes up."""

import zlib
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from etl.analysis.region import Region, cut
from etl.transform.grid import Grid


@dataclass(frozen=True)
class Part:
    """A window of a grid, and which of its pixels do not count.

    Attributes:
        grid: the whole grid.
        rows: the window's rows of it.
        columns: the window's columns of it.
        outside: bool of the window's shape, true for pixels outside of the region; None if there is none.
    """

    grid: Grid
    rows: slice
    columns: slice
    outside: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the window."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def affine(self) -> tuple[float, float, float, float, float, float]:
        """From the window's columns and rows to degrees, as `Grid.affine`; pixels lie as in the grid."""
        step_x, b, west, d, step_y, north = self.grid.affine
        return step_x, b, west + self.columns.start * step_x, d, step_y, north + self.rows.start * step_y

    def describe(self) -> dict[str, object]:
        """What makes it another part, for JSON."""
        outside = None if self.outside is None else zlib.crc32(np.packbits(self.outside).tobytes())
        return {
            "grid": [self.grid.columns, self.grid.rows, *self.grid.bbox],
            "rows": [self.rows.start, self.rows.stop],
            "columns": [self.columns.start, self.columns.stop],
            "outside": outside,
        }


def part_of(grid: Grid, region: Region | None) -> Part:
    """The part of a grid that `region.cut` would leave.

    Args:
        grid: the grid.
        region: None is all of it.

    Raises:
        UsageError: The region lies outside of the grid.
    """
    if region is None:
        return Part(grid, slice(0, grid.rows), slice(0, grid.columns))
    template = xr.Dataset(
        {"ndvi": (("latitude", "longitude"), np.broadcast_to(np.float32(1), (grid.rows, grid.columns)))},
        {
            "latitude": grid.latitude,
            "longitude": grid.longitude,
            "row": ("latitude", np.arange(grid.rows)),
            "column": ("longitude", np.arange(grid.columns)),
        },
    )
    window = cut(template, region)
    outside = np.isnan(window.ndvi.values)
    rows, columns = (
        slice(int(line[0]), int(line[-1]) + 1) for line in (window.row.values, window.column.values)
    )
    return Part(grid, rows, columns, outside if outside.any() else None)
