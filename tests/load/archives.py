"""Frames to archive, archives made of them, and readers that are not ours."""

import errno
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from etl.errors import StorageError
from etl.extract.frame import Codes, Frame, FrameEntry, Scale
from etl.load.archive import Appender
from etl.load.folder import LocalFolder
from etl.load.inventory import Inventory, read_inventory
from etl.load.recovery import recover
from etl.load.schema import Schema
from etl.load.stores import Store
from etl.transform.grid import Grid
from etl.transform.packing import PackedFrame, pack

FOLDER = "europe"
SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"
REAL = ("gabon_terra_aqua_1km", "sinop_mod13q1_250m")
NO_DATA = Scale(float("nan"), float("inf"))

SMALL = Schema("Europe", Grid(5, 3, (-11.25, 34.1, 31.0625, 71.3)), 12)
ALONG_TIME = (
    "time",
    "satellite",
    "frame_number",
    "source_min",
    "source_max",
    "valid_fraction",
    "ndvi_mean",
    "checksum",
    "archived_at",
)


class WatchedFolder(LocalFolder):
    """A folder that notes every object put and counts removals, and that refuses all from one of them on."""

    def __init__(
        self,
        root: Path,
        *,
        refused_from: int | None = None,
        removals_refused_from: int | None = None,
        after: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(root)
        self.removals = 0
        self._removals_refused_from = removals_refused_from
        self.puts: list[tuple[str, int]] = []
        self._refused_from = refused_from
        self._after = after

    def _reveal(self, partial: Path, key: str) -> None:
        if len(self.puts) == self._refused_from:
            raise OSError(errno.ENOSPC, f"put {self._refused_from} of {key} was refused")
        size = partial.stat().st_size
        super()._reveal(partial, key)
        self.puts.append((key, size))
        if self._after:
            self._after()

    def delete(self, prefix: str) -> None:
        self._refuse_removal(prefix)
        super().delete(prefix)
        self._removed()

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._refuse_removal(key)
            super().remove([key])
            self._removed()

    def _refuse_removal(self, key: str) -> None:
        if self.removals == self._removals_refused_from:
            raise StorageError(f"removing {key} was refused", "accept it")

    def _removed(self) -> None:
        self.removals += 1
        if self._after:
            self._after()

    def accept_again(self) -> None:
        self._refused_from = None

    @property
    def written(self) -> list[str]:
        """Keys put, inside the group."""
        return [key.removeprefix(f"{FOLDER}/ndvi.zarr/") for key, _ in self.puts]


class WithoutExchange(WatchedFolder):
    """As a file system that cannot exchange folders."""

    def exchanges(self, folder: str) -> bool:
        return False

    def exchange(self, one: str, other: str) -> bool:
        return False


@cache
def frame(number: int, schema: Schema = SMALL, scale: Scale | None = None) -> PackedFrame:
    """A frame of noise that only this number has; every fifth holds no data."""
    if scale is None:
        scale = NO_DATA if number % 5 == 4 else Scale(-0.1 - number % 97 / 1000, 0.8 + number % 97 / 1000)
    shape = (schema.grid.rows, schema.grid.columns)
    codes = np.random.default_rng(number).integers(0, 1 << schema.bits, shape).astype(np.uint16)
    return pack(Frame(entry(number, scale), codes, schema.bits))


def entry(number: int, scale: Scale) -> FrameEntry:
    """Two satellites in turn; those of a pair see the same second."""
    time = datetime(2025, 1, 1, 9, 57, 3, tzinfo=UTC) + timedelta(hours=22 * ((number + 1) // 2))
    return FrameEntry(number, time, "S3A" if number % 2 else "S3B", scale)


def frames(numbers: Iterable[int], schema: Schema = SMALL) -> list[PackedFrame]:
    return [frame(number, schema) for number in numbers]


def archive(store: Store, packed: Iterable[PackedFrame], schema: Schema = SMALL) -> Appender:
    """Append and commit as one run: what is archived already is left out."""
    inventory = recover(store, FOLDER)
    appender = Appender(store, FOLDER, schema)
    for each in packed:
        if inventory is None or (each.entry.time, each.entry.satellite) not in inventory.index:
            appender.append(each)
    appender.commit()
    return appender


def inventory_of(store: LocalFolder) -> Inventory:
    inventory = read_inventory(store, FOLDER)
    assert inventory is not None
    return inventory


def group_path(store: LocalFolder) -> Path:
    return store.root / FOLDER / "ndvi.zarr"


def objects(store: LocalFolder) -> dict[str, bytes]:
    """All files of the group, those still being written included."""
    folder = store.root / FOLDER
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lease"
    }


def without_archived_at(found: dict[str, bytes]) -> dict[str, bytes]:
    return {key: data for key, data in found.items() if "/archived_at/c/" not in key}


def expected(packed: Sequence[PackedFrame]) -> dict[str, NDArray[Any]]:
    """What the arrays along time hold for these frames, without `archived_at`."""
    entries = [each.entry for each in packed]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return {
        "ndvi": np.stack([each.values for each in packed]),
        "time": np.array([(each.time - epoch).total_seconds() for each in entries], np.int64),
        "satellite": np.array([{"S3A": 1, "S3B": 2}[each.satellite] for each in entries], np.int8),
        "frame_number": np.array([each.number for each in entries], np.int32),
        "source_min": np.array([each.scale.minimum for each in entries]),
        "source_max": np.array([each.scale.maximum for each in entries]),
        "valid_fraction": np.array([each.valid_fraction for each in packed], np.float32),
        "ndvi_mean": np.array([each.mean for each in packed], np.float32),
        "checksum": np.array([each.checksum for each in packed], np.uint32),
    }


def read_arrays(path: Path, *, consolidated: bool = True) -> dict[str, NDArray[Any]]:
    """The arrays along time as zarr-python reads them."""
    group = zarr.open_group(path, mode="r", use_consolidated=consolidated)
    return {name: np.asarray(group[name][:]) for name in ("ndvi", *ALONG_TIME)}  # type: ignore[index]


def assert_holds(store: LocalFolder, packed: Sequence[PackedFrame]) -> None:
    """Every reader sees these frames, each value of them, and no other frame."""
    for consolidated in (True, False):
        found = read_arrays(group_path(store), consolidated=consolidated)
        assert {len(values) for values in found.values()} == {len(packed)}
        for name, values in expected(packed).items():
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert np.all(np.abs(found["archived_at"] - datetime.now(UTC).timestamp()) < 3600)


def real_frames(name: str) -> tuple[Schema, list[PackedFrame], list[Codes], NDArray[np.float32]]:
    """Real NDVI as a stream delivers it: schema, frames, their codes, and the NDVI they were made from."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"NOT TESTED WITH REAL NDVI: there is no {SHARED_DATA}")
    about = json.loads((SHARED_DATA / f"{name}.json").read_text())
    ndvi = np.load(SHARED_DATA / f"{name}.npz")["ndvi"]
    west, south, east, north = about["bbox"]
    schema = Schema("Africa", Grid(about["nx"], about["ny"], (west, south, east, north)), 12)
    all_codes: list[Codes] = []
    packed = []
    for number, (image, values) in enumerate(zip(about["frames"], ndvi, strict=True), 1):
        scale = Scale(image["min"], image["max"])
        share = (values.astype(np.float64) - scale.minimum) / (scale.maximum - scale.minimum)
        codes = np.rint(np.nan_to_num(share) * 4095).astype(np.uint16)
        time = datetime.fromisoformat(image["date"]).replace(tzinfo=UTC)
        satellite = {"Terra": "S3A", "Aqua": "S3B"}[image["sensor"]]
        packed.append(pack(Frame(FrameEntry(number, time, satellite, scale), codes, 12)))
        all_codes.append(codes)
    return schema, packed, all_codes, ndvi
