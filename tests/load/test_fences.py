"""What lies in the way of a writer: lock files that were removed, and links that lead elsewhere."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import obstore
import pytest

from etl.errors import BusyError, StorageError
from etl.load.bucket import Bucket
from etl.load.folder import PARTIAL, LocalFolder
from etl.load.holder import LEASE
from etl.load.recovery import recover
from etl.load.stores import Store

from .archives import FOLDER, archive, assert_holds, frames, objects
from .buckets import BUCKET, clean, raw, s3_server, variables

HERE, THERE = f"{FOLDER}/here", f"{FOLDER}/there"

UNCONDITIONAL: list[Callable[[Store], object]] = [
    lambda store: store.copy_all({f"{THERE}/new": f"{HERE}/object"}),
    lambda store: store.copy_all({f"{THERE}/object": f"{HERE}/object"}),
    lambda store: store.delete(HERE),
    lambda store: store.delete(f"{HERE}/object"),
    lambda store: store.remove([f"{HERE}/object"]),
]
"""Changes that storages make whatever is there by then."""

CHANGES: list[Callable[[Store], object]] = [
    *UNCONDITIONAL,
    lambda store: store.put(f"{HERE}/object", b"changed"),
    lambda store: store.put(f"{HERE}/new", b"new"),
    lambda store: store.put_all({f"{HERE}/object": b"changed"}, final=True),
    lambda store: store.create_all({f"{HERE}/new": b"new"}),
    lambda store: store.exchange(HERE, THERE),
    lambda store: store.exchanges(FOLDER),
    lambda store: store.clear_partial(FOLDER),
]
"""All that changes a storage; buckets know the first nine."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in variables(server).items():
        monkeypatch.setenv(name, value)
    clean(server)
    return Bucket(f"s3://{BUCKET}")


@pytest.mark.parametrize("change", CHANGES)
def test_a_writer_that_lost_its_lease_changes_nothing(
    store: LocalFolder, change: Callable[[Store], object]
) -> None:
    other = LocalFolder(store.root)
    for place in (HERE, THERE):
        store.put(f"{place}/object", place.encode())
    left = store.root / FOLDER / PARTIAL / "left"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))

    with store.lease(FOLDER):
        (store.root / FOLDER / LEASE).unlink()
        with other.lease(FOLDER):
            before = objects(store)
            with pytest.raises(BusyError, match="was removed"):
                change(store)
            assert objects(store) == before


@pytest.mark.parametrize("change", CHANGES)
def test_a_writer_that_holds_its_lease_may_do_all_that(
    store: LocalFolder, change: Callable[[Store], object]
) -> None:
    for place in (HERE, THERE):
        store.put(f"{place}/object", place.encode())

    with store.lease(FOLDER):
        change(store)


@pytest.mark.parametrize("change", UNCONDITIONAL)
def test_a_writer_that_lost_its_lease_of_a_bucket_changes_nothing_that_has_no_condition(
    bucket: Bucket, server: str, change: Callable[[Store], object]
) -> None:
    """Not even where it was sure of its lease a moment before."""
    for place in (HERE, THERE):
        bucket.put(f"{place}/object", place.encode())
    other = Bucket(str(bucket))

    with bucket.lease(FOLDER):
        obstore.delete(raw(server), f"{FOLDER}/{LEASE}")
        with other.lease(FOLDER):
            with pytest.raises(BusyError, match="has passed to another run"):
                change(bucket)
            assert sorted(other.keys(FOLDER)) == [f"{HERE}/object", f"{THERE}/object"]
            for place in (HERE, THERE):
                assert other.get(f"{place}/object") == place.encode()


@pytest.mark.parametrize("change", CHANGES[: len(UNCONDITIONAL) + 4])
def test_a_writer_that_knows_that_its_lease_is_lost_changes_nothing(
    bucket: Bucket, server: str, change: Callable[[Store], object]
) -> None:
    for place in (HERE, THERE):
        bucket.put(f"{place}/object", place.encode())
    other = Bucket(str(bucket))

    with bucket.lease(FOLDER):
        obstore.delete(raw(server), f"{FOLDER}/{LEASE}")
        with other.lease(FOLDER):
            with pytest.raises(BusyError):
                bucket.remove([f"{HERE}/anything"])
            with pytest.raises(BusyError):
                change(bucket)
            assert sorted(other.keys(FOLDER)) == [f"{HERE}/object", f"{THERE}/object"]


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
