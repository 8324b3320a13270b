"""The quicklooks against the frames they show."""

import os
import zlib
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import av
import numpy as np
from numpy.typing import NDArray

from etl.catalog.collection import OVERVIEW, THUMBNAIL, shown_frame
from etl.catalog.items import ITEM_PIXELS, image_key
from etl.catalog.quicklook import OVERVIEW_PIXELS, THUMBNAIL_PIXELS, quicklook, quicklook_shape
from etl.errors import IncompatibleError
from etl.load.inventory import Inventory
from etl.load.verify.findings import Verdict

MISSING = "is missing; the next run of convert writes it again"
REMEDY = "remove it, then run convert"
"""How what is derived, and damaged, is made anew."""

_PNG = b"\x89PNG\r\n\x1a\n"
_WORKERS = min(4, os.cpu_count() or 1)
"""Frames drawn at a time; each takes about three times its size, 300 MB where it has 46 million pixels."""


def check_quicklooks(inventory: Inventory, verdict: Verdict, *, with_pixels: bool) -> None:
    """Check that the collection's quicklooks are whole images of the right size.

    Args:
        inventory: the committed frames that the collection shows, at least one.
        verdict: takes what is found.
        with_pixels: draw them and compare them.

    Raises:
        StorageError: The storage refuses to be read.
    """
    position = shown_frame(inventory) if with_pixels else None
    for name, longest in ((OVERVIEW, OVERVIEW_PIXELS), (THUMBNAIL, THUMBNAIL_PIXELS)):
        key = f"{inventory.folder}/{name}"
        if fault := _fault(inventory, key, longest, position):
            verdict.found("catalog", fault, key)


def check_item_quicklooks(
    inventory: Inventory,
    items: Mapping[str, int],
    present: Collection[str],
    verdict: Verdict,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Check that every item has its quicklook, and that it shows the item's frame.

    Args:
        inventory: the committed frames.
        items: positions of the frames by key of their items.
        present: keys of what is there.
        verdict: takes what is found.
        progress: called with the number of quicklooks that are compared, and of all; None leaves them unread.

    Raises:
        StorageError: The storage refuses to be read.
    """

    def fault(item: str) -> str | None:
        key = image_key(item)
        if key not in present:
            return MISSING
        return _fault(inventory, key, ITEM_PIXELS, items[item]) if progress else None

    with ThreadPoolExecutor(_WORKERS) as pool:
        for done, (item, what) in enumerate(zip(items, pool.map(fault, items), strict=True), 1):
            if what:
                verdict.found("catalog", what, image_key(item))
            if progress:
                progress(done, len(items))


def _fault(inventory: Inventory, key: str, longest: int, position: int | None) -> str | None:
    """The fault of a quicklook; without a position its pixels are not compared."""
    data = inventory.store.get(key)
    if data is None:
        return MISSING
    shape, expected = _png_shape(data), quicklook_shape(inventory.grid.rows, inventory.grid.columns, longest)
    if shape is None:
        return f"is no whole PNG image; {REMEDY}"
    if shape != expected:
        return f"has {shape[1]} × {shape[0]} pixels, not {expected[1]} × {expected[0]}; {REMEDY}"
    if position is not None and not _shows(data, inventory, position, longest):
        return f"does not show the frame that the catalog says; {REMEDY}"
    return None


def _shows(data: bytes, inventory: Inventory, position: int, longest: int) -> bool:
    """Whether a PNG shows a frame, packed by any version of the encoder; a damaged one is not compared."""
    try:
        expected = quicklook(inventory.frame(position), longest)
    except IncompatibleError:
        return True
    return data == expected or np.array_equal(_pixels(data), _pixels(expected))


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


def _pixels(data: bytes) -> NDArray[np.generic]:
    try:
        with av.open(BytesIO(data), mode="r", format="png_pipe") as container:
            return next(container.decode(video=0)).to_ndarray(format="rgba")
    except (av.FFmpegError, StopIteration, ValueError):
        return np.empty(0)
