"""The regular longitude-latitude grid of a frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """A regular EPSG:4326 grid, row 0 northernmost, column 0 westernmost.

    Attributes:
        columns: number of pixels west to east.
        rows: number of pixels north to south.
        bbox: (west, south, east, north) in degrees: the outer edges of the outermost pixels.
    """

    columns: int
    rows: int
    bbox: tuple[float, float, float, float]

    @property
    def step(self) -> tuple[float, float]:
        """(longitude, latitude) size of a pixel in degrees, both positive."""
        west, south, east, north = self.bbox
        return (east - west) / self.columns, (north - south) / self.rows

    @property
    def longitude(self) -> NDArray[np.float64]:
        """Pixel centres in degrees east, ascending, shape (columns,)."""
        return _centres(self.bbox[0], self.bbox[2], self.columns)

    @property
    def latitude(self) -> NDArray[np.float64]:
        """Pixel centres in degrees north, descending, shape (rows,)."""
        return _centres(self.bbox[3], self.bbox[1], self.rows)

    @property
    def affine(self) -> tuple[float, float, float, float, float, float]:
        """(a, b, c, d, e, f) with longitude = a·column + b·row + c and latitude = d·column + e·row + f.

        Column and row count from the outer corner of the north-western pixel. The order is that of the
        Python package `affine` and of the `spatial` zarr convention.
        """
        step_x, step_y = self.step
        return step_x, 0.0, self.bbox[0], 0.0, -step_y, self.bbox[3]

    @property
    def geotransform(self) -> tuple[float, float, float, float, float, float]:
        """The same as `affine` in the order of GDAL: (c, a, b, f, d, e)."""
        a, b, c, d, e, f = self.affine
        return c, a, b, f, d, e

    def coarser(self, factor: int) -> "Grid":
        """The grid of cells of so many pixels along a side, from the north-western corner on.

        All its cells are of one size: where the pixels do not divide, it reaches beyond this one.
        """
        columns, rows = -(-self.columns // factor), -(-self.rows // factor)
        west, south, east, north = self.bbox
        step_x, step_y = self.step
        if columns * factor != self.columns:
            east = west + columns * factor * step_x
        if rows * factor != self.rows:
            south = north - rows * factor * step_y
        return Grid(columns, rows, (west, south, east, north))


def _centres(first_edge: float, last_edge: float, count: int) -> NDArray[np.float64]:
    position = (np.arange(count, dtype=np.float64) + 0.5) / count
    return first_edge * (1.0 - position) + last_edge * position
