"""What an interrupted commit leaves is completed by the next run: no reader sees an array shrink."""

import json
import os
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from etl.errors import StorageError
from etl.load.folder import LocalFolder
from etl.load.inventory import read_inventory
from etl.load.recovery import recover

from .archives import (
    ALONG_TIME,
    FOLDER,
    WatchedFolder,
    archive,
    assert_holds,
    expected,
    frames,
    group_path,
    inventory_of,
    objects,
    read_arrays,
    without_archived_at,
)

pytestmark = pytest.mark.usefixtures("unsynced")

OLD, NEW = range(1, 4), range(4, 7)
FRAMES_AND_COLUMNS = 3 + len(ALONG_TIME)
"""Objects that a commit of three frames puts before any metadata."""

METADATA = 1 + len(ALONG_TIME)
EVERY_PUT = range(FRAMES_AND_COLUMNS + METADATA + 1)
WITH_METADATA_AHEAD = range(FRAMES_AND_COLUMNS + 1, FRAMES_AND_COLUMNS + METADATA + 1)


class Reader:
    """Reads the archive again and again, and minds what it saw before."""

    def __init__(self, store: LocalFolder) -> None:
        self._store = store
        self.looks = 0
        self.lengths: dict[str, int] = {}
        self.committed = 0

    def look(self) -> None:
        """Every array is a whole prefix, none has shrunk, and the consolidated ones are equally long."""
        self.looks += 1
        whole = frames([*OLD, *NEW])
        together = read_arrays(group_path(self._store))
        assert len({len(values) for values in together.values()}) == 1
        assert len(together["time"]) >= self.committed
        self.committed = len(together["time"])
        each = read_arrays(group_path(self._store), consolidated=False)
        assert min(map(len, each.values())) == len(each["time"])
        for found in (together, each):
            for name, values in expected(whole).items():
                np.testing.assert_array_equal(found[name], values[: len(found[name])], err_msg=name)
        for name, values in each.items():
            assert len(values) >= self.lengths.get(name, self.committed)
            self.lengths[name] = len(values)


@pytest.mark.parametrize("refused", EVERY_PUT)
def test_whatever_put_fails_no_reader_sees_an_array_shrink_or_lack_a_frame(
    store: LocalFolder, refused: int
) -> None:
    archive(store, frames(OLD))
    reader = Reader(store)
    with pytest.raises(StorageError):
        archive(WatchedFolder(store.root, refused_from=refused, after=reader.look), frames(NEW))
    reader.look()

    archive(WatchedFolder(store.root, after=reader.look), frames(NEW))

    reader.look()
    assert reader.looks >= 2
    assert_holds(store, frames([*OLD, *NEW]))


@pytest.mark.parametrize("killed_at", EVERY_PUT[1:])
def test_a_run_that_is_killed_at_any_put_is_continued_by_the_next(store: LocalFolder, killed_at: int) -> None:
    archive(store, frames(OLD))
    reader = Reader(store)
    process = get_context("fork").Process(target=_archive_until_killed, args=(store.root, killed_at))
    process.start()
    process.join()
    assert process.exitcode == 9
    reader.look()

    archive(WatchedFolder(store.root, after=reader.look), frames(NEW))

    reader.look()
    assert_holds(store, frames([*OLD, *NEW]))


@pytest.mark.parametrize("refused", WITH_METADATA_AHEAD)
def test_a_commit_that_lacks_only_metadata_is_completed_without_its_frames(
    store: LocalFolder, uninterrupted: dict[str, bytes], refused: int
) -> None:
    archive(store, frames(OLD))
    with pytest.raises(StorageError):
        archive(WatchedFolder(store.root, refused_from=refused), frames(NEW))
    assert len(inventory_of(store)) == len(OLD)

    recovered = recover(store, FOLDER)

    assert recovered is not None
    assert len(recovered) == len([*OLD, *NEW])
    assert_holds(store, frames([*OLD, *NEW]))
    assert without_archived_at(objects(store)) == uninterrupted


def test_a_commit_whose_frames_are_damaged_is_not_completed_and_the_lengths_are_restored(
    store: LocalFolder,
) -> None:
    archive(store, frames(OLD))
    with pytest.raises(StorageError):
        archive(WatchedFolder(store.root, refused_from=EVERY_PUT[-1]), frames(NEW))
    shard = group_path(store) / "ndvi/c/4/0/0"
    data = bytearray(shard.read_bytes())
    data[20] ^= 0x10
    shard.write_bytes(data)

    recovered = recover(store, FOLDER)

    assert recovered is not None
    assert len(recovered) == len(OLD)
    assert_holds(store, frames(OLD))
    archive(store, frames(NEW))
    assert_holds(store, frames([*OLD, *NEW]))


def test_metadata_that_were_edited_by_hand_are_restored_from_the_committed_ones(store: LocalFolder) -> None:
    archive(store, frames(OLD))
    path = group_path(store) / "ndvi_mean/zarr.json"
    as_written = path.read_bytes()
    document = json.loads(as_written)
    document["attributes"]["units"] = "m"
    path.write_text(json.dumps(document))

    recover(store, FOLDER)

    assert path.read_bytes() == as_written


@pytest.mark.parametrize("refused", EVERY_PUT)
def test_a_first_commit_that_was_interrupted_leaves_no_array_behind(store: LocalFolder, refused: int) -> None:
    with pytest.raises(StorageError):
        archive(WatchedFolder(store.root, refused_from=refused), frames(OLD))

    assert recover(store, FOLDER) is None

    assert not list(group_path(store).glob("*/zarr.json"))
    archive(store, frames(OLD))
    assert_holds(store, frames(OLD))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The objects that runs without interruption leave."""
    store = LocalFolder(tmp_path_factory.mktemp("uninterrupted"))
    archive(store, frames([*OLD, *NEW]))
    assert read_inventory(store, FOLDER) is not None
    return without_archived_at(objects(store))


def _archive_until_killed(root: Path, at: int) -> None:
    """A run that ends at a put as the kernel ends it: nothing of it is cleaned up."""

    def end() -> None:
        if len(folder.puts) == at:
            os._exit(9)

    folder = WatchedFolder(root, after=end)
    archive(folder, frames(NEW))
