"""What lies in the way of a writer: lock files that were removed, and links that lead elsewhere."""

from pathlib import Path

import pytest

from etl.errors import BusyError, StorageError
from etl.load.folder import LocalFolder
from etl.load.holder import LEASE
from etl.load.recovery import recover

from .archives import FOLDER, archive, assert_holds, frames


def test_a_writer_whose_lock_file_was_removed_writes_no_more(store: LocalFolder) -> None:
    archive(store, frames((1, 2)))

    with store.lease(FOLDER):
        (store.root / FOLDER / LEASE).unlink()
        with pytest.raises(BusyError, match="was removed"):
            archive(store, frames((1, 2, 3)))

    assert_holds(store, frames((1, 2)))


def test_two_writers_after_the_lock_file_was_removed_are_never_two(store: LocalFolder) -> None:
    archive(store, frames((1, 2)))
    other = LocalFolder(store.root)

    with store.lease(FOLDER):
        (store.root / FOLDER / LEASE).unlink()
        with other.lease(FOLDER):
            archive(other, frames((1, 2, 3)))
            with pytest.raises(BusyError):
                store.put(f"{FOLDER}/anything", b"")

    assert_holds(store, frames((1, 2, 3)))


@pytest.mark.parametrize("name", [".partial", LEASE])
def test_links_that_lead_out_of_the_archive_are_refused_and_nothing_there_is_touched(
    store: LocalFolder, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    precious = elsewhere / "precious"
    precious.write_bytes(b"precious")
    (store.root / FOLDER).mkdir(parents=True)
    (store.root / FOLDER / name).symlink_to(elsewhere if name == ".partial" else precious)

    with pytest.raises(StorageError), store.lease(FOLDER):
        recover(store, FOLDER)

    assert precious.read_bytes() == b"precious"
