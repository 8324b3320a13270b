"""A rebuilt group replaces the archived one at once, whatever interrupts it."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import zarr

from etl.errors import BusyError, StorageError
from etl.load.archive import Appender
from etl.load.folder import LocalFolder
from etl.load.generations import (
    check_replaceable,
    finish_replacing,
    other_keys,
    prepare_replacing,
    purge_outdated,
    side_folder,
)
from etl.load.inventory import read_inventory
from etl.load.recovery import recover
from etl.load.schema import Schema

from .archives import (
    FOLDER,
    SMALL,
    WatchedFolder,
    WithoutExchange,
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
CHUNKS = 9 + 3
"""Objects of a group besides its frames and metadata: columns, coordinates and CRS."""

EXCHANGED = len(OLD) + CHUNKS + 1 + 1 + 1
"""Writes of a replacement by exchange: old chunks beside the new ones, and three notes."""

REWRITTEN = len(NEW) + CHUNKS + 1 + 1 + (10 + 3) + 1 + 1
"""Writes of one without: new chunks beside the old ones, two notes, all metadata, the root, a note."""


KINDS = [
    *((WatchedFolder, refused) for refused in range(EXCHANGED)),
    *((WithoutExchange, refused) for refused in range(REWRITTEN)),
]


def replace_group(store: LocalFolder) -> None:
    prepare_replacing(store, FOLDER)
    finish_replacing(store, FOLDER)


def prepare(store: LocalFolder, schema: Schema = SMALL) -> None:
    """An archive, and beside it a group that is to replace it."""
    archive(store, frames(OLD))
    appender = Appender(store, side_folder(FOLDER), replace(schema, keys="v2"))
    for each in frames(NEW, schema):
        appender.append(each)
    appender.commit()


def assert_old_or_new(store: LocalFolder, *, consolidated: bool = True) -> None:
    """Who opens the group now sees the old frames or the new ones, each value of them."""
    found = read_arrays(group_path(store), consolidated=consolidated)
    shown = frames(OLD if len(found["time"]) == len(OLD) else NEW)
    for name, values in expected(shown).items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize(("kind", "refused"), KINDS)
def test_at_every_write_readers_see_the_old_or_the_new_group_and_the_next_run_completes_it(
    store: LocalFolder, kind: type[WatchedFolder], refused: int
) -> None:
    prepare(store)
    opened = zarr.open_group(group_path(store), mode="r")["ndvi"]
    assert isinstance(opened, zarr.Array)

    def look() -> None:
        assert_old_or_new(store)
        np.testing.assert_array_equal(opened[:], expected(frames(OLD))["ndvi"])
        if kind is WatchedFolder:
            assert_old_or_new(store, consolidated=False)

    with pytest.raises(StorageError):
        replace_group(kind(store.root, refused_from=refused, after=look))
    look()

    inventory = recover(kind(store.root, after=look), FOLDER)

    look()
    assert inventory is not None
    if len(inventory) == len(OLD):
        replace_group(store)
    assert_holds(store, frames(NEW))
    assert not (store.root / side_folder(FOLDER)).exists()
    assert recover(store, FOLDER) is not None
    assert_holds(store, frames(NEW))


@pytest.mark.parametrize(("kind", "writes"), [(WatchedFolder, EXCHANGED), (WithoutExchange, REWRITTEN)])
def test_an_undisturbed_replacement_makes_that_many_writes(
    store: LocalFolder, kind: type[WatchedFolder], writes: int
) -> None:
    prepare(store)
    watched = kind(store.root)

    replace_group(watched)

    assert len(watched.puts) == writes
    assert_holds(store, frames(NEW))


@pytest.mark.parametrize("kind", [WatchedFolder, WithoutExchange])
@pytest.mark.parametrize("removals", range(11))
def test_a_replacement_that_ends_within_its_last_removals_is_not_done_again(
    store: LocalFolder, kind: type[WatchedFolder], removals: int
) -> None:
    """Frames are appended after it, which doing it again would lose."""
    prepare(store)
    folder = kind(store.root, removals_refused_from=removals)
    with suppress(StorageError):
        replace_group(folder)

    archive(store, frames((6, 7)))

    assert_holds(store, frames((*NEW, 6, 7)))
    archive(store, frames((8,)))
    assert_holds(store, frames((*NEW, 6, 7, 8)))


@pytest.mark.parametrize("kind", [WatchedFolder, WithoutExchange])
def test_remains_of_the_side_folder_never_get_into_the_group(
    store: LocalFolder, kind: type[WatchedFolder]
) -> None:
    prepare(store)
    replace_group(kind(store.root))
    archive(store, frames((6, 7)))
    side = store.root / side_folder(FOLDER) / "ndvi.zarr"
    for name in ("time/0", "ndvi/0/0/0", "ndvi_mean/0"):
        (side / name).parent.mkdir(parents=True, exist_ok=True)
        (side / name).write_bytes(b"remains")
    appender = Appender(store, side_folder(FOLDER), replace(SMALL, keys="default"))
    for each in frames((1, 2, 3)):
        appender.append(each)
    appender.commit()
    opened = zarr.open_group(group_path(store), mode="r")["time"]
    assert isinstance(opened, zarr.Array)

    replace_group(kind(store.root))

    assert_holds(store, frames((1, 2, 3)))
    assert inventory_of(store).keys == "default"
    np.testing.assert_array_equal(opened[:], expected(frames((*NEW, 6, 7)))["time"])


def test_a_second_replacement_waits_for_readers_of_the_first(store: LocalFolder) -> None:
    prepare(store)
    check_replaceable(store, FOLDER)
    replace_group(store)

    with pytest.raises(BusyError, match="was rebuilt at"):
        check_replaceable(store, FOLDER)


@pytest.mark.parametrize("note", [b"", b"[]", b"nonsense", b'{"since": 7}', b'{"since": "2020-01-01"}'])
def test_a_note_that_tells_no_time_counts_from_now(store: LocalFolder, note: bytes) -> None:
    prepare(store)
    replace_group(store)
    opened = zarr.open_group(group_path(store), mode="r")
    store.put(f"{FOLDER}/.outdated", note)

    purge_outdated(store, FOLDER)

    assert_holds(store, frames(NEW))
    assert opened.attrs["continent"] == "Europe"
    assert any(path.is_file() for path in group_path(store).rglob("c/*"))
    with pytest.raises(BusyError):
        check_replaceable(store, FOLDER)


@pytest.mark.parametrize("hours", [-11, 11])
def test_clocks_that_differ_do_not_take_the_old_frames_from_their_readers(
    store: LocalFolder, hours: int
) -> None:
    prepare(store)
    replace_group(store)
    since = datetime.now(UTC) + timedelta(hours=hours)
    store.put(f"{FOLDER}/.outdated", json.dumps({"since": since.isoformat()}).encode())

    purge_outdated(store, FOLDER)

    assert any(path.is_file() for path in group_path(store).rglob("c/*"))


@pytest.mark.parametrize(
    ("prepared", "finished"), [(WatchedFolder, WithoutExchange), (WithoutExchange, WatchedFolder)]
)
def test_a_replacement_is_completed_on_a_machine_that_does_it_the_other_way(
    store: LocalFolder, prepared: type[WatchedFolder], finished: type[WatchedFolder]
) -> None:
    prepare(store)
    opened = zarr.open_group(group_path(store), mode="r")["ndvi"]
    assert isinstance(opened, zarr.Array)
    prepare_replacing(prepared(store.root), FOLDER)

    recover(finished(store.root), FOLDER)

    assert_holds(store, frames(NEW))
    np.testing.assert_array_equal(opened[:], expected(frames(OLD))["ndvi"])


@pytest.mark.parametrize("note", [b"{}", b"[]", b"nonsense", b'{"keys": "v2", "exchange": true}'])
def test_a_note_of_a_replacement_without_a_group_is_no_replacement(store: LocalFolder, note: bytes) -> None:
    archive(store, frames(OLD))
    store.put(f"{side_folder(FOLDER)}/ready.json", note)

    recover(store, FOLDER)

    assert_holds(store, frames(OLD))


def test_objects_in_force_are_never_purged(store: LocalFolder) -> None:
    archive(store, frames(OLD))
    note = b'{"since": "2020-01-01T00:00:00+00:00"}'
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
    store = WithoutExchange(store.root)

    def refused(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refused)
    replace_group(store)

    assert_holds(store, frames(NEW))
