"""Archives to catalogue, made by the program's own writer."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from etl.extract.frame import Frame, FrameEntry, Scale
from etl.load.archive import Appender
from etl.load.folder import LocalFolder
from etl.load.inventory import Inventory, read_inventory
from etl.load.schema import Schema
from etl.transform.grid import Grid
from etl.transform.packing import pack

SCALE = Scale(-0.1, 0.9)
NO_DATA = Scale(float("nan"), float("inf"))


class Continent:
    """One continent of an archive that grows by a frame when asked."""

    def __init__(self, store: LocalFolder, name: str, grid: Grid) -> None:
        self.store = store
        self.folder = name.lower()
        self.grid = grid
        self.schema = Schema(name, grid, 12)

    @property
    def path(self) -> Path:
        return self.store.root / self.folder

    @property
    def inventory(self) -> Inventory:
        inventory = read_inventory(self.store, self.folder)
        assert inventory is not None
        return inventory

    def append(self, satellites: Sequence[str], scale: Scale = SCALE) -> None:
        """Append a frame for each satellite, ten hours apart, and commit them together."""
        inventory = read_inventory(self.store, self.folder)
        archived = len(inventory) if inventory else 0
        first = datetime(2025, 1, 1, 9, 57, 3, tzinfo=UTC)
        self.append_at(
            [
                (first + timedelta(hours=10 * number), satellite)
                for number, satellite in enumerate(satellites, archived + 1)
            ],
            scale,
        )

    def append_at(self, frames: Sequence[tuple[datetime, str]], scale: Scale = SCALE) -> None:
        """Append a frame for each time and satellite, and commit them together."""
        appender = Appender(self.store, self.folder, self.schema)
        inventory = read_inventory(self.store, self.folder)
        archived = len(inventory) if inventory else 0
        for number, (time, satellite) in enumerate(frames, archived + 1):
            codes = self._codes(number)
            appender.append(pack(Frame(FrameEntry(number, time, satellite, scale), codes, 12)))
        appender.commit()

    def _codes(self, number: int) -> NDArray[np.uint16]:
        shape = (self.grid.rows, self.grid.columns)
        return np.random.default_rng(number).integers(0, 4096, shape).astype(np.uint16)
