"""Does the video still show what was archived? Asked before anything is appended.

Numbers can shift while dates stay: a playlist loses its first segment, a stream is encoded again. Nothing in
the metadata tells; the pixels do. So the newest archived frame, the anchor, is decoded again, just before the
new ones. Where it cannot be read any more, older ones are tried.
"""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass

from etl.errors import IncompatibleError, LostError, ServiceError
from etl.extract.api import Listing
from etl.extract.frame import Frame, FrameEntry
from etl.extract.service import ContinentService
from etl.extract.video import Video
from etl.load.archive import check_fits
from etl.load.inventory import Inventory
from etl.plan import Plan
from etl.report import frames as in_words
from etl.transform.packing import pack

log = logging.getLogger(__name__)

_OTHERS = 3
"""Older anchors that must be as archived where the newest is another now."""

_NEIGHBOURS = 4
"""Newest anchors that are tried one by one; behind them the distance doubles from try to try.

A segment that is missing takes many frames with it, and each try can cost the decoding of a whole group.
"""

_LOOKED_AT = 32
"""Archived frames at most that are looked at for a picture of their own."""

_NEARBY = 3
"""Numbers before and after its own among which a frame is looked for that is not where it was."""


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
        StreamError: A frame cannot be had, or no archived one can; all before it were yielded.
    """
    if inventory is not None and plan.new:
        comparison = _Comparison(service, listing, inventory)
        if (yield from _behind_newest_anchor(comparison, plan, on_changed)):
            return
    with closing(service.frames(listing, plan.new)) as frames:
        yield from frames


def _behind_newest_anchor(
    comparison: "_Comparison", plan: Plan, on_changed: Callable[[FrameEntry], None]
) -> Generator[Frame, None, bool]:
    """The new frames, read in one pass with the newest anchor.

    Returns:
        Whether they were read; not where there is no anchor, or where an older one had to be compared.
    """
    anchors = comparison.anchors()
    newest = next(anchors, None)
    if newest is None:
        log.warning(
            "no archived frame with a picture of its own is listed, so the numbering cannot be checked",
            extra={"event": "numbering_unchecked"},
        )
        return False
    with closing(comparison.service.frames(comparison.listing, (newest, *plan.new))) as frames:
        lost: LostError | None = None
        try:
            is_alike = comparison.is_archived(next(frames))
        except LostError as error:
            is_alike, lost = False, error
        if not is_alike:
            changed = comparison.check_others(newest, lost, anchors)
            if changed:
                on_changed(changed)
        if lost is None:
            yield from frames
    return lost is None


@dataclass(frozen=True)
class _Comparison:
    """The stream beside the archive.

    Attributes:
        service: where the stream is.
        listing: what the service lists.
        inventory: what is archived.
    """

    service: ContinentService
    listing: Listing
    inventory: Inventory

    def anchors(self) -> Iterator[FrameEntry]:
        """Archived frames that are listed alike and that no other can be taken for, from the newest on."""
        known: dict[int, FrameEntry] = {}
        for entry in self.listing.entries:
            position = self.inventory.index.get((entry.time, entry.satellite))
            if position is not None and self.inventory.entry(position).scale.is_same(entry.scale):
                known.setdefault(position, entry)
        checksums = Counter(self.inventory.columns["checksum"].tolist())
        positions = sorted(known, reverse=True)
        place, step, found = 0, 1, 0
        for _ in range(_LOOKED_AT):
            if place >= len(positions):
                return
            position = positions[place]
            place += 1
            if checksums[self._checksum(position)] == 1 and self._has_a_picture(position):
                yield known[position]
                found += 1
                if found >= _NEIGHBOURS:
                    # The oldest is the last to be tried, and not passed over.
                    place, step = max(place, min(place + step, len(positions) - 1)), 2 * step

    def check_others(
        self, newest: FrameEntry, lost: LostError | None, older: Iterator[FrameEntry]
    ) -> FrameEntry | None:
        """See by older anchors that the numbering holds although the newest is not as it was.

        Args:
            newest: the newest anchor.
            lost: why it cannot be had; None where it can, and is another now.
            older: the anchors behind it.

        Returns:
            The newest anchor that could be had, if it is another now: it is so alone.

        Raises:
            StreamChangedError: Others are not as archived either, or one is shown under another number.
            LostError: None can be had.
        """
        video = self.service.video(self.listing)
        changed = None if lost else newest
        alike: list[FrameEntry] = []
        for entry in older:
            try:
                is_alike = self._shows(video, entry, entry.number)
            except LostError as error:
                if not alike:
                    lost = lost or error
                continue
            if is_alike:
                alike.append(entry)
            elif changed or alike:
                raise _changed(changed or entry)
            else:
                changed = entry
            if len(alike) == (_OTHERS if changed else 1):
                break
        if lost and not (changed or alike):
            raise lost
        if not alike or self._is_nearby(video, newest):
            raise _changed(changed or newest)
        if changed and changed != newest and self._is_nearby(video, changed):
            raise _changed(changed)
        if lost:
            self._warn_of_unchecked(lost, alike[0])
        return changed

    def is_archived(self, frame: Frame) -> bool:
        """Whether a frame has the pixels that are archived of its time and satellite.

        Raises:
            IncompatibleError: It has another bit depth than the archive.
        """
        check_fits(self.inventory, self.inventory.grid, frame.bits)
        position = self.inventory.index[frame.entry.time, frame.entry.satellite]
        return pack(frame).checksum == self._checksum(position)

    def _shows(self, video: Video, entry: FrameEntry, number: int) -> bool:
        """Whether the frame of a number has the pixels that are archived of an entry."""
        [alike] = [
            self.is_archived(Frame(entry, picture.codes, picture.bits))
            for picture in video.pictures([number])
        ]
        return alike

    def _is_nearby(self, video: Video, entry: FrameEntry) -> bool:
        """Whether the video shows an archived frame under a number near its own."""
        for number in range(max(1, entry.number - _NEARBY), entry.number + _NEARBY + 1):
            with suppress(LostError):
                if self._shows(video, entry, number):
                    return True
        return False

    def _warn_of_unchecked(self, lost: LostError, alike: FrameEntry) -> None:
        position = self.inventory.index[alike.time, alike.satellite]
        newest = self.inventory.entry(len(self.inventory) - 1)
        count = len(self.inventory) - 1 - position
        log.warning(
            "%s; %s shows what is archived, so new frames are appended, but the numbering of the %s"
            " archived after it, up to %s, could not be checked",
            lost.what,
            alike,
            in_words(count),
            newest,
            extra={
                "event": "frames_unchecked",
                "fields": {"frames": count, "newest": str(newest), "compared": str(alike)},
            },
        )

    def _checksum(self, position: int) -> int:
        return int(self.inventory.columns["checksum"][position])

    def _has_a_picture(self, position: int) -> bool:
        try:
            values = self.inventory.frame(position)
        except IncompatibleError:
            return False
        return bool(values.min() != values.max())


def _changed(entry: FrameEntry) -> StreamChangedError:
    return StreamChangedError(
        f"the video shows other pictures than those archived, {entry} among them: its numbering has"
        " shifted, or it was published again; nothing was appended",
        "compare with ndvi-archive verify --against-source, then read all frames again with --rebuild",
    )
