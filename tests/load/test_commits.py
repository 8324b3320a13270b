"""Commits happen all at once, whatever interrupts them, and the next run continues."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import zarr

from etl.errors import StorageError
from etl.load.archive import Appender
from etl.load.folder import LocalFolder
from etl.load.inventory import read_inventory
from etl.load.schema import Schema
from etl.transform.grid import Grid
from etl.transform.packing import PackedFrame

from .archives import (
    ALONG_TIME,
    FOLDER,
    SMALL,
    WatchedFolder,
    archive,
    assert_holds,
    expected,
    frame,
    frames,
    group_path,
    inventory_of,
    objects,
    read_arrays,
    without_archived_at,
)

pytestmark = pytest.mark.usefixtures("unsynced")

OLD, NEW = range(1, 4), range(4, 7)
"""Numbers of the frames of a first and of a second run; the fourth holds no data."""

PUTS_OF_FIRST_RUN = 3 + 3 + len(ALONG_TIME) + (1 + len(ALONG_TIME) + 3) + 1
"""Frames, coordinates and CRS, columns, the metadata of each array, the root."""

PUTS_OF_SECOND_RUN = 3 + len(ALONG_TIME) + (1 + len(ALONG_TIME)) + 1


def test_a_commit_writes_frames_then_columns_then_metadata_and_last_the_root(tmp_path: Path) -> None:
    store = WatchedFolder(tmp_path)
    archive(store, frames(OLD))
    assert store.written == [
        *(f"ndvi/c/{place}/0/0" for place in range(3)),
        *_in_any_order(store.written[3:6], {"latitude/c/0", "longitude/c/0", "crs/c"}),
        *(f"{name}/c/0" for name in ALONG_TIME),
        *_in_any_order(
            store.written[15:28],
            {f"{name}/zarr.json" for name in ("ndvi", *ALONG_TIME, "latitude", "longitude", "crs")},
        ),
        "zarr.json",
    ]
    assert len(store.written) == PUTS_OF_FIRST_RUN


def test_a_later_commit_writes_only_what_changes_in_the_same_order(tmp_path: Path) -> None:
    archive(LocalFolder(tmp_path), frames(OLD))
    store = WatchedFolder(tmp_path)
    archive(store, frames(NEW))
    assert store.written == [
        *(f"ndvi/c/{place}/0/0" for place in range(3, 6)),
        *(f"{name}/c/0" for name in ALONG_TIME),
        *(f"{name}/zarr.json" for name in ("ndvi", *ALONG_TIME[1:], "time")),
        "zarr.json",
    ]
    assert len(store.written) == PUTS_OF_SECOND_RUN


def test_bytes_written_are_the_sizes_of_all_objects_put(tmp_path: Path) -> None:
    store = WatchedFolder(tmp_path)
    appender = Appender(store, FOLDER, SMALL)
    for numbers in (OLD, NEW):
        _append_and_commit(appender, frames(numbers))
    assert appender.bytes_written == sum(size for _, size in store.puts)


def test_first_run_puts_as_many_bytes_as_the_group_then_has(store: LocalFolder) -> None:
    appender = archive(store, frames(OLD))
    assert appender.bytes_written == store.size(FOLDER) == sum(map(len, objects(store).values()))


def test_two_runs_leave_the_same_objects_as_one(store: LocalFolder, tmp_path: Path) -> None:
    archive(store, frames(OLD))
    archive(store, frames(NEW))
    once = LocalFolder(tmp_path / "once")
    archive(once, frames([*OLD, *NEW]))
    assert without_archived_at(objects(store)) == without_archived_at(objects(once))
    assert set(objects(store)) == set(objects(once))
    assert_holds(store, frames([*OLD, *NEW]))


def test_many_commits_of_one_appender_leave_the_same_objects_as_one(
    store: LocalFolder, tmp_path: Path
) -> None:
    appender = Appender(store, FOLDER, SMALL)
    for number in (*OLD, *NEW):
        appender.append(frame(number))
        assert appender.pending == 1
        appender.commit()
        assert appender.pending == 0
    once = LocalFolder(tmp_path / "once")
    archive(once, frames([*OLD, *NEW]))
    assert without_archived_at(objects(store)) == without_archived_at(objects(once))


def test_a_commit_of_nothing_writes_nothing(tmp_path: Path) -> None:
    empty = WatchedFolder(tmp_path / "empty")
    Appender(empty, FOLDER, SMALL).commit()
    assert empty.puts == []
    assert not empty.root.exists()

    store = WatchedFolder(tmp_path / "archive")
    appender = archive(store, frames(OLD))
    before = [(path, path.stat().st_mtime_ns, path.stat().st_ino) for path in store.root.rglob("*")]
    puts = len(store.puts)
    appender.commit()
    Appender(store, FOLDER, SMALL).commit()
    assert len(store.puts) == puts
    assert [(path, path.stat().st_mtime_ns, path.stat().st_ino) for path in store.root.rglob("*")] == before


def test_frames_that_were_not_committed_are_not_seen(store: LocalFolder) -> None:
    appender = Appender(store, FOLDER, SMALL)
    for each in frames(OLD):
        appender.append(each)
    assert read_inventory(store, FOLDER) is None

    archive(store, frames(OLD))
    appender = Appender(store, FOLDER, SMALL)
    for each in frames(NEW):
        appender.append(each)
    assert len(list((group_path(store) / "ndvi" / "c").iterdir())) == 6
    assert_holds(store, frames(OLD))
    assert len(inventory_of(store)) == 3


@pytest.mark.parametrize("refused", range(PUTS_OF_FIRST_RUN))
def test_a_first_run_that_fails_at_any_put_shows_nothing_and_is_continued(
    store: LocalFolder, uninterrupted: dict[str, bytes], refused: int
) -> None:
    with pytest.raises(StorageError):
        archive(WatchedFolder(store.root, refused_from=refused), frames(OLD))
    assert read_inventory(store, FOLDER) is None
    with pytest.raises(FileNotFoundError):
        zarr.open_group(group_path(store), mode="r")

    archive(store, frames([*OLD, *NEW]))
    assert without_archived_at(objects(store)) == uninterrupted


@pytest.mark.parametrize("refused", range(PUTS_OF_SECOND_RUN))
def test_a_run_that_fails_at_any_put_shows_the_old_frames_and_is_continued(
    store: LocalFolder, uninterrupted: dict[str, bytes], refused: int
) -> None:
    archive(store, frames(OLD))
    with pytest.raises(StorageError):
        archive(WatchedFolder(store.root, refused_from=refused), frames(NEW))
    _assert_shows(store, frames(OLD))

    archive(store, frames(NEW))
    _assert_shows(store, frames([*OLD, *NEW]))
    assert without_archived_at(objects(store)) == uninterrupted


@pytest.mark.parametrize("refused", [0, 4, 12, 13, 18, PUTS_OF_SECOND_RUN - 1])
def test_a_commit_that_failed_can_be_repeated_by_the_same_appender(
    store: LocalFolder, uninterrupted: dict[str, bytes], refused: int
) -> None:
    archive(store, frames(OLD))
    folder = WatchedFolder(store.root, refused_from=refused)
    appender = Appender(folder, FOLDER, SMALL)
    with pytest.raises(StorageError):
        _append_and_commit(appender, frames(NEW))
    folder.accept_again()
    for each in frames(NEW)[appender.pending :]:
        appender.append(each)
    appender.commit()
    assert without_archived_at(objects(store)) == uninterrupted


def test_at_every_put_a_reader_sees_the_old_or_the_new_frames(store: LocalFolder) -> None:
    archive(store, frames(OLD))
    lengths = []

    def look() -> None:
        lengths.append(len(inventory_of(store)))
        _assert_shows(store, frames([*OLD, *NEW][: lengths[-1]]))

    archive(WatchedFolder(store.root, after=look), frames(NEW))
    assert lengths == [3] * (PUTS_OF_SECOND_RUN - 1) + [6]


def test_a_first_run_of_another_layout_and_grid_leaves_nothing_to_trip_over(store: LocalFolder) -> None:
    grid = Grid(600, 530, (0.0, 0.0, 60.0, 53.0))
    flat = Schema("Europe", grid, 10, "flat", overviews=False)
    sharded = Schema("Europe", grid, 12, "sharded")
    root_is_missing = WatchedFolder(store.root, refused_from=3 * 4 + PUTS_OF_FIRST_RUN - 3 - 1)
    with pytest.raises(StorageError):
        archive(root_is_missing, frames(OLD, flat), flat)
    assert root_is_missing.written[-1].endswith("/zarr.json")
    assert read_inventory(store, FOLDER) is None

    archive(store, frames([2, 3], sharded), sharded)
    assert_holds(store, frames([2, 3], sharded))
    archive(store, frames([4, 5], sharded), sharded)
    assert_holds(store, frames([2, 3, 4, 5], sharded))


def test_an_archive_keeps_its_layout_when_another_is_asked_for(store: LocalFolder) -> None:
    grid = Grid(600, 530, (0.0, 0.0, 60.0, 53.0))
    flat, sharded = Schema("Europe", grid, 12, "flat"), Schema("Europe", grid, 12, "sharded")
    archive(store, frames([1, 2], flat), flat)
    archive(store, frames([3], sharded), sharded)
    assert len([path for path in (group_path(store) / "ndvi" / "c" / "2").rglob("*") if path.is_file()]) == 4
    assert_holds(store, frames([1, 2, 3], flat))


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The objects that runs without interruption leave."""
    store = LocalFolder(tmp_path_factory.mktemp("uninterrupted"))
    archive(store, frames([*OLD, *NEW]))
    return without_archived_at(objects(store))


def _append_and_commit(appender: Appender, packed: Sequence[PackedFrame]) -> None:
    for each in packed:
        appender.append(each)
    appender.commit()


def _assert_shows(store: LocalFolder, packed: Sequence[PackedFrame]) -> None:
    """A reader of the consolidated metadata sees just these frames, each value of them."""
    found = read_arrays(group_path(store))
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(found, len(packed))
    for name, values in expected(packed).items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    root = json.loads((group_path(store) / "zarr.json").read_bytes())
    assert root["consolidated_metadata"]["metadata"]["ndvi"]["shape"][0] == len(packed)


def _in_any_order(keys: list[str], wanted: set[str]) -> list[str]:
    assert set(keys) == wanted
    return keys
