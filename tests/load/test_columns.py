"""The arrays along time grow from one chunk into the next."""

import os
import shutil
from collections.abc import Sequence

import numpy as np
import pytest

from etl.errors import StorageError
from etl.load.folder import LocalFolder
from etl.load.schema import Schema
from etl.transform.grid import Grid
from etl.transform.packing import PackedFrame

from .archives import ALONG_TIME, WatchedFolder, archive, expected, frame, frames, inventory_of

TINY = Schema("Europe", Grid(2, 2, (0.0, 0.0, 1.0, 1.0)), 12)


def test_columns_grow_past_their_first_chunk(store: LocalFolder, nearly_a_chunk: LocalFolder) -> None:
    shutil.copytree(nearly_a_chunk.root, store.root)
    for numbers, written in (
        (range(4091, 4096), {"time/c/0"}),
        (range(4096, 4097), {"time/c/0"}),
        (range(4097, 4098), {"time/c/1"}),
        (range(4098, 4104), {"time/c/1"}),
    ):
        watched = WatchedFolder(store.root)
        archive(watched, frames(numbers, TINY), TINY)
        assert {key for key in watched.written if key.startswith("time/c/")} == written
        _assert_columns(store, frames(range(1, numbers.stop), TINY))
    for place in (0, 4089, 4090, 4095, 4096, 4097, 4102):
        np.testing.assert_array_equal(inventory_of(store).frame(place), frame(place + 1, TINY).values)


def test_one_commit_can_cross_from_a_chunk_of_the_columns_into_the_next(
    store: LocalFolder, nearly_a_chunk: LocalFolder
) -> None:
    shutil.copytree(nearly_a_chunk.root, store.root)
    added = frames(range(4091, 4104), TINY)
    last_put = len(added) + 2 * len(ALONG_TIME) + 1 + len(ALONG_TIME)
    with pytest.raises(StorageError):
        archive(WatchedFolder(store.root, refused_from=last_put), added, TINY)
    _assert_columns(store, frames(range(1, 4091), TINY))
    archive(store, added, TINY)
    _assert_columns(store, frames(range(1, 4104), TINY))


@pytest.fixture(scope="module")
def nearly_a_chunk(tmp_path_factory: pytest.TempPathFactory) -> LocalFolder:
    """Six frames fewer than a chunk of the columns holds."""
    store = LocalFolder(tmp_path_factory.mktemp("nearly"))
    with pytest.MonkeyPatch.context() as patch:
        # So many objects take long to reach a disk, and here they need not.
        patch.setattr(os, "fsync", lambda descriptor: None)
        archive(store, frames(range(1, 4091), TINY), TINY)
    return store


def _assert_columns(store: LocalFolder, packed: Sequence[PackedFrame]) -> None:
    columns = inventory_of(store).columns
    for name, values in expected(packed).items():
        if name in ALONG_TIME:
            np.testing.assert_array_equal(columns[name], values, err_msg=name)
