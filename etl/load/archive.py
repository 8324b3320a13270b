"""Appending frames to an archive, and the commit that makes them visible.

Objects are written in this order: the frames' `ndvi` objects as they come; then, for a commit, the tail
chunks of the arrays along time, each array's own metadata (that of `time` last), and in the end the root with
the consolidated metadata, in one atomic put. A reader that opens the group sees a whole prefix of the frames
at any moment; one that ignores consolidated metadata sees in every single array a whole prefix that never
shrinks. A run trusts the committed root; see `etl.load.recovery` for what an interrupted one left beyond it.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from etl.errors import IncompatibleError
from etl.extract.frame import SATELLITES, FrameEntry
from etl.load.inventory import GROUP, ROOT, Inventory, read_inventory
from etl.load.schema import ALONG_TIME, COLUMN_CHUNK, COLUMNS, Keys, Schema, empty_group
from etl.load.stores import Store
from etl.transform.grid import Grid
from etl.transform.packing import PackedFrame, crc32c

_ANY_LENGTH = 1 << 31
"""Length along time under which frames are encoded: a frame's object does not depend on it."""


class Appender:
    """Writes frames behind the committed ones; hold the continent's lease while using it.

    Attributes:
        pending: number of frames that were appended and not committed.
        bytes_written: bytes of all objects written so far.
    """

    def __init__(self, store: Store, folder: str, schema: Schema) -> None:
        """Read what is committed and prepare to append; nothing is written yet.

        Args:
            store: the archive's storage.
            folder: the continent's folder in the archive.
            schema: what the frames to come share; a committed archive keeps its own layout.

        Raises:
            IncompatibleError: The frames to come do not fit the committed ones.
            StorageError: The storage refuses to be read.
        """
        self._store = store
        self._prefix = f"{folder}/{GROUP}"
        self._schema = schema
        inventory = read_inventory(store, folder)
        if inventory is None:
            objects = empty_group(schema)
            self._root: Mapping[str, Any] = json.loads(objects[ROOT])
            self._static = {key: data for key, data in objects.items() if key.rpartition("/")[2] != ROOT}
            self._columns = {name: np.empty(0, column.dtype) for name, column in COLUMNS.items()}
            self._keys: set[tuple[datetime, str]] = set()
        else:
            check_fits(inventory, schema.grid, schema.bits)
            self._root = inventory.root
            self._static = {}
            self._columns = dict(inventory.columns)
            self._keys = set(inventory.index)
        self._is_new = inventory is None
        self._newest = max((time for time, _ in self._keys), default=None)
        self._rows: list[dict[str, Any]] = []
        self._entries: list[FrameEntry] = []
        self._frame_objects, self._frames = _encoder("ndvi", self._documents()["ndvi"], _ANY_LENGTH)
        self.bytes_written = 0

    @property
    def pending(self) -> int:  # noqa: D102 - see the class
        return len(self._rows)

    def append(self, frame: PackedFrame) -> None:
        """Write one frame's objects; it becomes visible with the next commit.

        Raises:
            IncompatibleError: The frame does not fit behind the others.
            StorageError: The storage refuses the write.
        """
        self._check_follows(frame.entry, frame.values.shape, frame.bits)
        self._frames[self._place] = frame.values
        keys = [key for key in self._frame_objects if not key.endswith(ROOT)]
        self._put_all({key: self._frame_objects.pop(key).to_bytes() for key in keys}, final=True)
        self._add(
            frame.entry,
            {
                "valid_fraction": frame.valid_fraction,
                "ndvi_mean": frame.mean,
                "checksum": frame.checksum,
            },
        )

    def take_over(self, inventory: Inventory, position: int) -> None:
        """Let a frame of another group be one of this group too; it becomes visible with the next commit.

        Its objects are linked as they are where both groups encode alike, else written anew.

        Raises:
            IncompatibleError: The frame does not fit behind the others, or its objects are damaged.
            StorageError: The storage refuses the write.
        """
        entry = inventory.entry(position)
        columns = ("valid_fraction", "ndvi_mean", "checksum")
        known = {name: inventory.columns[name][position].item() for name in columns}
        theirs, ours = inventory.root["consolidated_metadata"]["metadata"]["ndvi"], self._documents()["ndvi"]
        if any(theirs[name] != ours[name] for name in ("chunk_grid", "codecs")):
            values = inventory.frame(position)
            if crc32c(values) != known["checksum"]:
                raise _damaged(inventory, entry)
            fraction, mean, checksum = known.values()
            return self.append(PackedFrame(entry, values, inventory.bits, fraction, mean, checksum))
        self._check_follows(entry, (inventory.grid.rows, inventory.grid.columns), inventory.bits)
        source = f"{inventory.group_key}/ndvi/{frame_folder(inventory.keys, position)}"
        target = f"{self._prefix}/ndvi/{frame_folder(_keys_of(ours), self._place)}"
        objects = sorted(self._store.keys(source))
        if len(objects) != _objects_a_frame(theirs):
            raise _damaged(inventory, entry)
        for key in objects:
            self._store.copy(key, target + key.removeprefix(source))
        return self._add(entry, known)

    def commit(self) -> list[FrameEntry]:
        """Make the appended frames visible, all at once; without any, do nothing.

        Returns:
            The frames that have become visible.

        Raises:
            StorageError: The storage refuses a write; what was committed before stays as it was.
        """
        if not self._rows:
            return []
        now = int(datetime.now(UTC).timestamp())
        committed = len(self._columns["time"])
        length = committed + len(self._rows)
        columns = {
            name: np.append(
                self._columns[name], np.array([row.get(name, now) for row in self._rows], column.dtype)
            )
            for name, column in COLUMNS.items()
        }
        documents = {
            name: with_length(document, length) if name in ALONG_TIME else document
            for name, document in self._documents().items()
        }
        consolidated = {**self._root["consolidated_metadata"], "metadata": documents}
        root = {**self._root, "consolidated_metadata": consolidated}

        tails = dict(self._static)
        for name, values in columns.items():
            tails |= _tail_chunks(name, documents[name], values, committed)
        self._put_all(tails)
        names = documents if self._is_new else ALONG_TIME
        for batch in own_metadata({name: documents[name] for name in names}):
            self._put_all(batch)
        self._put_all({ROOT: to_json(root)})

        visible = self._entries
        self._root, self._columns, self._rows, self._entries = root, columns, [], []
        self._static, self._is_new = {}, False
        return visible

    @property
    def _place(self) -> int:
        """Position of the next frame."""
        return len(self._columns["time"]) + len(self._rows)

    def _add(self, entry: FrameEntry, known: Mapping[str, float]) -> None:
        """Remember a frame whose objects are written, for the next commit."""
        self._rows.append(
            {
                "time": int(entry.time.timestamp()),
                "satellite": SATELLITES[entry.satellite],
                "frame_number": entry.number,
                "source_min": entry.scale.minimum,
                "source_max": entry.scale.maximum,
                **known,
            }
        )
        self._entries.append(entry)
        self._keys.add((entry.time, entry.satellite))
        self._newest = entry.time

    def _documents(self) -> dict[str, Any]:
        documents: dict[str, Any] = self._root["consolidated_metadata"]["metadata"]
        return documents

    def _check_follows(self, entry: FrameEntry, shape: tuple[int, ...], bits: int) -> None:
        remedy = "nothing of it was archived; report this"
        if shape != (self._schema.grid.rows, self._schema.grid.columns):
            raise IncompatibleError(f"{entry} has the wrong size {shape}", remedy)
        if bits != self._schema.bits:
            raise IncompatibleError(
                f"{entry} has {bits} bits; the archive is made from {self._schema.bits}-bit video",
                remedy,
            )
        if entry.satellite not in SATELLITES:
            raise IncompatibleError(f"{entry} is of none of {', '.join(SATELLITES)}", remedy)
        if (entry.time, entry.satellite) in self._keys:
            raise IncompatibleError(f"{entry} is in the archive already", remedy)
        if self._newest is not None and entry.time < self._newest:
            raise IncompatibleError(f"{entry} is older than the newest archived frame", remedy)

    def _put_all(self, objects: Mapping[str, bytes], *, final: bool = False) -> None:
        self._store.put_all({f"{self._prefix}/{key}": data for key, data in objects.items()}, final=final)
        self.bytes_written += sum(map(len, objects.values()))


def frame_folder(keys: Keys, position: int) -> str:
    """Where in the `ndvi` array's folder the objects of a frame are."""
    return f"c/{position}/" if keys == "default" else f"{position}/"


def own_metadata(documents: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The metadata objects of arrays by key, in two batches to write: `time` is the last to change."""
    objects = {f"{name}/{ROOT}": to_json(document) for name, document in documents.items()}
    last = f"time/{ROOT}"
    return {key: data for key, data in objects.items() if key != last}, {last: objects[last]}


def check_fits(inventory: Inventory, grid: Grid, bits: int | None = None) -> None:
    """Check that frames of a grid and bit depth can stand behind the committed ones.

    Raises:
        IncompatibleError: They cannot.
    """
    where = inventory.store.location(inventory.group_key)
    if inventory.grid != grid:
        raise IncompatibleError(
            f"the stream's grid {_describe(grid)} is not that of {where}, {_describe(inventory.grid)}",
            "archive the new grid under another --archive, or take all frames anew with --rebuild",
        )
    if bits is not None and inventory.bits != bits:
        raise IncompatibleError(
            f"the stream has {bits} bits; {where} is made from {inventory.bits}-bit video",
            "archive the new stream under another --archive, or take all frames anew with --rebuild",
        )


def _keys_of(document: Mapping[str, Any]) -> Keys:
    keys: Keys = document["chunk_key_encoding"]["name"]
    return keys


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


def _describe(grid: Grid) -> str:
    return f"{grid.columns} × {grid.rows} over {', '.join(f'{edge:g}' for edge in grid.bbox)}"


def _encoder(
    name: str, document: Mapping[str, Any], length: int
) -> tuple[dict[str, Buffer], zarr.Array[Any]]:
    """An array in memory with the committed codecs: what is written to it turns up as encoded objects."""
    metadata = default_buffer_prototype().buffer.from_bytes(to_json(with_length(document, length)))
    objects = {f"{name}/{ROOT}": metadata}
    array = zarr.open_array(MemoryStore(objects), path=name, mode="r+", zarr_format=3)
    # A chunk of nothing but fill is an object too, so that a missing one is always damage.
    return objects, array.with_config({"write_empty_chunks": True})


def _tail_chunks(
    name: str, document: Mapping[str, Any], values: NDArray[Any], committed: int
) -> dict[str, bytes]:
    """The encoded chunks that hold the values from `committed` on, by key."""
    objects, array = _encoder(name, document, len(values))
    first = committed // COLUMN_CHUNK * COLUMN_CHUNK
    array[first:] = values[first:]
    return {key: data.to_bytes() for key, data in objects.items() if not key.endswith(ROOT)}


def with_length(document: Mapping[str, Any], length: int) -> dict[str, Any]:
    """An array's metadata document with another length along time."""
    return {**document, "shape": [length, *document["shape"][1:]]}


def to_json(document: Mapping[str, Any]) -> bytes:
    """A metadata object as it is written."""
    return json.dumps(document, indent=2).encode()
