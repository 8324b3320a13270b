"""The quicklooks against the frame they show."""

import zlib
from io import BytesIO

import av
import numpy as np
from numpy.typing import NDArray

from etl.catalog.collection import OVERVIEW, THUMBNAIL, shown_frame
from etl.catalog.quicklook import OVERVIEW_PIXELS, THUMBNAIL_PIXELS, quicklook, quicklook_shape
from etl.errors import IncompatibleError
from etl.load.inventory import Inventory
from etl.load.verify.findings import Verdict

REMEDY = "remove it, then run convert"
"""How what is derived, and damaged, is made anew."""

_PNG = b"\x89PNG\r\n\x1a\n"


def check_quicklooks(inventory: Inventory, verdict: Verdict, *, with_pixels: bool) -> None:
    """Check that the quicklooks are whole images of the right size.

    Args:
        inventory: the committed frames that the collection shows, at least one.
        verdict: takes what is found.
        with_pixels: draw them anew and compare them.

    Raises:
        StorageError: The storage refuses to be read.
    """
    values = sound_frame(inventory, shown_frame(inventory)) if with_pixels else None
    for name, longest in ((OVERVIEW, OVERVIEW_PIXELS), (THUMBNAIL, THUMBNAIL_PIXELS)):
        check_quicklook(inventory, f"{inventory.folder}/{name}", longest, values, verdict)


def check_quicklook(
    inventory: Inventory, key: str, longest: int, values: NDArray[np.int16] | None, verdict: Verdict
) -> None:
    """Check that a quicklook is a whole image of the right size.

    Args:
        inventory: the committed frames.
        key: the quicklook's key.
        longest: length of its longer side in pixels, at most.
        values: the frame it should show; None is not to compare its pixels.
        verdict: takes what is found.

    Raises:
        StorageError: The storage refuses to be read.
    """
    data = inventory.store.get(key)
    if data is None:
        verdict.found("catalog", "is missing; the next run of convert writes it anew", key)
        return
    shape = _png_shape(data)
    expected = quicklook_shape(inventory.grid.rows, inventory.grid.columns, longest)
    if shape is None:
        verdict.found("catalog", f"is no whole PNG image; {REMEDY}", key)
    elif shape != expected:
        verdict.found(
            "catalog",
            f"has {shape[1]} × {shape[0]} pixels, not {expected[1]} × {expected[0]}; {REMEDY}",
            key,
        )
    elif values is not None and not _shows(data, quicklook(values, longest)):
        verdict.found("catalog", f"does not show the frame that the catalog says; {REMEDY}", key)


def sound_frame(inventory: Inventory, position: int) -> NDArray[np.int16] | None:
    """A frame's values, or None where they are not those that were archived."""
    try:
        return inventory.frame(position)
    except IncompatibleError:
        return None


def _png_shape(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a PNG file whose parts are all there and have their CRC-32."""
    place, kinds = len(_PNG), []
    if not data.startswith(_PNG):
        return None
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None
        kinds.append(data[place + 4 : place + 8])
        place = end + 4
    if place != len(data) or kinds[:1] != [b"IHDR"] or kinds[-1:] != [b"IEND"] or b"IDAT" not in kinds:
        return None
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def _shows(data: bytes, expected: bytes) -> bool:
    """Whether two PNG files show the same: another version of the encoder can pack it otherwise."""
    return data == expected or np.array_equal(_pixels(data), _pixels(expected))


def _pixels(data: bytes) -> NDArray[np.generic]:
    try:
        with av.open(BytesIO(data), mode="r", format="png_pipe") as container:
            return next(container.decode(video=0)).to_ndarray(format="rgba")
    except (av.FFmpegError, StopIteration, ValueError):
        return np.empty(0)
