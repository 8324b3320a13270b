"""An object is there as a whole or not at all, and stays."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zarr

from etl.errors import IncompatibleError, StorageError
from etl.load.folder import PARTIAL, LocalFolder

from .archives import FOLDER, archive, assert_holds, frames

FULL = 400 * 1024
"""More bytes than the small disk has."""


def _partial_files(store: LocalFolder) -> list[Path]:
    return [path for path in store.root.rglob("*") if PARTIAL in path.parts and path.is_file()]


@pytest.mark.parametrize("key", ["catalog.json", "europe/collection.json", "europe/ndvi.zarr/ndvi/c/0/0/0"])
def test_an_object_reads_back_by_its_key(store: LocalFolder, key: str) -> None:
    assert store.get(key) is None
    assert not store.exists(key)
    for data in (b"first", b"", b"\0\xff" * 100_000):
        store.put(key, data)
        assert store.get(key) == data
        assert (store.root / key).read_bytes() == data
    assert store.exists(key)
    assert store.location(key) == str(store.root / key)
    assert not _partial_files(store)


def test_there_is_nothing_below_an_object(store: LocalFolder) -> None:
    store.put("europe/a", b"a")
    assert store.get("europe/a/b") is None
    with pytest.raises(StorageError, match="europe/a/b"):
        store.put("europe/a/b", b"b")
    assert store.get("europe/a") == b"a"


def test_a_folder_cannot_be_read_as_an_object(store: LocalFolder) -> None:
    store.put("europe/a", b"a")
    with pytest.raises(StorageError, match=f"cannot read {store.root}/europe"):
        store.get("europe")


def test_folders_are_listed_in_order_without_files_and_hidden_ones(store: LocalFolder) -> None:
    assert store.folders() == []
    for key in ("north-america/a", "africa/b/c", "catalog.json", "europe/d", ".hidden/e"):
        store.put(key, b"12345")
    assert store.folders() == ["africa", "europe", "north-america"]
    assert store.size("africa") == 5
    assert store.size("") == 25


def test_a_place_is_empty_until_something_was_put_there(store: LocalFolder) -> None:
    assert store.is_empty()
    with store.lease(""):
        assert store.is_empty()
    store.put("catalog.json", b"{}")
    assert not store.is_empty()


def test_a_file_is_no_place_for_an_archive(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    store = LocalFolder(tmp_path / "file")
    for ask in (store.is_empty, store.folders):
        with pytest.raises(IncompatibleError, match=f"{store.root} is not a folder"):
            ask()
    with pytest.raises(StorageError, match=str(store.root / "a/b")):
        store.put("a/b", b"")
    with pytest.raises(StorageError, match=str(store.root)), store.lease(FOLDER):
        pytest.fail("a lease was given where nothing can be written")
    assert (tmp_path / "file").read_bytes() == b"kept"


def test_the_zarr_store_of_a_group_cannot_be_written_through(store: LocalFolder) -> None:
    archive(store, frames([1, 2]))
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_group(store.zarr(f"{FOLDER}/ndvi.zarr"), mode="r+")
    assert_holds(store, frames([1, 2]))


def test_what_an_interrupted_put_left_is_cleared_in_its_folder_only(store: LocalFolder) -> None:
    store.put("europe/a", b"a")
    for folder in ("europe", "africa"):
        (store.root / folder / PARTIAL).mkdir(parents=True, exist_ok=True)
        for name, hours in (("left", 2), ("being-written", 0)):
            path = store.root / folder / PARTIAL / name
            path.write_bytes(b"half")
            os.utime(path, (time.time() - 3600 * hours,) * 2)
    store.clear_partial("europe")
    store.clear_partial("asia")
    left = {path.relative_to(store.root).as_posix() for path in _partial_files(store)}
    assert left == {"africa/.partial/being-written", "africa/.partial/left", "europe/.partial/being-written"}
    assert store.get("europe/a") == b"a"


def test_a_reader_sees_the_old_or_the_new_bytes_and_never_a_mix(store: LocalFolder) -> None:
    versions = [bytes([number]) * (1 << 18) for number in (1, 2)]
    store.put("europe/a", versions[0])
    seen: set[bytes | None] = set()
    finished = threading.Event()

    def read() -> None:
        while not finished.is_set():
            seen.add(store.get("europe/a"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for turn in range(4000):
            store.put("europe/a", versions[turn % 2])
            if turn >= 100 and len(seen) >= 2:
                break
    finally:
        finished.set()
        reader.join()
    assert seen == set(versions)


@pytest.mark.parametrize("key", ["europe/" + "n" * 300, "n" * 300 + "/a", "europe/a/" + "n" * 300])
def test_a_name_that_is_too_long_is_refused_by_name(store: LocalFolder, key: str) -> None:
    store.put("europe/a/b", b"old")
    with pytest.raises(StorageError, match=key):
        store.put(key, b"new")
    with pytest.raises(StorageError, match=key):
        store.get(key)
    assert not _partial_files(store)
    assert store.get("europe/a/b") == b"old"


def test_an_object_does_not_replace_a_folder(store: LocalFolder) -> None:
    store.put("europe/a/b", b"old")
    with pytest.raises(StorageError, match=f"cannot write {store.root}/europe/a"):
        store.put("europe/a", b"new")
    assert store.get("europe/a/b") == b"old"
    assert not _partial_files(store)


def test_a_full_disk_is_named_and_leaves_the_old_object(small_disk: Path) -> None:
    store = LocalFolder(small_disk)
    store.put("europe/a", b"old")
    with pytest.raises(StorageError, match=f"cannot write {small_disk}/europe/a: No space left"):
        store.put("europe/a", bytes(FULL))
    assert store.get("europe/a") == b"old"
    assert not _partial_files(store)
    store.put("europe/a", b"new")
    assert store.get("europe/a") == b"new"


def test_an_archive_survives_a_full_disk_and_is_continued_when_there_is_space(small_disk: Path) -> None:
    store = LocalFolder(small_disk)
    archive(store, frames([1, 2, 3]))
    filler = small_disk / "filler"
    _fill(filler)
    with pytest.raises(StorageError, match="No space left"):
        archive(store, frames([4, 5]))
    assert_holds(store, frames([1, 2, 3]))
    assert not _partial_files(store)
    filler.unlink()
    archive(store, frames([4, 5]))
    assert_holds(store, frames([1, 2, 3, 4, 5]))


def test_a_lease_on_a_full_disk_is_refused_by_name(small_disk: Path) -> None:
    store = LocalFolder(small_disk)
    _fill(small_disk / "filler")
    with pytest.raises(StorageError, match="No space left") as refusal, store.lease(""):
        pytest.fail("a lease was given that names no holder")
    assert str(small_disk) in str(refusal.value)


def test_a_read_only_disk_is_named_and_can_still_be_read(
    small_disk: Path, make_read_only: Callable[[], None]
) -> None:
    store = LocalFolder(small_disk)
    archive(store, frames([1, 2]))
    make_read_only()
    for key in (f"{FOLDER}/a", "asia/a"):
        with pytest.raises(StorageError, match=f"cannot write {small_disk}/{key}: Read-only"):
            store.put(key, b"new")
    with pytest.raises(StorageError, match="Read-only"), store.lease("asia"):
        pytest.fail("a lease was given where nothing can be written")
    assert_holds(store, frames([1, 2]))


@pytest.fixture
def umask() -> Iterator[int]:
    """The user shares with the group, and with nobody else."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def test_objects_and_folders_get_the_permissions_the_user_asks_for(store: LocalFolder, umask: int) -> None:
    store.put("europe/a/b", b"old")
    store.put("europe/a/b", b"new")
    assert (store.root / "europe/a/b").stat().st_mode & 0o777 == 0o666 & ~umask
    for folder in (store.root, store.root / "europe", store.root / "europe/a"):
        assert folder.stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int]]:
    """What reached the disk, in this order, with the size it had then."""
    synced: list[tuple[Path, int]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "fsync", note)
    return synced


@pytest.mark.parametrize("leased", [False, True], ids=["without a lease", "behind a lease"])
def test_an_object_and_the_way_to_it_are_on_the_disk_when_put_returns(
    store: LocalFolder, synced: list[tuple[Path, int]], *, leased: bool
) -> None:
    if leased:
        with store.lease("europe"):
            store.put("europe/a/b", b"12345")
    else:
        store.put("europe/a/b", b"12345")
    paths = [path for path, _ in synced]
    for folder in ("europe/a", "europe", "."):
        assert (store.root / folder).parent in paths
    written = [path for path, size in synced if path.parent.name == PARTIAL and size == 5]
    assert len(written) == 1
    assert paths[-1] == store.root / "europe/a"
    assert paths.index(written[0]) == len(paths) - 2


def _fill(path: Path) -> None:
    """Leave no byte of the disk free."""
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
