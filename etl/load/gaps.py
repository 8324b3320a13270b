"""Days without a frame."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from etl.load.inventory import Inventory

_DAY = 86400


@dataclass(frozen=True)
class Gap:
    """Days, one after the other, on which a satellite has no frame.

    Attributes:
        first: the first of them, UTC.
        last: the last of them, UTC.
    """

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many days are missing."""
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        if self.first == self.last:
            return f"{self.first} (1 day)"
        return f"{self.first} to {self.last} ({self.days} days)"


def gaps(inventory: Inventory) -> dict[str, tuple[Gap, ...]]:
    """The days missing between the first and the last frame of each satellite, in the order of time.

    A frame that holds no data is a frame: its day is not missing. A satellite that never had a frame is left
    out, and so is what comes before its first or after its last one.
    """
    days = inventory.columns["time"] // _DAY
    names = np.array(inventory.satellites)
    found: dict[str, tuple[Gap, ...]] = {}
    for name in np.unique(names).tolist():
        present = np.unique(days[names == name])
        before = np.flatnonzero(np.diff(present) > 1)
        ends = zip(present[before].tolist(), present[before + 1].tolist(), strict=True)
        found[name] = tuple(Gap(_date(left + 1), _date(right - 1)) for left, right in ends)
    return found


def _date(day: int) -> date:
    return datetime.fromtimestamp(day * _DAY, UTC).date()
