"""Does the video still show what was archived? Asked before anything is appended.

Numbers can shift while dates stay: a playlist loses its first segment, a stream is encoded anew. Nothing in
the metadata tells; the pixels do. So the newest archived frame is decoded again, just before the new ones.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from etl.errors import ServiceError
from etl.extract.api import Listing
from etl.extract.frame import Frame, FrameEntry
from etl.extract.service import ContinentService
from etl.load.inventory import Inventory
from etl.plan import Plan
from etl.transform.packing import pack

log = logging.getLogger(__name__)

_FURTHER = 3
"""Older archived frames that are compared where the newest is another now."""


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
        ServiceError: No archived frame is seen under its number any more.
        StreamError: A frame cannot be had; all before it were yielded.
    """
    anchors = [entry for entry in plan.archived if entry.scale.is_finite]
    if inventory is None or not plan.new:
        anchors = []
    elif not anchors:
        log.warning(
            "no archived frame with data is listed in these dates, so the numbering cannot be checked",
            extra={"event": "numbering_unchecked"},
        )
    wanted = (*anchors[-1:], *plan.new)
    with closing(service.frames(listing, wanted)) as frames:
        if inventory and anchors and not _is_archived(next(frames), inventory):
            for entry in _changed(service, listing, anchors, inventory):
                on_changed(entry)
        yield from frames


def _changed(
    service: ContinentService, listing: Listing, anchors: Sequence[FrameEntry], inventory: Inventory
) -> list[FrameEntry]:
    """Which of the last archived frames are others now, the newest being so; raise if all are."""
    newest, older = anchors[-1], anchors[-1 - _FURTHER : -1]
    with closing(service.frames(listing, older)) as frames:
        changed = [frame.entry for frame in frames if not _is_archived(frame, inventory)]
    if len(changed) == len(older):
        raise ServiceError(
            f"the video shows other pictures than those archived, {newest} among them: its numbering has"
            " shifted, or it was published anew; nothing was appended",
            "compare with ndvi-archive verify --against-source, then take all frames anew with --rebuild",
        )
    return [*changed, newest]


def _is_archived(frame: Frame, inventory: Inventory) -> bool:
    position = inventory.index[frame.entry.time, frame.entry.satellite]
    return pack(frame).checksum == int(inventory.columns["checksum"][position])
