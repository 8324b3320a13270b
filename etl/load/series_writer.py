"""Writing a continent's series, one period after the other.

A period is read in bands, the rows of one row of shards, from north to south and of all its frames, so that
every value that is written was counted into its frame's checksum just before. Only where all of these are
right is the period committed: objects first, then the series' metadata, and the continent's root last, in one
atomic put. What an interrupted run left beyond the committed root is written again, with the same values.
"""

import threading
from collections.abc import Mapping
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.blosc import Blosc
from numpy.typing import NDArray

from etl.errors import IncompatibleError
from etl.load.archive import own_metadata, tail_chunks, to_json
from etl.load.attributes import SERIES
from etl.load.encoding import read_codecs, shard_index
from etl.load.inventory import ROOT, Inventory
from etl.load.schema import Schema
from etl.load.series import (
    ALONG_TIME_OF_SERIES,
    COLUMNS_OF_SERIES,
    PERIOD,
    Series,
    committed_series,
    empty_series,
    remove_series_metadata,
)
from etl.transform.packing import FILL_VALUE

_NO_CHUNK = (1 << 64) - 1
"""Place and length of a chunk that lies beyond the grid."""


class SeriesWriter:
    """Extends the series of a continent; hold its lease while using it.

    Attributes:
        series: what is committed.
        bytes_written: bytes of all objects written so far.
    """

    def __init__(self, inventory: Inventory, period: int | None = None) -> None:
        """Read what there is; nothing is written yet, and remains of a series that was never committed go.

        Args:
            inventory: the committed frames.
            period: frames in a chunk of a new series; one that is there keeps its own.

        Raises:
            IncompatibleError: The series is damaged, or another version of this program encoded it.
            StorageError: The storage refuses a read or a removal.
        """
        self._inventory = inventory
        self._store = inventory.store
        self._root: Mapping[str, Any] = inventory.root
        self._static: Mapping[str, bytes] = {}
        series = committed_series(inventory)
        self._is_new = series is None
        if series is None:
            schema = Schema(inventory.continent, inventory.grid, inventory.bits, keys=inventory.keys)
            series, self._static = empty_series(schema, period or PERIOD)
            remove_series_metadata(self._store, inventory.group_key)
        self.series = series
        self.bytes_written = 0
        self._period = _Period(inventory, series)

    @property
    def closed(self) -> int:
        """Number of frames in whole periods."""
        return len(self._inventory) // self.series.period * self.series.period

    @property
    def bands(self) -> range:
        """The first row of every band."""
        return range(0, self._inventory.grid.rows, self.series.shard[1])

    def begin(self, first: int) -> None:
        """Begin with the period of the frame at a position; what was not committed before is forgotten."""
        self._period.begin(first)

    @property
    def positions(self) -> range:
        """Positions of the frames of the period."""
        return range(self._period.first, self._period.first + self.series.period)

    def read(self, position: int, north: int) -> None:
        """Read a frame's rows of the band at `north`; several threads may do so for different frames.

        Raises:
            IncompatibleError: The frame is damaged, as far as it shows by itself.
            StorageError: The storage refuses the read.
        """
        self._period.read(position, north)

    @property
    def shards(self) -> range:
        """The first column of every shard of a band."""
        return range(0, self._inventory.grid.columns, self.series.shard[2])

    def write(self, west: int, north: int) -> int:
        """Write a shard of the band that was read; several threads may do so for different shards.

        Returns:
            Its bytes.

        Raises:
            StorageError: The storage refuses the write.
        """
        data = self._period.shard(north, west)
        frames, rows, columns = self.series.shard
        place = f"{self._period.first // frames}/{north // rows}/{west // columns}"
        key = f"ndvi/c/{place}" if self._inventory.keys == "default" else f"ndvi/{place}"
        self._store.put_all({f"{self._prefix}/{key}": data}, final=True)
        return len(data)

    def commit(self) -> None:
        """Let the period that was written become visible, unless it was before.

        Raises:
            IncompatibleError: A frame does not have its checksum; nothing of the period becomes visible.
            StorageError: The storage refuses a write; what was committed before stays as it was.
        """
        self._period.check()
        length = self._period.first + self.series.period
        if length <= len(self.series):
            return
        series = self.series.of_length(length)
        self._put_columns(series, len(self.series))
        names = series.arrays if self._is_new else ALONG_TIME_OF_SERIES
        for batch in own_metadata(series.arrays, names):
            self._put_all(batch)
        self._put_all({ROOT: to_json(series.own_root)})
        root = series.within(self._root)
        data = to_json(root)
        self._store.put(f"{self._inventory.group_key}/{ROOT}", data)
        self.bytes_written += len(data)
        self._root, self.series, self._static, self._is_new = root, series, {}, False

    def restore(self) -> None:
        """Write all objects of the committed series again but the shards, and its own metadata.

        Raises:
            StorageError: The storage refuses a write.
        """
        if self._is_new:
            return
        inventory = self._inventory
        schema = Schema(inventory.continent, inventory.grid, inventory.bits, keys=inventory.keys)
        self._put_all(empty_series(schema, self.series.period)[1])
        self._put_columns(self.series, 0)
        for batch in own_metadata(self.series.arrays, self.series.arrays):
            self._put_all(batch)
        self._put_all({ROOT: to_json(self.series.own_root)})

    @property
    def _prefix(self) -> str:
        return f"{self._inventory.group_key}/{SERIES}"

    def _put_columns(self, series: Series, begun: int) -> None:
        """Write the values along the axes from the frame at `begun` on."""
        objects = dict(self._static)
        for name in COLUMNS_OF_SERIES:
            values = self._inventory.columns[name][: len(series)]
            objects |= tail_chunks(name, series.arrays[name], values, begun)
        self._put_all(objects)

    def _put_all(self, objects: Mapping[str, bytes]) -> None:
        self._store.put_all({f"{self._prefix}/{key}": data for key, data in objects.items()})
        self.bytes_written += sum(map(len, objects.values()))


class _Period:
    """The values of one band of one period, and the checksums of its frames as far as they were read.

    The buffers are used again for every band, as fresh memory is slow to touch.
    """

    def __init__(self, inventory: Inventory, series: Series) -> None:
        self.first = 0
        self._inventory = inventory
        self._series = series
        self._checksums: list[int] = []
        grid = inventory.grid
        rows = min(series.shard[1], grid.rows)
        self._band = np.empty((series.period, rows, grid.columns), np.dtype("<i2"))
        self._threads = threading.local()
        read_codecs(series.arrays["ndvi"])

    def begin(self, first: int) -> None:
        self.first = first
        self._checksums = [0] * self._series.period

    def read(self, position: int, north: int) -> None:
        south = min(north + self._series.shard[1], self._inventory.grid.rows)
        place = position - self.first
        band = self._band[place, : south - north]
        band[:] = self._inventory.rows(position, north, south)
        self._checksums[place] = google_crc32c.extend(self._checksums[place], band)

    def check(self) -> None:
        wanted = self._inventory.columns["checksum"][self.first :]
        for place, checksum in enumerate(self._checksums):
            if checksum != wanted[place]:
                entry = self._inventory.entry(self.first + place)
                where = self._inventory.store.location(self._inventory.group_key)
                raise IncompatibleError(
                    f"{entry} in {where} is damaged: its values do not have its checksum",
                    "rebuild the dates that hold it, or restore its object from a copy",
                )

    def shard(self, north: int, west: int) -> memoryview:
        """The shard of the band at some columns, as it is written; valid until the thread's next one."""
        series, grid = self._series, self._inventory.grid
        band = self._band[:, : grid.rows - north, west : west + series.shard[2]]
        return self._encoder.encode(band)

    @property
    def _encoder(self) -> "_ShardEncoder":
        """The encoder of this thread."""
        try:
            encoder: _ShardEncoder = self._threads.encoder
        except AttributeError:
            encoder = self._threads.encoder = _ShardEncoder(self._series)
        return encoder


class _ShardEncoder:
    """Encodes one shard after the other."""

    def __init__(self, series: Series) -> None:
        _, _, self._blosc = read_codecs(series.arrays["ndvi"])
        self._chunk = np.empty(series.chunk, np.dtype("<i2"))
        _, self._rows, self._columns = series.shard

    def encode(self, values: NDArray[np.int16]) -> memoryview:
        """The shard of [frame, row, column] values; what it holds beyond them has no chunks."""
        data = bytearray()
        places: list[tuple[int, int]] = []
        _, high, wide = self._chunk.shape
        for top in range(0, self._rows, high):
            for left in range(0, self._columns, wide):
                part = values[:, top : top + high, left : left + wide]
                if not part.size:
                    places.append((_NO_CHUNK, _NO_CHUNK))
                    continue
                compressed = _compressed(self._blosc, part, self._chunk)
                places.append((len(data), len(compressed)))
                data += compressed
        data += shard_index(places)
        return memoryview(data)


def _compressed(blosc: Blosc, part: NDArray[np.int16], chunk: NDArray[np.int16]) -> bytes:
    """A compressed chunk; `chunk` is overwritten."""
    if part.shape != chunk.shape:
        chunk.fill(FILL_VALUE)
    chunk[:, : part.shape[1], : part.shape[2]] = part
    compressed: bytes = blosc.encode(chunk)
    return compressed
