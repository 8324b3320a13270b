"""Video codes to the stored int16 and back, with the statistics of a frame.

value = code / (2**bits − 1) × (maximum − minimum) + minimum, as the service defines it;
stored = round(value / 0.0001), which is within 0.00005 of the value.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from etl.errors import StreamError
from etl.extract.frame import Codes, Frame, FrameEntry, Scale

SCALE_FACTOR = 0.0001
FILL_VALUE = -32768
VALID_FROM = 0.05
"""NDVI below this is "no data" in the service's own example: a rule of thumb, never applied to the store."""

VALID_FROM_PACKED = round(VALID_FROM / SCALE_FACTOR)
"""The same as a stored value."""

_LIMIT = -(FILL_VALUE + 1)
_BLOCK_PIXELS = 1 << 16
"""Pixels handled at a time: codes and packed values of a block stay in the second-level cache."""

_MOST_ROWS = 512
"""Rows handled at a time: float32 adds up so many stored values exactly."""

_FEW = 16
"""Codes that are looked for one by one; of more, as constant scales have, every pixel is looked up."""

_NOT_VALID = np.float32(VALID_FROM_PACKED - 1)


@dataclass(frozen=True)
class PackedFrame:
    """One frame as it is stored.

    Attributes:
        entry: number, time, satellite and scale.
        values: [row, column] int16, NDVI / 0.0001, −32768 where the frame holds no data.
        bits: bit depth of the codes the values were made from.
        valid_fraction: share of pixels with NDVI ≥ 0.05, 0 … 1.
        mean: mean NDVI of those pixels, NaN where there is none.
        checksum: CRC-32C of `values`, little-endian, row-major.
    """

    entry: FrameEntry
    values: NDArray[np.int16]
    bits: int
    valid_fraction: float
    mean: float
    checksum: int


class Packing:
    """A frame's codes becoming what is stored, some rows at a time.

    Attributes:
        valid_fraction: share of pixels so far with NDVI ≥ 0.05, 0 … 1.
        mean: mean NDVI of those pixels, NaN where there is none.
        checksum: CRC-32C of the values so far, little-endian, row-major.
    """

    def __init__(self, frame: Frame) -> None:
        """Prepare to pack a frame.

        Raises:
            StreamError: The scale reaches beyond what int16 × 0.0001 can hold.
        """
        self._codes = frame.codes
        self._table = _packing_table(frame)
        self._gain, self._offset, self._exceptions = _straight_line(frame.entry.scale, self._table)
        self._pixels = 0
        self._valid_count = 0
        self._valid_sum = 0
        self.checksum = 0

    @property
    def valid_fraction(self) -> float:  # noqa: D102 - see the class
        return self._valid_count / self._pixels

    @property
    def mean(self) -> float:  # noqa: D102 - see the class
        return self._valid_sum / self._valid_count * SCALE_FACTOR if self._valid_count else float("nan")

    def bands(self, buffer: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
        """Pack all rows, from north to south, as many at a time as a buffer has.

        Args:
            buffer: int16 of shape (rows, columns of the frame); it is used again for every band.

        Yields:
            What is stored of the next rows: a part of the buffer, valid until the next one is asked for.
        """
        rows, columns = self._codes.shape
        rows_at_once = min(max(1, _BLOCK_PIXELS // columns), _MOST_ROWS)
        scaled = np.empty((min(rows_at_once, rows), columns), np.float32)
        for north in range(0, rows, len(buffer)):
            band = buffer[: min(len(buffer), rows - north)]
            for top in range(0, len(band), rows_at_once):
                block = band[top : top + rows_at_once]
                codes = self._codes[north + top : north + top + len(block)]
                self._pack_block(codes, block, scaled[: len(block)])
            yield band

    def _pack_block(self, codes: Codes, block: NDArray[np.int16], scaled: NDArray[np.float32]) -> None:
        np.multiply(codes, self._gain, out=scaled, dtype=np.float32)
        np.add(scaled, self._offset, out=scaled)
        np.rint(scaled, out=scaled)
        if len(self._exceptions) > _FEW:
            np.copyto(scaled, self._table[codes])
        else:
            for code in self._exceptions:
                np.copyto(scaled, self._table[code], where=codes == code)
        np.copyto(block, scaled, casting="unsafe")
        self.checksum = google_crc32c.extend(self.checksum, block)
        # What is not valid is made to add the same: that is faster than leaving it out.
        np.maximum(scaled, _NOT_VALID, out=scaled)
        valid_count = int(np.count_nonzero(scaled > _NOT_VALID))
        sums = np.add.reduce(scaled, axis=0)
        self._pixels += block.size
        self._valid_count += valid_count
        self._valid_sum += int(sums.sum(dtype=np.float64)) - int(_NOT_VALID) * (block.size - valid_count)


def pack(frame: Frame) -> PackedFrame:
    """Scale a frame's codes to NDVI and pack them.

    A frame whose scale is not finite holds no data: all its values are the fill value.

    Raises:
        StreamError: The scale reaches beyond what int16 × 0.0001 can hold.
    """
    packing = Packing(frame)
    values = np.empty(frame.codes.shape, np.dtype("<i2"))
    for _ in packing.bands(values):
        pass
    return PackedFrame(
        frame.entry, values, frame.bits, packing.valid_fraction, packing.mean, packing.checksum
    )


def recover_codes(values: NDArray[np.int16], scale: Scale, bits: int = 12) -> NDArray[np.uint16]:
    """Recover the video codes from stored values: the inverse of `pack`.

    Exact where (maximum − minimum) / (2**bits − 1) > 0.0001: for 12 bits, any range ≥ 0.41.

    Args:
        values: int16 of any shape, NDVI / 0.0001; none may be the fill value.
        scale: the frame's own scale, finite, maximum > minimum.
        bits: bit depth of the codes.

    Returns:
        uint16 codes of the same shape.
    """
    values = np.asarray(values)
    full_scale = (1 << bits) - 1
    position = (values * SCALE_FACTOR - scale.minimum) / (scale.maximum - scale.minimum)
    codes: NDArray[np.uint16] = np.clip(np.rint(position * full_scale), 0, full_scale).astype(np.uint16)
    return codes


def crc32c(values: NDArray[np.int16]) -> int:
    """CRC-32C of stored values, little-endian, row-major."""
    return int(google_crc32c.extend(0, np.ascontiguousarray(values, np.dtype("<i2"))))


def _packing_table(frame: Frame) -> NDArray[np.int16]:
    """The stored value of every possible code, computed in float64 once a frame."""
    scale = frame.entry.scale
    full_scale = (1 << frame.bits) - 1
    if not scale.is_finite:
        return np.full(full_scale + 1, FILL_VALUE, np.dtype("<i2"))
    code = np.arange(full_scale + 1, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        value = code / full_scale * (scale.maximum - scale.minimum) + scale.minimum
        packed = np.rint(value / SCALE_FACTOR)
    # Asked so that NaN, from a range beyond float64, is refused as well.
    if not np.abs(packed).max() <= _LIMIT:
        raise StreamError(
            f"the scale of {frame.entry} is {scale.minimum:g} … {scale.maximum:g}, which is no NDVI:"
            f" the archive holds -{_LIMIT * SCALE_FACTOR:.4f} … {_LIMIT * SCALE_FACTOR:.4f}",
            "report the frame to the service, or leave it out with --start / --end",
            frame.entry.number,
        )
    return packed.astype(np.dtype("<i2"))


def _straight_line(
    scale: Scale, table: NDArray[np.int16]
) -> tuple[np.float32, np.float32, NDArray[np.uint16]]:
    """Gain and offset that give the table in float32 arithmetic, and the few codes for which they do not.

    Arithmetic is faster than looking up every pixel; where it rounds to the wrong side, the table decides.
    """
    codes = np.arange(len(table)).astype(np.uint16)
    gain, offset = np.float32(0), np.float32(FILL_VALUE)
    if scale.is_finite:
        gain = np.float32((scale.maximum - scale.minimum) / (len(table) - 1) / SCALE_FACTOR)
        offset = np.float32(scale.minimum / SCALE_FACTOR)
    arithmetic = np.rint(codes.astype(np.float32) * gain + offset)
    return gain, offset, codes[arithmetic != table]
