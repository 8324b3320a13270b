"""An archive to analyse, and its values as plain arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from etl.load.folder import LocalFolder
from etl.load.schema import Schema
from etl.transform.packing import PackedFrame
from tests.load.archives import archive


@dataclass(frozen=True)
class Archived:
    """A continent `Europe` in an archive.

    Attributes:
        store: the archive.
        schema: grid of the frames.
        packed: the frames.
    """

    store: LocalFolder
    schema: Schema
    packed: list[PackedFrame]

    @property
    def place(self) -> Path:
        """Address of the archive."""
        return self.store.root

    @property
    def times(self) -> NDArray[np.datetime64]:
        """Sensing start of each frame, in seconds."""
        return np.array([each.entry.time.replace(tzinfo=None) for each in self.packed], "datetime64[s]")

    @property
    def satellites(self) -> NDArray[np.str_]:
        """Satellite of each frame."""
        return np.array([each.entry.satellite for each in self.packed])

    def ndvi(self, lowest: float = 0.05) -> NDArray[np.float64]:
        """NDVI of shape (frames, rows, columns); NaN below the lowest and where there is no data."""
        stored = np.stack([each.values for each in self.packed])
        values = np.where(stored == -32768, np.nan, stored * 0.0001)
        values[values < lowest] = np.nan
        return values


def archived(folder: Path, schema: Schema, packed: list[PackedFrame]) -> Archived:
    """Archive frames in a folder."""
    store = LocalFolder(folder)
    archive(store, packed, schema)
    return Archived(store, schema, packed)
