"""Does the video still show what was archived? Asked before anything is appended.

Numbers can shift while dates stay: a playlist loses its first segment, a stream is encoded anew. Nothing in
the metadata tells; the pixels do. So the newest archived frame is decoded again, just before the new ones.
"""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace

from etl.errors import IncompatibleError, ServiceError, StreamError
from etl.extract.api import Listing
from etl.extract.frame import Frame, FrameEntry
from etl.extract.service import ContinentService
from etl.load.archive import check_fits
from etl.load.inventory import Inventory
from etl.plan import Plan
from etl.transform.packing import pack

log = logging.getLogger(__name__)

_COMPARED = 4
"""Archived frames that are compared where the newest is another now."""

_LOOKED_THROUGH = 32
"""Newest archived frames among which those to compare are looked for."""

_NEARBY = 3
"""Numbers before and after its own among which a frame that is another now is looked for."""


class StreamChangedError(ServiceError):
    """The stream no longer shows what was read of it before."""


def aligned_frames(
    service: ContinentService,
    listing: Listing,
    plan: Plan,
    inventory: Inventory | None,
    on_changed: Callable[[FrameEntry], None],
) -> Generator[Frame, None, None]:
    """The new frames of a stream that still shows the archived ones.

    Args:
        service: where the stream is.
        listing: what the service lists.
        plan: how that compares with what is archived.
        inventory: what is archived, or None.
        on_changed: called with archived frames whose pixels are others in the stream now.

    Raises:
        StreamChangedError: No archived frame is seen under its number any more.
        StreamError: A frame cannot be had; all before it were yielded.
    """
    anchors: list[FrameEntry] = []
    if inventory is not None and plan.new:
        anchors = _anchors(listing, inventory)
        if not anchors:
            log.warning(
                "no archived frame with a picture of its own is listed, so the numbering cannot be checked",
                extra={"event": "numbering_unchecked"},
            )
    wanted = (*anchors[-1:], *plan.new)
    with closing(service.frames(listing, wanted)) as frames:
        if inventory and anchors:
            newest = next(frames)
            check_fits(inventory, inventory.grid, newest.bits)
            if not _is_archived(newest, inventory):
                _check_others(service, listing, anchors, inventory)
                on_changed(newest.entry)
        yield from frames


def _anchors(listing: Listing, inventory: Inventory) -> list[FrameEntry]:
    """The newest archived frames that are listed alike and that no other frame can be taken for."""
    known: dict[int, FrameEntry] = {}
    for entry in listing.entries:
        position = inventory.index.get((entry.time, entry.satellite))
        if position is not None and inventory.entry(position).scale.is_same(entry.scale):
            known.setdefault(position, entry)
    checksums = Counter(inventory.columns["checksum"].tolist())
    anchors: list[FrameEntry] = []
    for position in sorted(known, reverse=True)[:_LOOKED_THROUGH]:
        if len(anchors) == _COMPARED:
            break
        if checksums[int(inventory.columns["checksum"][position])] == 1 and _has_a_picture(
            inventory, position
        ):
            anchors.append(known[position])
    return anchors[::-1]


def _has_a_picture(inventory: Inventory, position: int) -> bool:
    try:
        values = inventory.frame(position)
    except IncompatibleError:
        return False
    return bool(values.min() != values.max())


def _check_others(
    service: ContinentService, listing: Listing, anchors: Sequence[FrameEntry], inventory: Inventory
) -> None:
    """The newest frame is another now: see that it is so alone, and not shown under another number."""
    newest, older = anchors[-1], anchors[:-1]
    with closing(service.frames(listing, older)) as frames:
        alike = all(_is_archived(frame, inventory) for frame in frames)
    if not older or not alike or _is_nearby(service, listing, newest, inventory):
        raise StreamChangedError(
            f"the video shows other pictures than those archived, {newest} among them: its numbering has"
            " shifted, or it was published anew; nothing was appended",
            "compare with ndvi-archive verify --against-source, then take all frames anew with --rebuild",
        )


def _is_nearby(service: ContinentService, listing: Listing, entry: FrameEntry, inventory: Inventory) -> bool:
    """Whether the video shows an archived frame under a number near its own."""
    for number in range(max(1, entry.number - _NEARBY), entry.number + _NEARBY + 1):
        try:
            with closing(service.frames(listing, [replace(entry, number=number)])) as frames:
                if _is_archived(next(frames), inventory):
                    return True
        except StreamError:
            continue
    return False


def _is_archived(frame: Frame, inventory: Inventory) -> bool:
    position = inventory.index[frame.entry.time, frame.entry.satellite]
    return pack(frame).checksum == int(inventory.columns["checksum"][position])
