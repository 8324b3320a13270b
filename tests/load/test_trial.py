"""Whether a place can be written is tried out on disks that refuse."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from etl.errors import StorageError
from etl.load.folder import LocalFolder
from etl.load.trial import try_writing

from .archives import FOLDER, archive, frames


def test_a_disk_that_is_read_only(small_disk: Path, make_read_only: Callable[[], None]) -> None:
    make_read_only()

    with pytest.raises(StorageError, match="Read-only file system; check the archive's path"):
        try_writing(LocalFolder(small_disk / "archive"), FOLDER)


def test_a_disk_that_is_full_is_left_as_it_was(small_disk: Path) -> None:
    with (small_disk / "large").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free)

    with pytest.raises(StorageError, match="No space left"):
        try_writing(LocalFolder(small_disk / "archive"), FOLDER)

    assert [path.name for path in small_disk.iterdir()] == ["large"]


def test_a_continent_whose_folder_cannot_be_written_is_told(store: LocalFolder) -> None:
    archive(store, frames([1]))
    partial = store.root / FOLDER / ".partial"
    partial.rmdir()
    partial.touch()

    with pytest.raises(StorageError, match=f"cannot write .*/{FOLDER}/.check-"):
        try_writing(store, FOLDER)

    assert not list(store.root.rglob(".check-*"))
