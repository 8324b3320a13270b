"""What does not fit or is damaged is refused by name, and never written over."""

import copy
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from etl.errors import IncompatibleError
from etl.extract.frame import Scale
from etl.load.archive import Appender
from etl.load.continents import check_root
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
    entry,
    frame,
    frames,
    group_path,
    inventory_of,
    objects,
)

pytestmark = pytest.mark.usefixtures("unsynced")

SCALE = Scale(-0.1, 0.9)


@pytest.fixture
def archived(store: LocalFolder) -> LocalFolder:
    """An archive of three frames."""
    archive(store, frames([1, 2, 3]))
    return store


def _with_entry(packed: PackedFrame, **changes: object) -> PackedFrame:
    return replace(packed, entry=replace(packed.entry, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (frame(3), "is in the archive already"),
        (_with_entry(frame(2), number=9), "is in the archive already"),
        (_with_entry(frame(4), time=entry(1, SCALE).time, satellite="S3C"), "older than the newest"),
        (
            _with_entry(frame(4), time=entry(3, SCALE).time - timedelta(seconds=1)),
            "older than the newest",
        ),
        (_with_entry(frame(5), satellite="S3E"), "S3E"),
        (frame(5, Schema("Europe", Grid(5, 4, SMALL.grid.bbox), 12)), "wrong size"),
        (frame(5, Schema("Europe", Grid(3, 5, SMALL.grid.bbox), 12)), "wrong size"),
        (frame(5, Schema("Europe", SMALL.grid, 10)), "10 bits"),
    ],
)
@pytest.mark.parametrize("pending", [False, True], ids=["after a commit", "after an append"])
def test_a_frame_that_does_not_fit_is_refused_and_nothing_of_it_is_written(
    store: LocalFolder, wrong: PackedFrame, message: str, *, pending: bool
) -> None:
    folder = WatchedFolder(store.root)
    appender = Appender(folder, FOLDER, SMALL)
    for each in frames([1, 2, 3]):
        appender.append(each)
    if not pending:
        appender.commit()
    before = objects(store)
    puts = len(folder.puts)
    with pytest.raises(IncompatibleError, match=message) as refusal:
        appender.append(wrong)
    assert str(wrong.entry) in str(refusal.value)
    assert len(folder.puts) == puts
    assert objects(store) == before

    appender.append(frame(4))
    appender.commit()
    assert_holds(store, frames([1, 2, 3, 4]))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (Schema("Europe", SMALL.grid, 10), "the stream has 10 bits"),
        (Schema("Europe", Grid(5, 4, SMALL.grid.bbox), 12), "grid 5 × 4"),
        (Schema("Europe", Grid(5, 3, (-11.25, 34.1, 31.0625, 71.3000001)), 12), "grid 5 × 3"),
    ],
)
def test_a_stream_of_another_grid_or_depth_is_refused_before_anything_is_written(
    archived: LocalFolder, schema: Schema, message: str
) -> None:
    before = objects(archived)
    with pytest.raises(IncompatibleError, match=message) as refusal:
        Appender(archived, FOLDER, schema)
    assert str(group_path(archived)) in str(refusal.value)
    assert objects(archived) == before


def test_both_satellites_may_see_the_same_second_in_either_order(store: LocalFolder) -> None:
    packed = [_with_entry(frame(2), number=1), _with_entry(frame(1), number=2)]
    assert packed[0].entry.time == packed[1].entry.time
    archive(store, packed[:1])
    archive(store, packed[1:])
    assert_holds(store, packed)


def test_the_zarr_group_of_another_program_is_refused(store: LocalFolder) -> None:
    dataset = xr.Dataset({"ndvi": (("time", "latitude", "longitude"), np.zeros((1, 2, 2)))})
    path = group_path(store)
    path.parent.mkdir(parents=True)
    zarr.create_group(path).create_array("ndvi", data=dataset["ndvi"].values)
    _assert_refused(store, "not an archive of this program")


def test_a_newer_format_is_refused_by_its_number(archived: LocalFolder) -> None:
    root = json.loads(_root(archived))
    root["attributes"]["ndvi_archive_format"] = 2
    _write_root(archived, json.dumps(root).encode())
    _assert_refused(archived, "format 2; this program knows format 1")


@pytest.mark.parametrize("kept", [slice(0), slice(1), slice(5000), slice(-2), slice(-1)], ids=str)
def test_a_root_that_was_cut_is_refused(archived: LocalFolder, kept: slice) -> None:
    _write_root(archived, _root(archived)[kept])
    _assert_refused(archived, "is damaged")


@pytest.mark.parametrize(
    "data", [b"null", b"[]", b'"ndvi"', b"{}", b"\xff\xfe\x00", b"1e999", b"\0" * 900], ids=repr
)
def test_a_root_that_is_something_else_is_refused(archived: LocalFolder, data: bytes) -> None:
    _write_root(archived, data)
    _assert_refused(archived, "is damaged")


def test_whatever_is_missing_in_the_root_it_is_refused_or_reads_the_same(archived: LocalFolder) -> None:
    whole = json.loads(_root(archived))
    columns = inventory_of(archived).columns
    refused = 0
    others = {*ALONG_TIME, "latitude", "longitude", "crs"} - {"time", "source_max"}
    for path in (path for path in _paths(whole) if others.isdisjoint(path)):
        root = copy.deepcopy(whole)
        parent: Any = root
        for part in path[:-1]:
            parent = parent[part]
        del parent[path[-1]]
        _write_root(archived, json.dumps(root).encode())
        try:
            found = inventory_of(archived)
        except IncompatibleError:
            refused += 1
        else:
            for name, values in columns.items():
                np.testing.assert_array_equal(found.columns[name], values, err_msg=f"{name}, {path}")
    assert refused > 50


@pytest.mark.parametrize("name", ALONG_TIME)
def test_a_column_that_was_cut_or_emptied_is_refused(archived: LocalFolder, name: str) -> None:
    path = group_path(archived) / name / "c" / "0"
    data = path.read_bytes()
    for length in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        _assert_refused(archived, "is damaged")


@pytest.mark.parametrize("name", ALONG_TIME)
def test_no_flipped_bit_of_a_column_reads_as_another_value(archived: LocalFolder, name: str) -> None:
    path = group_path(archived) / name / "c" / "0"
    data = path.read_bytes()
    columns = inventory_of(archived).columns
    refused = 0
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            found = inventory_of(archived)
        except IncompatibleError:
            refused += 1
        else:
            np.testing.assert_array_equal(found.columns[name], columns[name])
    assert refused > len(data) // 2


@pytest.mark.parametrize("name", ALONG_TIME)
def test_a_column_whose_object_was_deleted_is_refused(archived: LocalFolder, name: str) -> None:
    (group_path(archived) / name / "c" / "0").unlink()
    _assert_refused(archived, f"objects of {name} are missing")


@pytest.mark.parametrize("name", ["time", "archived_at"])
def test_times_whose_object_was_deleted_read_as_no_time(archived: LocalFolder, name: str) -> None:
    (group_path(archived) / name / "c" / "0").unlink()
    with xr.open_zarr(group_path(archived)) as dataset:
        assert np.all(np.isnat(dataset[name].values))


@pytest.mark.parametrize(
    ("name", "fill"),
    [
        ("satellite", 0),
        ("frame_number", -1),
        ("source_min", np.nan),
        ("source_max", np.nan),
        ("valid_fraction", np.nan),
        ("ndvi_mean", np.nan),
        ("latitude", np.nan),
        ("longitude", np.nan),
    ],
)
def test_other_numbers_whose_object_was_deleted_read_as_none_that_can_be(
    archived: LocalFolder, name: str, fill: float
) -> None:
    group = group_path(archived)
    (group / name / "c" / "0").unlink()
    with xr.open_zarr(group) as dataset:
        np.testing.assert_array_equal(dataset[name].values, np.full(dataset[name].shape, fill))


@pytest.mark.parametrize(
    "spoiled", [{"time": [1, 0, 2]}, {"time": [1, 1, 2], "satellite": [1, 1, 2]}, {"satellite": [1, 9, 2]}]
)
def test_columns_that_contradict_the_order_of_an_archive_are_refused(
    archived: LocalFolder, spoiled: dict[str, list[int]]
) -> None:
    group = zarr.open_group(group_path(archived), mode="r+")
    for name, values in spoiled.items():
        group[name][:] = np.array(values)  # type: ignore[index]
    _assert_refused(archived, "is damaged")


def test_arrays_of_different_lengths_are_refused(archived: LocalFolder) -> None:
    root = json.loads(_root(archived))
    root["consolidated_metadata"]["metadata"]["checksum"]["shape"] = [2]
    _write_root(archived, json.dumps(root).encode())
    _assert_refused(archived, "differ in length")


def test_a_folder_of_something_else_is_no_place_for_an_archive(store: LocalFolder) -> None:
    check_root(store)
    store.put("notes/todo.txt", b"")
    with pytest.raises(IncompatibleError, match="is no archive") as refusal:
        check_root(store)
    assert str(store.root) in str(refusal.value)


def test_an_archive_is_a_place_for_an_archive_even_if_its_first_run_never_finished(
    store: LocalFolder,
) -> None:
    Appender(store, FOLDER, SMALL).append(frame(1))
    assert read_inventory(store, FOLDER) is None
    check_root(store)


def _paths(document: object, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a JSON document something stands."""
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(document, dict):
        parts = document.items()
    elif isinstance(document, list):
        parts = enumerate(document)
    for part, below in parts:
        yield (*above, part)
        yield from _paths(below, (*above, part))


def _root(store: LocalFolder) -> bytes:
    return (group_path(store) / "zarr.json").read_bytes()


def _write_root(store: LocalFolder, data: bytes) -> None:
    (group_path(store) / "zarr.json").write_bytes(data)


def _assert_refused(store: LocalFolder, message: str) -> None:
    """Reading and appending are both refused, by the name of the group, and nothing is written."""
    before = objects(store)
    with pytest.raises(IncompatibleError, match=message) as refusal:
        read_inventory(store, FOLDER)
    assert str(group_path(store)) in str(refusal.value)
    with pytest.raises(IncompatibleError, match=message):
        Appender(store, FOLDER, SMALL)
    assert objects(store) == before
