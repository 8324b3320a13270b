"""Quicklooks: one frame as a small PNG that covers exactly the frame's extent."""

from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from etl.catalog.colormap import colour, is_shown
from etl.transform.packing import FILL_VALUE

OVERVIEW_PIXELS = 2048
"""Longer side of an overview, at most."""

THUMBNAIL_PIXELS = 512
"""Longer side of a thumbnail, at most."""

RECENT_FRAMES = 30
"""How many of the newest frames one is chosen from."""

Integers = NDArray[np.int64]


def choose_frame(valid_fraction: NDArray[np.float32]) -> int:
    """Choose the frame to show: a new one that shows much.

    It is the newest of the last 30 whose share of valid pixels is at least half of the largest share among
    them, or the newest of all where none of them has any.

    Args:
        valid_fraction: share of valid pixels of every frame, 0 … 1, oldest first; at least one frame.

    Returns:
        Position of the frame.
    """
    recent = np.nan_to_num(valid_fraction[-RECENT_FRAMES:])
    good = np.flatnonzero(recent >= recent.max() / 2)
    return len(valid_fraction) - len(recent) + int(good[-1])


def quicklook_shape(rows: int, columns: int, longest: int) -> tuple[int, int]:
    """(rows, columns) of a quicklook: the frame's aspect ratio, never enlarged, at least one pixel each."""
    shrink = min(Fraction(1), Fraction(longest, max(rows, columns)))
    return max(1, round(rows * shrink)), max(1, round(columns * shrink))


def quicklook(values: NDArray[np.int16], longest: int) -> bytes:
    """Draw a frame as a PNG.

    The image covers exactly the frame's extent: each of its pixels is the mean of the valid pixels below it,
    those on its border weighted by the area inside. Its opacity is the share of its area that is valid.

    Args:
        values: stored values, shape (rows, columns), NDVI / 0.0001, −32768 = no data.
        longest: length of the longer side in pixels, at most.

    Returns:
        The PNG file, RGBA; equal values give equal bytes.
    """
    source_rows, source_columns = values.shape
    means, coverage = block_means(values, *quicklook_shape(source_rows, source_columns, longest))
    image = colour(means)
    image[..., 3] = np.where(coverage > 0, np.maximum(1, np.rint(coverage * 255)), 0)
    return encode_png(image)


def block_means(
    values: NDArray[np.int16], rows: int, columns: int
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Mean of the valid pixels in each cell of a coarser grid over the same extent, weighted by area.

    Valid are pixels of NDVI ≥ 0.05. Sums are exact integers, so that the result is the same everywhere;
    only the source rows of one row of cells are summed at a time.

    Args:
        values: stored values, shape (source rows, source columns).
        rows: rows of the coarser grid, at most those of the source.
        columns: columns of the coarser grid, at most those of the source.

    Returns:
        means: stored values, shape (rows, columns), −32768 where a cell has no valid pixel.
        coverage: share of each cell's area that is valid, 0 … 1, same shape.
    """
    means = np.full((rows, columns), FILL_VALUE, np.int16)
    coverage = np.empty((rows, columns))
    for row in range(rows):
        inside, weights = _overlaps(row, rows, len(values))
        block = values[inside]
        valid = is_shown(block)
        area = _sum_cells(weights @ valid, columns)
        total = _sum_cells(weights @ np.where(valid, block, 0), columns)
        shown = area > 0
        means[row, shown] = np.rint(total[shown] / area[shown])
        coverage[row] = area / values.size
    return means, coverage


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode an RGBA image, shape (rows, columns, 4), as a PNG file.

    FFmpeg's own level of compression takes more than twice the time to save a tenth of the bytes, at most.
    """
    encoder = av.CodecContext.create("png", "w")
    assert isinstance(encoder, av.VideoCodecContext)  # noqa: S101 - png is a video codec to FFmpeg
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt = "rgba"
    encoder.time_base = Fraction(1)
    encoder.options = {"compression_level": "4"}
    frame = av.VideoFrame.from_ndarray(image, format="rgba")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _overlaps(cell: int, cells: int, length: int) -> tuple[slice, Integers]:
    """The pixels of a line of `length` that a cell overlaps, and how much of each, in parts of 1 / cells."""
    first, last = cell * length // cells, -((cell + 1) * length // -cells)
    starts = np.arange(first, last)
    covered = np.minimum((starts + 1) * cells, (cell + 1) * length) - np.maximum(
        starts * cells, cell * length
    )
    return slice(first, last), covered


def _sum_cells(line: Integers, cells: int) -> Integers:
    """Sums of a line of pixels over equal cells, pixels on a border shared by area, in parts of 1 / cells."""
    sums = np.append(0, np.cumsum(line))
    whole, part = np.divmod(np.arange(cells + 1) * len(line), cells)
    edges: Integers = sums[whole] * cells + np.append(line, 0)[whole] * part
    return np.diff(edges)
