"""One archived frame, cut and masked, as it goes into a file."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from etl.analysis.part import Part
from etl.load.inventory import Inventory
from etl.transform.packing import FILL_VALUE, SCALE_FACTOR

Format = Literal["cog", "geotiff", "netcdf"]

_VERSION = 2
"""Raised when the same frame with the same settings becomes another file."""

_NDVI = (np.arange(1 << 16, dtype=np.uint16).view(np.int16) * SCALE_FACTOR).astype(np.float32)
"""NDVI by stored value, its bits taken for uint16."""
_NDVI[np.uint16(1 << 15)] = np.nan


@dataclass(frozen=True)
class Label:
    """What a file was made from and how; equal labels are of equal files.

    Attributes:
        frame: the frame, with the checksum of its values.
        settings: all else that matters, as JSON.
    """

    frame: str
    settings: str

    @property
    def tags(self) -> dict[str, str]:
        """The label as a file keeps it."""
        return {"ndvi_archive_frame": self.frame, "ndvi_archive_settings": self.settings}

    @classmethod
    def of(cls, tags: dict[str, str]) -> "Label | None":
        """The label among a file's tags; None where there is none, as the file is not one of ours."""
        label = cls(tags.get("ndvi_archive_frame", ""), tags.get("ndvi_archive_settings", ""))
        return label if label.frame and label.settings else None


@dataclass(frozen=True)
class Raster:
    """A frame's pixels, ready to be written.

    Attributes:
        inventory: the archive it is from.
        position: its position there.
        part: where the pixels lie.
        stored: [row, column] int16, NDVI / 0.0001, −32768 = no data, outside or masked.
        settings: how it is to be written.
    """

    inventory: Inventory
    position: int
    part: Part
    stored: NDArray[np.int16]
    settings: "Settings"

    @property
    def label(self) -> Label:
        """What the file is made from and how."""
        return self.settings.label(self.inventory, self.position)

    @property
    def tags(self) -> dict[str, str]:
        """What the file tells of itself."""
        entry, masked = self.inventory.entry(self.position), self.settings.lowest
        return {
            "time": f"{entry.time:%Y-%m-%dT%H:%M:%SZ}",
            "satellite": entry.satellite,
            "continent": self.inventory.continent,
            "long_name": "normalized difference vegetation index",
            "units": "1",
            "source": str(self.inventory.root["attributes"].get("source", "")),
            "comment": "nothing is masked" if masked is None else f"NDVI below {masked:g} is no data",
            **self.label.tags,
        }

    def values(self, rows: slice = slice(None)) -> NDArray[np.int16] | NDArray[np.float32]:
        """What the file holds of some rows: stored values if it is packed, else NDVI, NaN where no data."""
        stored = self.stored[rows]
        return stored if self.settings.packed else _NDVI[stored.view(np.uint16)]


@dataclass(frozen=True)
class Settings:
    """How frames become files.

    Attributes:
        part: the pixels that are taken.
        format: the format of the files.
        packed: values as stored, int16 with a scale, instead of float32.
        lowest: lower NDVI is no data; None masks nothing.
    """

    part: Part
    format: Format
    packed: bool
    lowest: float | None

    @cached_property
    def described(self) -> str:
        """All of it as JSON."""
        described = {
            "version": _VERSION,
            "format": self.format,
            "packed": self.packed,
            "lowest": self.lowest,
            **self.part.describe(),
        }
        return json.dumps(described)

    def label(self, inventory: Inventory, position: int) -> Label:
        """The label of the file of a frame."""
        entry, checksum = inventory.entry(position), int(inventory.columns["checksum"][position])
        frame = (
            f"{inventory.continent} {entry.satellite} {entry.time:%Y-%m-%dT%H:%M:%SZ} crc32c:{checksum:08x}"
        )
        return Label(frame, self.described)

    def raster(self, inventory: Inventory, position: int) -> Raster:
        """Read a frame.

        Raises:
            IncompatibleError: The frame's object is missing or damaged.
            StorageError: The storage refuses to be read.
        """
        # The whole frame, as only that can be compared with its checksum.
        values = inventory.frame(position)[self.part.rows, self.part.columns]
        stored = np.require(values, requirements=["C", "W"])
        if self.lowest is not None:
            stored[stored < _lowest_stored(self.lowest)] = FILL_VALUE
        if self.part.outside is not None:
            stored[self.part.outside] = FILL_VALUE
        return Raster(inventory, position, self.part, stored, self)


def _lowest_stored(lowest: float) -> int:
    """The first stored value that stands for at least that NDVI, as readers compute it."""
    return int(np.searchsorted(np.arange(FILL_VALUE, 1 << 15) * SCALE_FACTOR, lowest)) + FILL_VALUE
