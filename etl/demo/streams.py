"""What the stand-in has to offer: a video a continent and what is known of its frames."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from etl.demo.encoder import Encoding, encode
from etl.demo.scene import SceneFrame


@dataclass(frozen=True)
class Image:
    """One frame of a stream, as metadata describes it."""

    number: int
    """1-based, in the whole stream."""
    time: np.datetime64
    """UTC, whole seconds."""
    satellite: str
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Stream:
    """The video of one continent."""

    file: Path
    """The file to open; its folder holds nothing but this stream."""
    columns: int
    rows: int
    bbox: tuple[float, float, float, float]
    """West, south, east, north in degrees: outer edges."""
    images: tuple[Image, ...]


def publish(
    frames: Iterable[SceneFrame],
    folder: Path,
    bbox: tuple[float, float, float, float],
    encoding: Encoding | None = None,
) -> Stream:
    """Encode frames one at a time and number them from 1.

    A stream that is being served is best published again into a folder of its own, then replaced.

    Args:
        frames: Frames in the order they are shown.
        folder: Folder for the video; made when missing.
        bbox: West, south, east, north of the frames in degrees.
        encoding: How to encode.

    Raises:
        UsageError: There are no frames, or they cannot be encoded that way.
    """
    images: list[Image] = []
    shape = (0, 0)

    def codes() -> Iterator[NDArray[np.uint16]]:
        nonlocal shape
        for number, frame in enumerate(frames, start=1):
            images.append(Image(number, frame.time, frame.satellite, frame.minimum, frame.maximum))
            shape = frame.codes.shape
            yield frame.codes

    folder.mkdir(parents=True, exist_ok=True)
    file = encode(codes(), folder, encoding)
    rows, columns = shape
    return Stream(file, columns, rows, bbox, tuple(images))
