"""A frame and its levels to their objects."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl.load.encoding import FrameEncoder
from etl.load.levels import factors_of, level_name
from etl.transform.overview import Overviews


class PyramidEncoder:
    """Encodes one frame after the other, with its levels if there are any; it keeps its buffers.

    Attributes:
        band: int16 of shape (rows of a chunk, columns of a frame), for the rows that are encoded next.
    """

    def __init__(self, arrays: Mapping[str, Mapping[str, Any]]) -> None:
        """Prepare to encode frames.

        Args:
            arrays: metadata of `ndvi` and of the levels' arrays by name.

        Raises:
            IncompatibleError: They are not encoded as this version of the program encodes.
        """
        self._frames = FrameEncoder(arrays["ndvi"])
        self.band = self._frames.band
        factors = factors_of(arrays)
        self._levels = {factor: FrameEncoder(arrays[level_name(factor)]) for factor in factors}
        _, rows, columns = arrays["ndvi"]["shape"]
        self._overviews = Overviews(rows, columns, factors) if factors else None

    def encode(self, position: int, bands: Iterable[NDArray[np.int16]]) -> dict[str, bytes | memoryview]:
        """Encode a frame and its levels.

        Args:
            position: the frame's position in the archive.
            bands: its rows from north to south, each as many as `band` has, the last what is left.

        Returns:
            Their objects by key in the group; valid until the next frame is encoded.
        """
        through = self._overviews.through(bands) if self._overviews else bands
        objects = self._frames.encode(position, through)
        return {f"ndvi/{key}": data for key, data in objects.items()} | self._encoded_levels(position)

    def encode_levels(self, position: int, values: NDArray[np.int16]) -> dict[str, bytes | memoryview]:
        """Encode the levels of a frame alone.

        Args:
            position: the frame's position in the archive.
            values: its stored values, shape (rows, columns).
        """
        if self._overviews:
            self._overviews.take(values)
        return self._encoded_levels(position)

    def _encoded_levels(self, position: int) -> dict[str, bytes | memoryview]:
        objects: dict[str, bytes | memoryview] = {}
        for factor, level in self._overviews.levels.items() if self._overviews else ():
            encoder = self._levels[factor]
            for key, data in encoder.encode(position, rows_of(level, len(encoder.band))).items():
                objects[f"{level_name(factor)}/{key}"] = data
        return objects


def rows_of(values: NDArray[np.int16], rows: int) -> Iterable[NDArray[np.int16]]:
    """All rows from north to south, so many at a time."""
    return (values[top : top + rows] for top in range(0, len(values), rows))
