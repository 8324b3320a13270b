"""A rebuilt group replaces the archived one at once, whatever interrupts it."""

from dataclasses import replace

import numpy as np
import pytest
import zarr

from etl.errors import StorageError
from etl.load.archive import Appender
from etl.load.generations import other_keys, purge_outdated, replace_group, side_folder
from etl.load.inventory import read_inventory
from etl.load.recovery import recover
from etl.load.schema import Schema
from etl.load.folder import LocalFolder

from .archives import (
    FOLDER,
    SMALL,
    WatchedFolder,
    archive,
    assert_holds,
    expected,
    frames,
    group_path,
    inventory_of,
    read_arrays,
)

pytestmark = pytest.mark.usefixtures("unsynced")

OLD, NEW = (1, 2, 4), (1, 2, 3, 4, 5)
WRITES = len(NEW) + 9 + 3 + 1 + 1 + (10 + 3) + 1
"""Frames, columns, coordinates and CRS, two notes, the metadata of each array, the root."""


def prepare(store: LocalFolder, schema: Schema = SMALL) -> None:
    """An archive, and beside it a group that is to replace it."""
    archive(store, frames(OLD))
    appender = Appender(store, side_folder(FOLDER), replace(schema, keys="v2"))
    for each in frames(NEW, schema):
        appender.append(each)
    appender.commit()


def assert_old_or_new(store: LocalFolder) -> None:
    """Who opens the group now sees the old frames or the new ones, each value of them."""
    found = read_arrays(group_path(store))
    shown = frames(OLD if len(found["time"]) == len(OLD) else NEW)
    for name, values in expected(shown).items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("refused", range(WRITES))
def test_at_every_write_readers_see_the_old_or_the_new_group_and_the_next_run_completes_it(
    store: LocalFolder, refused: int
) -> None:
    prepare(store)
    opened = zarr.open_group(group_path(store), mode="r")["ndvi"]
    assert isinstance(opened, zarr.Array)

    def look() -> None:
        assert_old_or_new(store)
        np.testing.assert_array_equal(opened[:], expected(frames(OLD))["ndvi"])

    with pytest.raises(StorageError):
        replace_group(WatchedFolder(store.root, refused_from=refused, after=look), FOLDER)
    look()

    inventory = recover(WatchedFolder(store.root, after=look), FOLDER)

    look()
    assert inventory is not None
    decided = refused > len(NEW) + 9 + 3
    assert len(inventory) == len(NEW if decided else OLD)
    if not decided:
        replace_group(store, FOLDER)
    assert_holds(store, frames(NEW))
    assert not (store.root / side_folder(FOLDER)).exists()


def test_an_undisturbed_replacement_makes_that_many_writes(store: LocalFolder) -> None:
    prepare(store)
    watched = WatchedFolder(store.root)

    replace_group(watched, FOLDER)

    assert len(watched.puts) == WRITES
    assert watched.written[-1] == "zarr.json"
    assert_holds(store, frames(NEW))


def test_replacing_twice_leaves_no_object_of_the_first_generation_in_the_way(store: LocalFolder) -> None:
    prepare(store)
    replace_group(store, FOLDER)
    appender = Appender(store, side_folder(FOLDER), replace(SMALL, keys="default"))
    for each in frames((1, 2)):
        appender.append(each)
    appender.commit()

    replace_group(store, FOLDER)

    assert_holds(store, frames((1, 2)))
    assert inventory_of(store).keys == "default"
    shards = (path for path in (group_path(store) / "ndvi/c").rglob("*") if path.is_file())
    assert sorted(path.relative_to(group_path(store)).as_posix() for path in shards) == [
        "ndvi/c/0/0/0",
        "ndvi/c/1/0/0",
    ]


def test_objects_in_force_are_never_purged(store: LocalFolder) -> None:
    archive(store, frames(OLD))
    note = b'{"keys": "default", "since": "2020-01-01T00:00:00+00:00"}'
    store.put(f"{FOLDER}/.outdated", note)

    purge_outdated(store, FOLDER)

    assert_holds(store, frames(OLD))


def test_an_unfinished_side_group_does_not_disturb_what_is_archived(store: LocalFolder) -> None:
    prepare(store)

    inventory = recover(store, FOLDER)

    assert inventory is not None
    assert inventory.keys == "default"
    assert other_keys(inventory.keys) == "v2"
    assert_holds(store, frames(OLD))
    side = read_inventory(store, side_folder(FOLDER))
    assert side is not None
    assert len(side) == len(NEW)


def test_where_objects_cannot_be_linked_they_are_copied(
    store: LocalFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(store)

    def refused(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refused)
    replace_group(store, FOLDER)

    assert_holds(store, frames(NEW))
