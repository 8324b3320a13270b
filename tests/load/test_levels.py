"""The levels of large frames are committed with them, recovered with them, and rebuilt with them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray  # noqa: F401 - gives datasets `rio`
import xarray as xr
import zarr
import zarr_cm
import zarr_cm.multiscales
import zarr_cm.spatial
from numpy.typing import NDArray

from etl.errors import IncompatibleError, StorageError
from etl.load.archive import Appender
from etl.load.bucket import Bucket
from etl.load.folder import LocalFolder
from etl.load.generations import finish_replacing, other_keys, prepare_replacing, purge_outdated, side_folder
from etl.load.inventory import Inventory, read_inventory
from etl.load.recovery import recover
from etl.load.schema import Layout, Schema, empty_group
from etl.load.stores import Store
from etl.load.verify.continent import check_structure
from etl.load.verify.findings import Verdict
from etl.load.verify.frames import check_frames
from etl.transform.grid import Grid
from etl.transform.overview import levels_of

from .archives import (
    FOLDER,
    NO_DATA,
    WatchedFolder,
    WithoutExchange,
    archive,
    assert_holds,
    entry,
    frame,
    frames,
    group_path,
    inventory_of,
    objects,
    without_archived_at,
)
from .buckets import BUCKET, s3_server, variables

pytestmark = pytest.mark.usefixtures("unsynced")

WIDE = Schema("Europe", Grid(1101, 5, (-11.0, 35.0, 33.04, 35.2)), 12)
FACTORS = (2, 4)
WITHOUT = replace(WIDE, overviews=False)
OLD, NEW = range(1, 4), range(4, 7)

OBJECTS = 3 * (1 + 2) + 9 + 2
"""Of a commit of three frames before any metadata: frames and levels, columns, and the levels' times."""

METADATA = (10 + 2 * 2) + (1 + 2)
"""Of arrays along time, and of groups that consolidate those of levels."""

EVERY_PUT = range(OBJECTS + METADATA + 1)


def wide(numbers: Any, schema: Schema = WIDE) -> list[Any]:  # noqa: ANN401 - as `frames`
    return frames(numbers, replace(schema, layout="sharded", keys="default", overviews=True))


def expected_level(numbers: Any, factor: int) -> NDArray[np.int16]:  # noqa: ANN401 - as `frames`
    return np.stack([levels_of(each.values, FACTORS)[factor] for each in wide(numbers)])


def assert_has_levels(store: LocalFolder, numbers: Any) -> None:  # noqa: ANN401 - as `frames`
    """Every kind of reader finds the levels of these frames, and of no other."""
    assert_holds(store, wide(numbers))
    for factor in FACTORS:
        for consolidated in (True, False):
            group = zarr.open_group(group_path(store), mode="r", use_consolidated=consolidated)
            level = np.asarray(group[f"overviews/{factor}/ndvi"])
            np.testing.assert_array_equal(level, expected_level(numbers, factor))
            times = np.asarray(group[f"overviews/{factor}/time"])
            np.testing.assert_array_equal(times, np.asarray(group["time"]))


def verified(store: Store) -> list[str]:
    verdict = Verdict()
    snapshot, damaged = check_structure(store, FOLDER, verdict)
    assert snapshot is not None
    check_frames(snapshot, damaged, verdict, lambda done, of: None)
    return [str(finding) for finding in verdict.findings]


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_levels_are_the_means_of_every_frame_and_of_one_that_holds_no_data(
    store: LocalFolder, layout: Layout
) -> None:
    schema = replace(WIDE, layout=layout)
    archive(store, wide(OLD), schema)
    archive(store, wide(NEW), schema)

    assert_has_levels(store, [*OLD, *NEW])
    assert verified(store) == []
    empty = inventory_of(store).frame(3, 4)
    assert not np.isfinite(inventory_of(store).columns["source_min"][3])
    assert np.unique(empty).tolist() == [-32768]


def test_a_level_is_one_object_a_frame(store: LocalFolder) -> None:
    archive(store, wide(OLD), WIDE)
    found = [key for key in objects(store) if key.startswith("ndvi.zarr/overviews/2/ndvi/c/")]
    assert sorted(found) == [f"ndvi.zarr/overviews/2/ndvi/c/{position}/0/0" for position in range(3)]


class Reader:
    """Reads the levels again and again, and minds what it saw before."""

    def __init__(self, store: LocalFolder) -> None:
        self._path = group_path(store)
        self.looks = 0
        self.lengths: dict[str, int] = {}

    def look(self) -> None:
        """Every array is a whole prefix, none has shrunk, and the consolidated ones are equally long."""
        self.looks += 1
        together = zarr.open_group(self._path, mode="r", use_consolidated=True)
        each = zarr.open_group(self._path, mode="r", use_consolidated=False)
        committed = len(np.asarray(together["time"]))
        for factor in FACTORS:
            level = zarr.open_group(self._path, path=f"overviews/{factor}", mode="r", use_consolidated=True)
            of_level = self._prefix(level, "ndvi", "", f"its own {factor}", factor)
            assert len(np.asarray(level["time"])) == of_level >= committed
            assert self._prefix(together, f"overviews/{factor}/ndvi", "", "root", factor) == committed
            length = self._prefix(each, f"overviews/{factor}/ndvi", "", "each", factor)
            assert len(np.asarray(each[f"overviews/{factor}/time"])) <= length

    def _prefix(self, group: zarr.Group, name: str, prefix: str, kind: str, factor: int) -> int:
        found = np.asarray(group[f"{prefix}{name}"])
        np.testing.assert_array_equal(found, expected_level([*OLD, *NEW], factor)[: len(found)])
        assert len(found) >= self.lengths.get(f"{kind} {name}", 0)
        self.lengths[f"{kind} {name}"] = len(found)
        return len(found)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    store = WatchedFolder(tmp_path_factory.mktemp("uninterrupted"))
    archive(store, wide(OLD), WIDE)
    store.puts.clear()
    archive(store, wide(NEW), WIDE)
    assert len(store.puts) == len(EVERY_PUT)
    return without_archived_at(objects(store))


@pytest.mark.parametrize("refused", EVERY_PUT)
def test_whatever_put_fails_no_reader_sees_a_level_shrink_or_lack_a_frame(
    store: LocalFolder, uninterrupted: dict[str, bytes], refused: int
) -> None:
    archive(store, wide(OLD), WIDE)
    reader = Reader(store)
    with pytest.raises(StorageError):
        archive(WatchedFolder(store.root, refused_from=refused), wide(NEW), WIDE)
    reader.look()

    recover(WatchedFolder(store.root, after=reader.look), FOLDER)
    archive(store, wide(NEW), WIDE)

    reader.look()
    assert reader.looks >= 2
    assert without_archived_at(objects(store)) == uninterrupted


def test_a_commit_one_of_whose_levels_is_damaged_is_not_completed(store: LocalFolder) -> None:
    archive(store, wide(OLD), WIDE)
    with pytest.raises(StorageError):
        archive(WatchedFolder(store.root, refused_from=EVERY_PUT[-1]), wide(NEW), WIDE)
    level = group_path(store) / "overviews/2/ndvi/c"
    (level / "4/0/0").write_bytes((level / "5/0/0").read_bytes())

    recovered = recover(store, FOLDER)

    assert recovered is not None
    assert len(recovered) == len(OLD)
    assert_has_levels(store, OLD)


def test_a_level_opens_by_itself_with_its_dates_and_places(store: LocalFolder) -> None:
    archive(store, wide(OLD), WIDE)
    with (
        xr.open_zarr(group_path(store), chunks=None) as base,
        xr.open_zarr(group_path(store), group="overviews/4", consolidated=True, chunks=None) as level,
    ):
        assert level.sizes == {"time": 3, "latitude": 2, "longitude": 276}
        np.testing.assert_array_equal(level.time, base.time)
        assert level.rio.crs.to_epsg() == 4326
        # A cell is in the middle of its pixels, and the last ones are as large as all others.
        np.testing.assert_allclose(level.longitude[:275], base.longitude[:1100].values.reshape(-1, 4).mean(1))
        assert np.ptp(np.diff(level.longitude)) < 1e-9
        means = base.ndvi.where(base.ndvi > 0.04999)[:, :4, :4].mean(("latitude", "longitude"))
        np.testing.assert_allclose(level.ndvi[:, 0, 0], means, atol=0.00005001)


def test_the_levels_follow_the_multiscales_and_spatial_conventions() -> None:
    documents = {
        key.removesuffix("/zarr.json"): json.loads(data)
        for key, data in empty_group(WIDE).items()
        if key.endswith("zarr.json")
    }
    root = documents["zarr.json"]
    zarr_cm.validate_all(root["attributes"])
    zarr_cm.multiscales.validate_group_metadata(root)
    layout = root["attributes"]["multiscales"]["layout"]

    assert [level["asset"] for level in layout] == [".", "overviews/2", "overviews/4"]
    for level in layout:
        folder = "" if level["asset"] == "." else f"{level['asset']}/"
        array = documents[f"{folder}ndvi"]
        array["shape"][0] = 3
        zarr_cm.spatial.validate_node_metadata(array)
        assert level["spatial:shape"] == array["shape"][1:] == array["attributes"]["spatial:shape"]
        assert level["spatial:transform"] == array["attributes"]["spatial:transform"]
        # Of every dimension of the array, as GDAL reads it.
        assert len(level["transform"]["scale"]) == len(array["shape"])
    step, _, west, _, _, north = layout[2]["spatial:transform"]
    assert (step, west, north) == (pytest.approx(4 * 0.04), -11.0, 35.2)


def test_a_small_frame_has_no_levels_and_says_nothing_of_any(store: LocalFolder) -> None:
    archive(store, frames(OLD))
    assert inventory_of(store).factors == ()
    assert inventory_of(store).overviews
    assert not (group_path(store) / "overviews").exists()
    assert "multiscales" not in inventory_of(store).root["attributes"]


def test_an_archive_goes_on_with_levels_or_without_as_it_began(store: LocalFolder, tmp_path: Path) -> None:
    archive(store, wide(OLD), WIDE)
    archive(store, wide(NEW), WITHOUT)
    assert_has_levels(store, [*OLD, *NEW])
    other = LocalFolder(tmp_path / "other")
    archive(other, wide(OLD), WITHOUT)
    archive(other, wide(NEW), WIDE)
    assert inventory_of(other).factors == ()
    assert not inventory_of(other).overviews
    assert verified(other) == []


def rebuild(store: LocalFolder, schema: Schema) -> None:
    """Take all frames over into a group that replaces the archived one."""
    inventory = inventory_of(store)
    schema = replace(schema, keys=other_keys(inventory.keys))
    side = Appender(store, side_folder(FOLDER), schema)
    shape = (schema.grid.rows, schema.grid.columns)
    for position in range(len(inventory)):
        place = side.reserve(inventory.entry(position), shape, schema.bits)
        side.add(side.writer.take_over(place, inventory, position))
    side.commit()
    prepare_replacing(store, FOLDER)
    finish_replacing(store, FOLDER)


@pytest.mark.parametrize("kind", [LocalFolder, WithoutExchange])
@pytest.mark.parametrize(("before", "after"), [(WITHOUT, WIDE), (WIDE, WIDE), (WIDE, WITHOUT)])
@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_a_rebuilt_archive_has_levels_or_none_whatever_it_had_before(
    tmp_path: Path, kind: type[LocalFolder], before: Schema, after: Schema, layout: Layout
) -> None:
    store = kind(tmp_path / "archive")
    archive(store, wide(OLD), before)

    rebuild(store, replace(after, layout=layout))

    assert verified(store) == []
    if after.overviews:
        assert_has_levels(store, OLD)
    else:
        assert_holds(store, wide(OLD))
        assert not list(group_path(store).glob("overviews/**/zarr.json"))
    (store.root / FOLDER / ".outdated").write_text('{"since": "2020-01-01T00:00:00+00:00"}')
    purge_outdated(store, FOLDER)
    assert not [key for key in objects(store) if "/c/" in key]
    assert verified(store) == []


def test_a_rebuild_computes_a_level_anew_whose_object_is_missing(store: LocalFolder) -> None:
    archive(store, wide(OLD), WIDE)
    (group_path(store) / "overviews/4/ndvi/c/1/0/0").unlink()

    rebuild(store, WIDE)

    assert_has_levels(store, OLD)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def of_another_frame(path: Path) -> None:
    path.write_bytes((path.parents[2] / "2/0/0").read_bytes())


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (Path.unlink, "its object is missing [europe/ndvi.zarr/overviews/2/ndvi/c/1/0/0]"),
        (cut_off, "is cut off or damaged"),
        (of_another_frame, "overviews/2/ndvi does not hold the means of its values"),
    ],
)
def test_a_damaged_level_is_found_with_its_frame(
    store: LocalFolder, damage: Callable[[Path], None], what: str
) -> None:
    archive(store, wide(OLD), WIDE)
    damage(group_path(store) / "overviews/2/ndvi/c/1/0/0")

    (finding,) = verified(store)

    assert finding.startswith("frame 2 (")
    assert what in finding


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("overviews/4/ndvi/zarr.json", {"fill_value": 0}, "fill_value is 0, not -32768 as in the root"),
        ("overviews/4/zarr.json", {"attributes": {}}, "should be"),
    ],
)
def test_metadata_of_a_level_that_were_edited_are_found_and_restored(
    store: LocalFolder, name: str, change: dict[str, object], what: str
) -> None:
    archive(store, wide(OLD), WIDE)
    path = group_path(store) / name
    as_written = path.read_bytes()
    path.write_text(json.dumps(json.loads(as_written) | change))
    assert any(what in finding for finding in verified(store))

    recover(store, FOLDER)

    assert path.read_bytes() == as_written


def test_times_and_places_of_a_level_are_compared_with_the_frames(store: LocalFolder) -> None:
    archive(store, wide(OLD), WIDE)
    level = zarr.open_group(group_path(store), path="overviews/4", mode="r+")
    level["time"][1] = 5  # type: ignore[index]
    level["longitude"][7] = 5.0  # type: ignore[index]

    findings = verified(store)

    assert len(findings) == 2
    assert "overviews/4/time is not that of the frames in 1 of 3 values" in findings[1]
    assert "overviews/4/longitude is not that of the grid in 1 of 276 values" in findings[0]


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("overviews/2/ndvi", {"data_type": "int32"}, "overviews/2/ndvi has data_type"),
        ("overviews/2/ndvi", {"shape": [3, 3, 99]}, "overviews/2/ndvi is no level of the frames"),
        ("overviews/2/time", {"shape": [2]}, "differ in length"),
    ],
)
def test_levels_that_are_not_ours_are_refused(
    store: LocalFolder, name: str, change: dict[str, object], what: str
) -> None:
    archive(store, wide(OLD), WIDE)
    path = group_path(store) / "zarr.json"
    root = json.loads(path.read_bytes())
    root["consolidated_metadata"]["metadata"][name] |= change
    path.write_text(json.dumps(root))

    with pytest.raises(IncompatibleError, match=what):
        read_inventory(store, FOLDER)


def test_a_bucket_holds_levels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as address:
        for name, value in variables(address).items():
            monkeypatch.setenv(name, value)
        store = Bucket(f"s3://{BUCKET}/archive")
        with store.lease(FOLDER):
            archive(store, wide(OLD), WIDE)
            archive(store, wide(NEW), WIDE)
        inventory = read_inventory(store, FOLDER)
        assert isinstance(inventory, Inventory)
        for factor in FACTORS:
            found = np.stack([inventory.frame(position, factor) for position in range(6)])
            np.testing.assert_array_equal(found, expected_level([*OLD, *NEW], factor))
        assert verified(store) == []


def test_a_frame_of_a_scale_that_is_not_finite_has_levels_of_no_data(store: LocalFolder) -> None:
    empty = frame(7, WIDE, NO_DATA)
    assert empty.entry == entry(7, NO_DATA)
    archive(store, [empty], WIDE)
    for factor in FACTORS:
        assert np.unique(inventory_of(store).frame(0, factor)).tolist() == [-32768]
