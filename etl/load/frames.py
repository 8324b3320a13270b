"""Frames into the storage: their objects alone, which nobody sees until a commit says that they are there."""

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl.errors import IncompatibleError
from etl.extract.frame import Frame, FrameEntry
from etl.load.encoding import FrameEncoder, frame_folder
from etl.load.inventory import Inventory
from etl.load.stores import Store
from etl.transform.packing import PackedFrame, Packing, crc32c


@dataclass(frozen=True)
class Written:
    """A frame whose objects are in the storage.

    Attributes:
        entry: number, time, satellite and scale.
        columns: what was found about its values: `valid_fraction`, `ndvi_mean` and `checksum`.
        size: bytes of its objects; 0 where they were there already.
        seconds: wall time by stage, `transform` and `load`.
    """

    entry: FrameEntry
    columns: Mapping[str, float]
    size: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


class FrameWriter:
    """Writes the objects of frames, each at a position of its own; several threads may use it at a time.

    Its methods raise `StorageError` where the storage refuses a write.

    Attributes:
        group: key of the Zarr group.
        document: metadata of its `ndvi` array.
    """

    def __init__(
        self, store: Store, group: str, document: Mapping[str, Any], *, only_new: bool = False
    ) -> None:
        """Prepare to write; nothing is written yet.

        Args:
            store: the archive's storage.
            group: key of the Zarr group.
            document: metadata of its `ndvi` array.
            only_new: replace nothing that is in the storage; that is safe without the lease.

        Raises:
            IncompatibleError: The array is not encoded as this version of the program encodes.
        """
        self._store = store
        self.group = group
        self.document = document
        self._prefix = f"{group}/ndvi"
        self._only_new = only_new
        self._threads = threading.local()
        self._threads.encoder = FrameEncoder(document)

    def write(self, position: int, frame: Frame) -> Written:
        """Pack a frame and write its objects.

        Raises:
            StreamError: The frame's scale reaches beyond what int16 × 0.0001 can hold.
        """
        begun = perf_counter()
        encoder, packing = self._encoder, Packing(frame)
        objects = encoder.encode(position, packing.bands(encoder.band))
        packed = perf_counter()
        size = self._put_all(objects)
        columns = {
            "valid_fraction": packing.valid_fraction,
            "ndvi_mean": packing.mean,
            "checksum": packing.checksum,
        }
        seconds = {"transform": packed - begun, "load": perf_counter() - packed}
        return Written(frame.entry, columns, size, seconds)

    def put(self, position: int, frame: PackedFrame) -> Written:
        """Write the objects of a packed frame."""
        encoder = self._encoder
        size = self._put_all(encoder.encode(position, _bands(frame.values, len(encoder.band))))
        columns = {
            "valid_fraction": frame.valid_fraction,
            "ndvi_mean": frame.mean,
            "checksum": frame.checksum,
        }
        return Written(frame.entry, columns, size)

    def take_over(self, position: int, inventory: Inventory, there: int) -> Written:
        """Let the objects of a frame of another group be objects of this one too.

        They are linked as they are where both groups encode alike, else written anew.

        Args:
            position: the frame's position here.
            inventory: the other group.
            there: its position there.

        Raises:
            IncompatibleError: The frame's objects are damaged.
        """
        begun = perf_counter()
        entry = inventory.entry(there)
        names = ("valid_fraction", "ndvi_mean", "checksum")
        columns = {name: inventory.columns[name][there].item() for name in names}
        theirs = inventory.root["consolidated_metadata"]["metadata"]["ndvi"]
        size = 0
        if any(theirs[name] != self.document[name] for name in ("chunk_grid", "codecs")):
            values = inventory.frame(there)
            if crc32c(values) != columns["checksum"]:
                raise _damaged(inventory, entry)
            encoder = self._encoder
            size = self._put_all(encoder.encode(position, _bands(values, len(encoder.band))))
        else:
            source = f"{inventory.group_key}/ndvi/{frame_folder(theirs, there)}"
            target = f"{self._prefix}/{frame_folder(self.document, position)}"
            keys = sorted(self._store.keys(source))
            if len(keys) != _objects_a_frame(theirs):
                raise _damaged(inventory, entry)
            for key in keys:
                self._store.copy(key, target + key.removeprefix(source))
        return Written(entry, columns, size, {"load": perf_counter() - begun})

    def clear(self, position: int) -> None:
        """Remove what earlier runs left at a position, and at all behind it."""
        start = f"{self._prefix}/{frame_folder(self.document, position)}"
        parent = start.rstrip("/").rpartition("/")[0] + "/"
        found = {key.removeprefix(parent).partition("/")[0] for key in self._store.keys(parent)}
        for name in found:
            if name.isdecimal() and int(name) >= position:
                self._store.delete(f"{parent}{name}")

    @property
    def _encoder(self) -> FrameEncoder:
        """The encoder of this thread."""
        try:
            encoder: FrameEncoder = self._threads.encoder
        except AttributeError:
            encoder = self._threads.encoder = FrameEncoder(self.document)
        return encoder

    def _put_all(self, objects: Mapping[str, bytes | memoryview]) -> int:
        full = {f"{self._prefix}/{key}": data for key, data in objects.items()}
        if self._only_new:
            self._store.create_all(full)
        else:
            self._store.put_all(full, final=True)
        return sum(map(len, objects.values()))


def _bands(values: NDArray[np.int16], rows: int) -> Iterable[NDArray[np.int16]]:
    return (values[top : top + rows] for top in range(0, len(values), rows))


def _objects_a_frame(document: Mapping[str, Any]) -> int:
    sides = zip(
        document["shape"][1:], document["chunk_grid"]["configuration"]["chunk_shape"][1:], strict=True
    )
    return math.prod(-(-side // step) for side, step in sides)


def _damaged(inventory: Inventory, entry: FrameEntry) -> IncompatibleError:
    return IncompatibleError(
        f"{entry} in {inventory.store.location(inventory.group_key)} is damaged",
        "rebuild dates that hold it, or restore its object from a copy",
    )
