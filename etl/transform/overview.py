"""Overviews of a frame: coarser levels, each cell the mean of the valid pixels below it.

Level n has cells of n × n pixels, counted from the north-western corner; the last ones in a row or a column
can cover fewer. Valid are pixels of NDVI ≥ 0.05; a cell without any holds no data. A mean is that of the
frame's own pixels at every level, computed in integers and rounded once, half to even, so that it is exact.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl.transform.packing import FILL_VALUE, VALID_FROM_PACKED

LONGEST_SIDE = 512
"""The last level is the first whose longer side has so many cells or fewer."""

_LARGEST_FACTOR = 128
"""Up to here a cell's pixels can be counted in 16 bits, and their stored values added up in 32."""

_FLOOR = VALID_FROM_PACKED - 1
"""Stands for every pixel that is not valid, so that a sum tells the valid ones once their number is known."""

_BLOCK_PIXELS = 1 << 19
"""Pixels summed at a time: they stay in the second-level cache."""


def overview_factors(rows: int, columns: int) -> tuple[int, ...]:
    """The levels a frame of that size is given: 2, 4, 8, …; none where it is small.

    Args:
        rows: rows of the frame.
        columns: columns of the frame.
    """
    factors: list[int] = []
    factor = 1
    while max(overview_shape(rows, columns, factor)) > LONGEST_SIDE and factor < _LARGEST_FACTOR:
        factor *= 2
        factors.append(factor)
    return tuple(factors)


def overview_shape(rows: int, columns: int, factor: int) -> tuple[int, int]:
    """(rows, columns) of a level."""
    return -(-rows // factor), -(-columns // factor)


def levels_of(values: NDArray[np.int16], factors: Sequence[int]) -> dict[int, NDArray[np.int16]]:
    """The levels of one frame.

    Args:
        values: its stored values, shape (rows, columns).
        factors: the levels: 2, 4, 8, … without a gap, none above 128.

    Returns:
        The cells by factor, as `Overviews.levels`.
    """
    if not factors:
        return {}
    rows, columns = values.shape
    overviews = Overviews(rows, columns, factors)
    overviews.take(values)
    return overviews.levels


class Overviews:
    """Computes the levels of one frame after the other; it keeps its buffers, as fresh memory is slow.

    Attributes:
        levels: by factor, int16 of shape (rows, columns): the cells of the last frame that went through,
            NDVI / 0.0001, −32768 where there is no valid pixel.
    """

    def __init__(self, rows: int, columns: int, factors: Sequence[int]) -> None:
        """Prepare for frames of a size.

        Args:
            rows: rows of every frame.
            columns: columns of every frame.
            factors: the levels to compute: 2, 4, 8, … without a gap; at least one, none above 128.
        """
        coarsest = factors[-1]
        width = -(-columns // coarsest) * coarsest
        height = coarsest
        while height * width * 2 <= _BLOCK_PIXELS and height < rows:
            height *= 2
        self.levels = {
            factor: np.full(overview_shape(rows, columns, factor), FILL_VALUE, np.dtype("<i2"))
            for factor in factors
        }
        # Beyond the last column nothing is valid, ever.
        self._columns = columns
        self._values = np.full((height, width), _FLOOR, np.int16)
        self._valid = np.zeros((height, width), np.bool_)
        # NumPy is ten times as fast with arrays here as with a number.
        self._floor = np.full(columns, _FLOOR, np.int16)
        self._cells = [_Cells(height // factor, width // factor, factor) for factor in factors]
        self._row_sums = np.empty((height // 2, width), np.uint16)
        self._row_counts = np.empty((height // 2, width), np.uint8)

    def through(self, bands: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
        """Hand on a frame's rows and compute its levels on the way; they are complete after the last band.

        Args:
            bands: stored values of a whole frame, some rows at a time from north to south.

        Yields:
            The bands.
        """
        height, begun, done = len(self._values), 0, 0
        for band in bands:
            top = 0
            while top < len(band):
                rows = band[top : top + height - begun]
                values = self._values[begun : begun + len(rows), : self._columns]
                valid = self._valid[begun : begun + len(rows), : self._columns]
                np.maximum(rows, self._floor, out=values)
                np.greater(values, _FLOOR, out=valid)
                top, begun = top + len(rows), begun + len(rows)
                if begun == height:
                    self._compute(done)
                    begun, done = 0, done + height
            yield band
        if begun:
            self._values[begun:] = _FLOOR
            self._valid[begun:] = False
            self._compute(done)

    def take(self, values: NDArray[np.int16]) -> None:
        """Compute the levels of a frame that is at hand as a whole.

        Args:
            values: stored values, shape (rows, columns).
        """
        for _ in self.through([values]):
            pass

    def _compute(self, top: int) -> None:
        """Compute the cells over the rows that were gathered, which begin at row `top` of the frame."""
        values, valid = self._values.view(np.uint16), self._valid.view(np.uint8)
        np.add(values[::2], values[1::2], out=self._row_sums)
        np.add(valid[::2], valid[1::2], out=self._row_counts)
        finest = self._cells[0]
        _add_pairs(self._row_sums.view(np.uint32), 16, finest.sums)
        _add_pairs(self._row_counts.view(np.uint16), 8, finest.counts)
        for cells, coarser, level in zip(
            self._cells, [*self._cells[1:], None], self.levels.values(), strict=True
        ):
            rows = level[top // cells.factor :][: len(cells.sums)]
            rows[:] = cells.means()[: rows.shape[0], : rows.shape[1]]
            if coarser:
                _add_squares(cells.sums, coarser.sums)
                _add_squares(cells.counts, coarser.counts)


class _Cells:
    """The cells of a level over some rows of a frame.

    Attributes:
        factor: pixels along a side of a cell.
        sums: what the pixels of a cell add up to, `_FLOOR` for every one that is not valid.
        counts: how many are valid.
    """

    def __init__(self, rows: int, columns: int, factor: int) -> None:
        shape = rows, columns
        self.factor = factor
        self.sums = np.empty(shape, np.uint32)
        self.counts = np.empty(shape, np.uint16)
        self._valid_sums = np.empty(shape, np.uint32)
        self._empty = np.empty(shape, np.bool_)
        self._ones = np.ones(columns, np.uint16)
        self._divisors = np.empty(shape, np.uint16)
        # Of so few pixels no mean is nearer to half a step than float32 can tell, unless it is just there.
        self._means = np.empty(shape, np.float32 if factor <= 16 else np.float64)
        self._packed = np.empty(shape, np.int16)

    def means(self) -> NDArray[np.int16]:
        """The stored values of the cells; valid until they are asked for again."""
        means, counts = self._means, self.counts
        np.multiply(counts, np.uint32(_FLOOR), out=self._valid_sums, dtype=np.uint32)
        self._valid_sums += self.sums
        self._valid_sums -= np.uint32(_FLOOR * self.factor**2)
        np.equal(counts, 0, out=self._empty)
        np.maximum(counts, self._ones, out=self._divisors)
        np.divide(self._valid_sums, self._divisors, out=means, dtype=means.dtype, casting="unsafe")
        np.copyto(self._packed, np.rint(means, out=means), casting="unsafe")
        np.copyto(self._packed, np.int16(FILL_VALUE), where=self._empty)
        return self._packed


def _add_pairs(pairs: NDArray[np.unsignedinteger[Any]], bits: int, sums: NDArray[Any]) -> None:
    """Add neighbours in a row, two of which are the halves of an integer of twice their bits."""
    np.right_shift(pairs, bits, out=sums)
    pairs &= (1 << bits) - 1
    sums += pairs


def _add_squares(finer: NDArray[Any], sums: NDArray[Any]) -> None:
    """Add two by two neighbours; `finer` is overwritten."""
    rows = np.add(finer[::2], finer[1::2], out=finer[::2])
    np.add(rows[:, ::2], rows[:, 1::2], out=sums)
