"""Which of the listed frames are new to an archive; nothing is read or written here."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from etl.extract.frame import FrameEntry
from etl.load.inventory import Inventory


@dataclass(frozen=True)
class Plan:
    """Which of the listed frames to archive.

    Attributes:
        new: frames to append, in the order of the archive.
        archived: frames that are in the archive as listed.
        late: frames older than the newest archived one and absent: they cannot be appended.
        changed: frames in the archive whose number or scale in the stream is another now.
    """

    new: tuple[FrameEntry, ...]
    archived: tuple[FrameEntry, ...]
    late: tuple[FrameEntry, ...]
    changed: tuple[FrameEntry, ...]


def plan_frames(entries: Iterable[FrameEntry], inventory: Inventory | None) -> Plan:
    """Compare the listed frames with the archived ones.

    The archive is in order of time; frames of the same time are in the order of the stream.
    """
    new: list[FrameEntry] = []
    archived: list[FrameEntry] = []
    late: list[FrameEntry] = []
    changed: list[FrameEntry] = []
    newest = inventory.times[-1] if inventory else None
    for entry in sorted(entries, key=lambda entry: (entry.time, entry.number)):
        position = inventory.index.get((entry.time, entry.satellite)) if inventory else None
        if inventory and position is not None:
            (archived if _is_same(entry, inventory, position) else changed).append(entry)
        elif newest is not None and entry.time < newest:
            late.append(entry)
        else:
            new.append(entry)
    return Plan(tuple(new), tuple(archived), tuple(late), tuple(changed))


def _is_same(entry: FrameEntry, inventory: Inventory, position: int) -> bool:
    """Whether an archived frame has the number and the scale that the stream gives it now."""
    columns = inventory.columns
    scale = [columns["source_min"][position], columns["source_max"][position]]
    listed = [entry.scale.minimum, entry.scale.maximum]
    return bool(
        columns["frame_number"][position] == entry.number and np.array_equal(scale, listed, equal_nan=True)
    )
