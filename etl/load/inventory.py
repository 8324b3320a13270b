"""What an archive holds: the committed state of one continent, read from its root metadata."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store as ZarrStore
from zarr.storage import StorePath

from etl.errors import IncompatibleError, UsageError
from etl.extract.frame import SATELLITES, FrameEntry, Scale
from etl.load.levels import along_time, factors_of, level_name
from etl.load.schema import COLUMN_CHUNK, COLUMNS, FORMAT, Keys, Layout
from etl.load.stores import Store
from etl.transform.grid import Grid
from etl.transform.overview import overview_factors, overview_shape
from etl.transform.packing import FILL_VALUE, SCALE_FACTOR, crc32c

GROUP = "ndvi.zarr"
ROOT = "zarr.json"
CATALOG = "catalog.json"
COLLECTION = "collection.json"
"""The STAC collection beside the group; it is first written after the first commit."""

DAMAGE = (ValueError, RuntimeError, OSError, SystemError, MemoryError)
"""What Zarr raises of damaged objects; the last two come from the decompressor, of sizes that are damaged."""

_MEANING = ("units", "calendar", "flag_values", "flag_meanings")
"""The attributes that tell what stored numbers mean; others are texts, which may be worded anew."""

_LONGEST_NAME = 64

_RESERVED = frozenset({"api", "browser", "pages", "viewer"})
"""Folders that would hide behind pages of `ndvi-archive serve`."""

Key = tuple[datetime, str]
"""(time, satellite): what identifies a frame."""


@dataclass(frozen=True)
class Inventory:
    """The committed frames of one continent; it stays as it was read while others append.

    Attributes:
        store: the archive's storage.
        folder: the continent's folder in the archive, e.g. `europe`.
        continent: the name by which the service knows the continent, e.g. `Europe`.
        grid: the grid of every frame.
        bits: bit depth of the video codes the values were made from.
        root: the committed root metadata document.
        columns: the arrays along time by name, each of shape (frames,), in their stored types.
    """

    store: Store
    folder: str
    continent: str
    grid: Grid
    bits: int
    root: Mapping[str, Any]
    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["time"])

    @cached_property
    def times(self) -> list[datetime]:
        """Sensing start of every frame, UTC, never decreasing."""
        return [datetime.fromtimestamp(seconds, UTC) for seconds in self.columns["time"].tolist()]

    @cached_property
    def satellites(self) -> list[str]:
        """Satellite of every frame, such as `S3A`."""
        names = {flag: name for name, flag in SATELLITES.items()}
        return [names[flag] for flag in self.columns["satellite"].tolist()]

    @cached_property
    def index(self) -> dict[Key, int]:
        """Position of every frame by time and satellite."""
        return {key: position for position, key in enumerate(zip(self.times, self.satellites, strict=True))}

    @property
    def layout(self) -> Layout:
        """Whether a frame is one object, or a chunk is."""
        codecs = self.root["consolidated_metadata"]["metadata"]["ndvi"]["codecs"]
        return "sharded" if codecs[0]["name"] == "sharding_indexed" else "flat"

    @property
    def keys(self) -> Keys:
        """How the keys of its chunks are made."""
        name: Keys = self.root["consolidated_metadata"]["metadata"]["ndvi"]["chunk_key_encoding"]["name"]
        return name

    @property
    def group_key(self) -> str:
        """Key of the Zarr group in the archive."""
        return f"{self.folder}/{GROUP}"

    def entry(self, position: int) -> FrameEntry:
        """What is known of one frame, as the metadata listed it when it was archived."""
        columns = self.columns
        scale = Scale(float(columns["source_min"][position]), float(columns["source_max"][position]))
        number = int(columns["frame_number"][position])
        return FrameEntry(number, self.times[position], self.satellites[position], scale)

    def array(self, name: str) -> zarr.Array[Any]:
        """One of the group's arrays, as it was committed."""
        objects = self.store.zarr(self.group_key)
        return _array(objects, self.root["consolidated_metadata"]["metadata"], name)

    @cached_property
    def _ndvi(self) -> zarr.Array[Any]:
        return self.array("ndvi")

    @property
    def documents(self) -> Mapping[str, Mapping[str, Any]]:
        """The metadata documents of the group's arrays, and of the groups in it, by name."""
        documents: Mapping[str, Mapping[str, Any]] = self.root["consolidated_metadata"]["metadata"]
        return documents

    @property
    def factors(self) -> tuple[int, ...]:
        """The levels that there are of every frame: 2, 4, …, or none."""
        return factors_of(self.documents)

    @property
    def overviews(self) -> bool:
        """Whether it has the levels that frames of its size are given."""
        return bool(self.factors) or not overview_factors(self.grid.rows, self.grid.columns)

    def frame(self, position: int, factor: int = 1) -> NDArray[np.int16]:
        """The stored values of one frame, shape (rows, columns), NDVI / 0.0001, −32768 = no data.

        Args:
            position: its position.
            factor: the level to read: 1 is the frame itself.

        Raises:
            IncompatibleError: Its object is damaged; or the frame is not the archived one, as where its
                object is missing, which reads as no data. Levels have no checksum that would tell.
        """
        if factor != 1:
            return self._values(self.array(level_name(factor)), position, slice(None))
        values = self._values(self._ndvi, position, slice(None))
        if crc32c(values) != self.columns["checksum"][position]:
            raise self._damaged(position, "its values do not have its checksum")
        return values

    def rows(self, position: int, north: int, south: int) -> NDArray[np.int16]:
        """The stored values of a frame's rows from `north` on and before `south`; see `frame`.

        Raises:
            IncompatibleError: Its object is damaged.
        """
        return self._values(self._ndvi, position, slice(north, south))

    def _values(self, array: zarr.Array[Any], position: int, rows: slice) -> NDArray[np.int16]:
        try:
            return np.asarray(array[position, rows], np.int16)
        except DAMAGE as error:
            raise self._damaged(position, str(error)) from error

    def _damaged(self, position: int, why: str) -> IncompatibleError:
        return IncompatibleError(
            f"{self.entry(position)} in {self.store.location(self.group_key)} is damaged: {why}",
            "take its day anew with convert --rebuild, or restore its object from a copy",
        )


def folder_of(continent: str) -> str:
    """The folder of a continent in an archive, such as `south-america`.

    Raises:
        UsageError: That is no name of a continent.
    """
    folder = re.sub("[ _]", "-", continent.lower())
    if folder in _RESERVED:
        raise UsageError(
            f"{continent!r} cannot be archived: ndvi-archive serve has a page of that name",
            "give a name such as Europe",
        )
    if len(continent) > _LONGEST_NAME or not re.fullmatch(r"[A-Za-z]+([ _-][A-Za-z]+)*", continent):
        raise UsageError(f"{continent!r} is no name of a continent", "give a name such as Europe")
    return folder


def read_inventory(store: Store, folder: str) -> Inventory | None:
    """Read the committed state of a continent.

    Returns:
        None where nothing was ever committed.

    Raises:
        IncompatibleError: The group is damaged, not one of ours, or from a newer version.
        StorageError: The storage refuses to be read.
    """
    data = store.get(f"{folder}/{GROUP}/{ROOT}")
    where = store.location(f"{folder}/{GROUP}")
    if data is None and not store.missing([f"{folder}/{COLLECTION}"]) and _is_begun(store, folder):
        raise IncompatibleError(
            f"{where}/{ROOT} is missing, though frames were archived", "restore that file from a copy"
        )
    if data is None:
        return None
    try:
        root = json.loads(data)
        attributes = root["attributes"]
        version = attributes["ndvi_archive_format"]
        if "metadata" not in root["consolidated_metadata"]:
            raise ValueError("no consolidated metadata")
    except (ValueError, KeyError, TypeError) as error:
        raise IncompatibleError(
            f"{where} is not an archive of this program, or its {ROOT} is damaged",
            "name another --archive, or restore that file from a copy",
        ) from error
    if version != FORMAT:
        raise IncompatibleError(
            f"{where} has format {version}; this program knows format {FORMAT}",
            "use the version of ndvi-archive that wrote it, or a newer one",
        )
    return inventory_of(store, folder, root)


def _is_begun(store: Store, folder: str) -> bool:
    """Whether there is anything of a group; listings, which can lag, need not show it."""
    own = [f"{folder}/{GROUP}/{name}/{ROOT}" for name in ("ndvi", *COLUMNS)]
    return store.exists(f"{folder}/{GROUP}") or len(store.missing(own)) < len(own)


def inventory_of(store: Store, folder: str, root: Mapping[str, Any]) -> Inventory:
    """Read what a root metadata document makes visible, whether it is the committed one or to be.

    Raises:
        IncompatibleError: That is not all there, or damaged.
        StorageError: The storage refuses to be read.
    """
    try:
        documents = root["consolidated_metadata"]["metadata"]
        grid, bits = _grid_and_bits(documents)
        frames = documents["ndvi"]["shape"][0]
        objects = store.zarr(f"{folder}/{GROUP}")
        arrays = {name: _array(objects, documents, name) for name in COLUMNS}
        columns = {name: _read_column(store, f"{folder}/{GROUP}", arrays[name], frames) for name in COLUMNS}
        inventory = Inventory(store, folder, root["attributes"]["continent"], grid, bits, root, columns)
        _check(inventory, documents)
    except (ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, OSError) as error:
        raise IncompatibleError(
            f"{store.location(f'{folder}/{GROUP}')} is damaged: {type(error).__name__}: {error}",
            "restore it from a copy",
        ) from error
    return inventory


def _grid_and_bits(documents: Mapping[str, Any]) -> tuple[Grid, int]:
    ndvi = documents["ndvi"]
    _, rows, columns = ndvi["shape"]
    west, south, east, north = ndvi["attributes"]["spatial:bbox"]
    return Grid(columns, rows, (west, south, east, north)), ndvi["attributes"]["source_bits"]


def _array(objects: ZarrStore, documents: Mapping[str, Any], name: str) -> zarr.Array[Any]:
    """An array as the root describes it: its own metadata can be those of a commit under way."""
    return zarr.Array.from_dict(StorePath(objects, name), documents[name])


def _read_column(store: Store, group: str, array: zarr.Array[Any], frames: int) -> NDArray[Any]:
    """Read an array along time; raise ValueError where a missing object would read as fill."""
    chunks = (array.metadata.encode_chunk_key((number,)) for number in range(array.nchunks))
    if not all(store.exists(f"{group}/{array.basename}/{chunk}") for chunk in chunks):
        raise ValueError(f"objects of {array.basename} are missing")
    return np.asarray(array[:frames])


def _check(inventory: Inventory, documents: Mapping[str, Any]) -> None:
    """Raise ValueError where the group is not what this program writes and may append to."""
    _check_values("ndvi", documents)
    for name in COLUMNS:
        _check_column(name, documents)
    for power, factor in enumerate(inventory.factors, 1):
        name, grid = level_name(factor), inventory.grid
        _check_values(name, documents)
        _check_column(level_name(factor, "time"), documents)
        if factor != 2**power or documents[name]["shape"][1:] != [
            *overview_shape(grid.rows, grid.columns, factor)
        ]:
            raise ValueError(f"{name} is no level of the frames")
    lengths = {name: documents[name]["shape"][0] for name in along_time(documents)}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"the arrays along time differ in length: {lengths}")
    if np.any(np.diff(inventory.columns["time"]) < 0):
        raise ValueError("time decreases")
    if len(inventory.index) != len(inventory):
        raise ValueError("a time and satellite occur twice")


def _check_values(name: str, documents: Mapping[str, Any]) -> None:
    document = documents[name]
    as_written = {
        "data_type": "int16",
        "fill_value": FILL_VALUE,
        "dimension_names": ["time", "latitude", "longitude"],
    }
    _compare(name, document, as_written)
    _compare(name, document["attributes"], {"scale_factor": SCALE_FACTOR, "_FillValue": FILL_VALUE})
    if "add_offset" in document["attributes"] or _chunks(document)[0] != 1:
        raise ValueError(f"{name} has an offset, or more than one frame an object")


def _check_column(name: str, documents: Mapping[str, Any]) -> None:
    document, column = documents[name], COLUMNS[name.rpartition("/")[2]]
    _compare(name, document, {"dimension_names": ["time"], "data_type": column.dtype})
    meaning = {key: column.attributes[key] for key in _MEANING if key in column.attributes}
    _compare(name, document["attributes"], meaning)
    if _chunks(document) != [COLUMN_CHUNK]:
        raise ValueError(f"{name} has chunks of {_chunks(document)} values")


def _chunks(document: Mapping[str, Any]) -> list[int]:
    chunks: list[int] = document["chunk_grid"]["configuration"]["chunk_shape"]
    return chunks


def _compare(name: str, found: Mapping[str, Any], expected: Mapping[str, object]) -> None:
    for key, value in expected.items():
        if found[key] != value:
            raise ValueError(f"{name} has {key} {found[key]!r}, not {value!r}")
