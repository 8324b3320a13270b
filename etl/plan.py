"""Which of the listed frames are new to an archive, and what is odd; nothing is read or written here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from etl.errors import ServiceError
from etl.extract.frame import FrameEntry
from etl.load.inventory import Inventory, Key

Duplicates = Literal["first", "last", "refuse"]
"""Which of several frames of one satellite at one time is archived, by number in the stream."""


_FURTHEST_AHEAD = timedelta(days=2)
"""A frame dated further ahead is dated wrongly, and would make all that come after it late."""


@dataclass(frozen=True)
class Plan:
    """Which of the listed frames to archive, and how the others differ from what is archived.

    Attributes:
        new: frames to append, in the order of the archive.
        archived: listed frames that are in the archive with the same scale, in its order.
        renumbered: those of `archived` whose number in the stream is another now.
        late: frames older than the newest archived one and absent: they cannot be appended.
        republished: frames in the archive whose scale in the stream is another now.
        withdrawn: frames in the archive, within the dates asked for, that are no longer listed.
        duplicates: frames left out because another one has the same time and satellite.
        ahead: frames left out because their time is still to come.
    """

    new: tuple[FrameEntry, ...] = ()
    archived: tuple[FrameEntry, ...] = ()
    renumbered: tuple[FrameEntry, ...] = ()
    late: tuple[FrameEntry, ...] = ()
    republished: tuple[FrameEntry, ...] = ()
    withdrawn: tuple[FrameEntry, ...] = ()
    duplicates: tuple[FrameEntry, ...] = ()
    ahead: tuple[FrameEntry, ...] = ()


def plan_frames(
    entries: Iterable[FrameEntry],
    inventory: Inventory | None,
    start: datetime | None = None,
    end: datetime | None = None,
    duplicates: Duplicates = "first",
) -> Plan:
    """Compare the listed frames with the archived ones.

    The archive is in order of time; frames of the same time are in the order of the stream.

    Args:
        entries: what the service lists.
        inventory: what is archived, or None.
        start: frames before are not looked at; None is the first there is.
        end: frames after are not looked at; None is the last there is.
        duplicates: which of several frames of one satellite at one time to take.

    Raises:
        ServiceError: There are such frames, and they are to be refused.
    """
    asked = [entry for entry in entries if _within(entry.time, start, end)]
    horizon = datetime.now(UTC) + _FURTHEST_AHEAD
    ahead = [entry for entry in asked if entry.time > horizon]
    chosen, left_out = _one_each([entry for entry in asked if entry.time <= horizon], duplicates)
    new: list[FrameEntry] = []
    archived: list[FrameEntry] = []
    renumbered: list[FrameEntry] = []
    late: list[FrameEntry] = []
    republished: list[FrameEntry] = []
    newest = inventory.times[-1] if inventory else None
    for entry in chosen:
        position = inventory.index.get((entry.time, entry.satellite)) if inventory else None
        if inventory and position is not None:
            known = inventory.entry(position)
            if not known.scale.is_same(entry.scale):
                republished.append(entry)
                continue
            archived.append(entry)
            if known.number != entry.number:
                renumbered.append(entry)
        elif newest is not None and entry.time < newest:
            late.append(entry)
        else:
            new.append(entry)
    listed = {(entry.time, entry.satellite) for entry in chosen}
    withdrawn = [
        inventory.entry(position)
        for (time, satellite), position in (inventory.index if inventory else {}).items()
        if inventory and (time, satellite) not in listed and _within(time, start, end)
    ]
    kinds = (new, archived, renumbered, late, republished, withdrawn, left_out, ahead)
    return Plan(*map(tuple, kinds))


def _within(time: datetime, start: datetime | None, end: datetime | None) -> bool:
    return (start is None or time >= start) and (end is None or time <= end)


def _one_each(
    entries: Iterable[FrameEntry], duplicates: Duplicates
) -> tuple[Sequence[FrameEntry], list[FrameEntry]]:
    """One frame a time and satellite, in the order of the archive, and those left out."""
    chosen: dict[Key, FrameEntry] = {}
    left_out: list[FrameEntry] = []
    for entry in sorted(entries, key=lambda entry: entry.number, reverse=duplicates == "last"):
        other = chosen.setdefault((entry.time, entry.satellite), entry)
        if other is entry:
            continue
        if duplicates == "refuse":
            raise ServiceError(
                f"the metadata lists two frames of one satellite at one time: {other} and {entry}",
                "choose one with --duplicates, or leave that day out with --start / --end",
            )
        left_out.append(entry)
    return sorted(chosen.values(), key=lambda entry: (entry.time, entry.number)), left_out
