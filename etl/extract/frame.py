"""What the service delivers: frames of video codes with their own scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

import numpy as np
from numpy.typing import NDArray

SATELLITES: Mapping[str, int] = {"S3A": 1, "S3B": 2, "S3C": 3, "S3D": 4}
"""The satellites of Sentinel-3, flown and planned, and the flag each is stored as."""

Codes = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Scale:
    """The NDVI values that the lowest and the highest video code of one frame stand for.

    Attributes:
        minimum: NDVI of code 0; not finite where the frame holds no data.
        maximum: NDVI of the highest code; not finite where the frame holds no data.
    """

    minimum: float
    maximum: float

    @property
    def is_finite(self) -> bool:
        """Whether codes stand for values at all."""
        return isfinite(self.minimum) and isfinite(self.maximum)

    def is_same(self, other: "Scale") -> bool:
        """Whether two scales say the same; all that are not finite do."""
        return self == other or not (self.is_finite or other.is_finite)


@dataclass(frozen=True)
class FrameEntry:
    """One frame as the metadata lists it.

    Attributes:
        number: 1-based number of the frame in the whole stream.
        time: sensing start, UTC, whole seconds.
        satellite: `S3A`, `S3B`, …
        scale: the frame's own scale.
    """

    number: int
    time: datetime
    satellite: str
    scale: Scale

    def __str__(self) -> str:
        return f"frame {self.number} ({self.time:%Y-%m-%dT%H:%M:%S} {self.satellite})"


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        entry: number, time, satellite and scale.
        codes: [row, column] uint8 or uint16, 0 … 2**bits − 1, row 0 northernmost; a view of the
            decoder's memory, which it keeps from being used again.
        bits: bit depth of the codes.
    """

    entry: FrameEntry
    codes: Codes
    bits: int
