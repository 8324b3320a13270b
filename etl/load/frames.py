"""Frames into the storage: their objects alone, which nobody sees until a commit says that they are there."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from etl.errors import IncompatibleError
from etl.extract.frame import Frame, FrameEntry
from etl.load.encoding import frame_folder, frame_keys
from etl.load.inventory import Inventory
from etl.load.pyramid import PyramidEncoder, rows_of
from etl.load.stores import Store
from etl.transform.packing import PackedFrame, Packing


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
        arrays: metadata of its `ndvi` array, and of the levels' ones, by name.
    """

    def __init__(
        self,
        store: Store,
        group: str,
        arrays: Mapping[str, Mapping[str, Any]],
        *,
        only_new: bool = False,
    ) -> None:
        """Prepare to write; nothing is written yet.

        Args:
            store: the archive's storage.
            group: key of the Zarr group.
            arrays: metadata of its `ndvi` array, and of the levels' ones, by name.
            only_new: replace nothing that is in the storage; that is safe without the lease.

        Raises:
            IncompatibleError: An array is not encoded as this version of the program encodes.
        """
        self._store = store
        self.group = group
        self.arrays = arrays
        self._only_new = only_new
        self._threads = threading.local()
        self._threads.encoder = PyramidEncoder(arrays)

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
        size = self._put_all(encoder.encode(position, rows_of(frame.values, len(encoder.band))))
        columns = {
            "valid_fraction": frame.valid_fraction,
            "ndvi_mean": frame.mean,
            "checksum": frame.checksum,
        }
        return Written(frame.entry, columns, size)

    def take_over(self, position: int, inventory: Inventory, there: int) -> Written:
        """Let the objects of a frame of another group be objects of this one too.

        They are linked as they are where both groups encode alike, else written anew; so are its levels.

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
        encoder, size = self._encoder, 0
        alike = _encoded_alike(inventory, self.arrays)
        links = {name: self._links(name, position, inventory, there) for name in sorted(alike)}
        lost = set(self._store.missing(source for each in links.values() for source in each.values()))
        linked = {name for name, each in links.items() if lost.isdisjoint(each.values())}
        if "ndvi" in alike - linked:
            raise _damaged(inventory, entry)
        self._store.copy_all({target: source for name in linked for target, source in links[name].items()})
        if linked != self.arrays.keys():
            values = inventory.frame(there)
            objects = (
                encoder.encode_levels(position, values)
                if "ndvi" in linked
                else encoder.encode(position, rows_of(values, len(encoder.band)))
            )
            size = self._put_all(objects)
        return Written(entry, columns, size, {"load": perf_counter() - begun})

    def _links(self, name: str, position: int, inventory: Inventory, there: int) -> dict[str, str]:
        """Keys of the objects of an array's frame in another group, by those they have here."""
        theirs = frame_keys(inventory.documents[name], there)
        ours = frame_keys(self.arrays[name], position)
        return {
            f"{self.group}/{name}/{target}": f"{inventory.group_key}/{name}/{source}"
            for target, source in zip(ours, theirs, strict=True)
        }

    def clear(self, positions: range) -> None:
        """Remove what earlier runs left at some positions, and what a listing shows behind them."""
        left: set[str] = set()
        for name, document in self.arrays.items():
            array = f"{self.group}/{name}/"
            left |= {f"{array}{key}" for position in positions for key in frame_keys(document, position)}
            parent = array + frame_folder(document, 0).removesuffix("0/")
            for key in self._store.keys(parent):
                position = key.removeprefix(parent).partition("/")[0]
                if position.isdecimal() and int(position) >= positions.stop:
                    left.add(key)
        self._store.remove(sorted(left))

    @property
    def _encoder(self) -> PyramidEncoder:
        """The encoder of this thread."""
        try:
            encoder: PyramidEncoder = self._threads.encoder
        except AttributeError:
            encoder = self._threads.encoder = PyramidEncoder(self.arrays)
        return encoder

    def _put_all(self, objects: Mapping[str, bytes | memoryview]) -> int:
        full = {f"{self.group}/{key}": data for key, data in objects.items()}
        if self._only_new:
            self._store.create_all(full)
        else:
            self._store.put_all(full, final=True)
        return sum(map(len, objects.values()))


def _encoded_alike(inventory: Inventory, arrays: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Names of the arrays whose objects in another group are as they would be here."""
    theirs = inventory.documents
    return {
        name
        for name, ours in arrays.items()
        if name in theirs and all(theirs[name][key] == ours[key] for key in ("chunk_grid", "codecs"))
    }


def _damaged(inventory: Inventory, entry: FrameEntry) -> IncompatibleError:
    return IncompatibleError(
        f"{entry} in {inventory.store.location(inventory.group_key)} is damaged",
        "rebuild dates that hold it, or restore its object from a copy",
    )
