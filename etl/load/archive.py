"""Appending frames to an archive, and the commit that makes them visible.

Objects are written in this order: the frames' `ndvi` objects as they come; then, for a commit, the tail
chunks of the arrays along time, each array's own metadata (that of `time` last), and in the end the root with
the consolidated metadata, in one atomic put. A reader that opens the group sees a whole prefix of the frames
at any moment; one that ignores consolidated metadata sees in every single array a whole prefix that never
shrinks. A run trusts the committed root; see `etl.load.recovery` for what an interrupted one left beyond it.
"""

import json
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from etl.errors import IncompatibleError
from etl.extract.frame import SATELLITES, FrameEntry
from etl.load.frames import FrameWriter, Written
from etl.load.inventory import GROUP, ROOT, Inventory, read_inventory
from etl.load.levels import along_time, arrays_of_frames, changing, own_document
from etl.load.schema import COLUMN_CHUNK, COLUMNS, Schema, empty_group
from etl.load.stores import Store
from etl.transform.grid import Grid
from etl.transform.packing import PackedFrame


class Appender:
    """Writes frames behind the committed ones; hold the continent's lease while using it.

    Attributes:
        schema: what the frames share.
        writer: writes the objects of frames at the positions that were reserved for them.
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
        self.schema = schema
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
        self._reserved: deque[FrameEntry] = deque()
        self.writer = FrameWriter(store, self._prefix, arrays_of_frames(self._documents()))
        self.bytes_written = 0

    @property
    def next_position(self) -> int:
        """The position that is reserved next."""
        return len(self._columns["time"]) + len(self._rows) + len(self._reserved)

    @property
    def pending(self) -> int:  # noqa: D102 - see the class
        return len(self._rows)

    def reserve(self, entry: FrameEntry, shape: tuple[int, ...], bits: int) -> int:
        """Keep the next position for a frame whose objects are about to be written by `writer`.

        Args:
            entry: number, time, satellite and scale.
            shape: (rows, columns) of the frame.
            bits: bit depth of its codes.

        Returns:
            The position.

        Raises:
            IncompatibleError: The frame does not fit behind the others.
        """
        self._check_follows(entry, shape, bits)
        position = self.next_position
        self._reserved.append(entry)
        self._keys.add((entry.time, entry.satellite))
        self._newest = entry.time
        return position

    def add(self, written: Written) -> None:
        """Let the frame of the oldest reservation become visible with the next commit."""
        entry = self._reserved.popleft()
        if str(entry) != str(written.entry):
            raise RuntimeError(f"{written.entry} was written where {entry} belongs")
        self.bytes_written += written.size
        self._rows.append(
            {
                "time": int(entry.time.timestamp()),
                "satellite": SATELLITES[entry.satellite],
                "frame_number": entry.number,
                "source_min": entry.scale.minimum,
                "source_max": entry.scale.maximum,
                **written.columns,
            }
        )
        self._entries.append(entry)

    def append(self, frame: PackedFrame) -> None:
        """Write one frame's objects; it becomes visible with the next commit.

        Raises:
            IncompatibleError: The frame does not fit behind the others.
            StorageError: The storage refuses the write.
        """
        newest = self._newest
        position = self.reserve(frame.entry, frame.values.shape, frame.bits)
        try:
            written = self.writer.put(position, frame)
        except BaseException:
            self._reserved.pop()
            self._keys.remove((frame.entry.time, frame.entry.satellite))
            self._newest = newest
            raise
        self.add(written)

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
        documents = lengthened(self._documents(), length)
        consolidated = {**self._root["consolidated_metadata"], "metadata": documents}
        root = {**self._root, "consolidated_metadata": consolidated}

        tails = dict(self._static)
        for name in along_time(documents):
            values = columns.get(name.rpartition("/")[2])
            if values is not None:
                tails |= tail_chunks(name, documents[name], values, committed)
        self._put_all(tails)
        for batch in own_metadata(documents, documents if self._is_new else changing(documents)):
            self._put_all(batch)
        self._put_all({ROOT: to_json(root)})

        visible = self._entries
        self._root, self._columns, self._rows, self._entries = root, columns, [], []
        self._static, self._is_new = {}, False
        return visible

    def _documents(self) -> dict[str, Any]:
        documents: dict[str, Any] = self._root["consolidated_metadata"]["metadata"]
        return documents

    def _check_follows(self, entry: FrameEntry, shape: tuple[int, ...], bits: int) -> None:
        remedy = "nothing of it was archived; report this"
        if shape != (self.schema.grid.rows, self.schema.grid.columns):
            raise IncompatibleError(f"{entry} has the wrong size {shape}", remedy)
        if bits != self.schema.bits:
            raise IncompatibleError(
                f"{entry} has {bits} bits; the archive is made from {self.schema.bits}-bit video",
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


def own_metadata(
    documents: Mapping[str, Mapping[str, Any]], names: Iterable[str]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The metadata objects of arrays and groups below the root by key, in two batches to write.

    What tells of other arrays' lengths is the last to change: `time`, and the groups that consolidate.

    Args:
        documents: all that the root consolidates.
        names: those to write.
    """
    first: dict[str, bytes] = {}
    last: dict[str, bytes] = {}
    for name in names:
        is_last = name.rpartition("/")[2] == "time" or documents[name]["node_type"] == "group"
        (last if is_last else first)[f"{name}/{ROOT}"] = to_json(own_document(documents, name))
    return first, last


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


def _describe(grid: Grid) -> str:
    return f"{grid.columns} × {grid.rows} over {', '.join(f'{edge:g}' for edge in grid.bbox)}"


def tail_chunks(
    name: str, document: Mapping[str, Any], values: NDArray[Any], committed: int
) -> dict[str, bytes]:
    """The encoded chunks that hold the values from `committed` on, by key."""
    metadata = default_buffer_prototype().buffer.from_bytes(to_json(document))
    objects = {f"{name}/{ROOT}": metadata}
    array = zarr.open_array(MemoryStore(objects), path=name, mode="r+", zarr_format=3)
    # A chunk of nothing but fill is an object too, so that a missing one is always damage.
    array = array.with_config({"write_empty_chunks": True})
    first = committed // COLUMN_CHUNK * COLUMN_CHUNK
    array[first:] = values[first:]
    return {key: data.to_bytes() for key, data in objects.items() if not key.endswith(ROOT)}


def lengthened(documents: Mapping[str, Mapping[str, Any]], length: int) -> dict[str, Mapping[str, Any]]:
    """The metadata documents of a group with so many frames."""
    growing = set(along_time(documents))
    return {
        name: with_length(document, length) if name in growing else document
        for name, document in documents.items()
    }


def with_length(document: Mapping[str, Any], length: int) -> dict[str, Any]:
    """An array's metadata document with another length along time."""
    return {**document, "shape": [length, *document["shape"][1:]]}


def to_json(document: Mapping[str, Any]) -> bytes:
    """A metadata object as it is written."""
    return json.dumps(document, indent=2).encode()
