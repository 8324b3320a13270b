"""What storages answer, and what else lies in buckets, is taken for what it is."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator

import numpy as np
import obstore
import pytest
import requests
import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

import etl
from etl.errors import BusyError, StorageError
from etl.load.bucket import Bucket
from etl.load.continents import check_root
from etl.load.inventory import read_inventory

from .archives import FOLDER, archive, expected, frames
from .buckets import BUCKET, clean, faults, raw, s3_server, variables, wait_until_held

OLD = range(1, 4)
FRAME = "ndvi/c/1/0/0"
GONE = {"fault": "answer", "method": "GET|HEAD", "status": 404, "code": "NoSuchBucket"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in variables(server).items():
        monkeypatch.setenv(name, value)
    clean(server)
    return Bucket(f"s3://{BUCKET}/some/archive")


def get(store: Store, key: str, wanted: ByteRequest | None = None) -> bytes | None:
    found = sync(store.get(key, default_buffer_prototype(), wanted))
    return None if found is None else found.to_bytes()


async def keys_of(found: AsyncIterator[str]) -> list[str]:
    return [key async for key in found]


@pytest.mark.parametrize(
    "read",
    [
        lambda store: get(store, FRAME),
        lambda store: get(store, FRAME, RangeByteRequest(0, 4)),
        lambda store: get(store, FRAME, SuffixByteRequest(4)),
        lambda store: sync(store.exists(FRAME)),
        lambda store: sync(keys_of(store.list())),
        lambda store: sync(keys_of(store.list_dir("ndvi"))),
    ],
)
def test_a_bucket_that_is_gone_is_told_by_every_read(
    bucket: Bucket, server: str, read: Callable[[Store], object]
) -> None:
    archive(bucket, frames(OLD))
    store = bucket.zarr(f"{FOLDER}/ndvi.zarr")
    assert read(store)

    faults(server, GONE)

    with pytest.raises(StorageError, match="there is no such bucket; create it"):
        read(store)


def test_values_of_a_bucket_that_is_gone_are_no_gaps(bucket: Bucket, server: str) -> None:
    archive(bucket, frames(OLD))
    ndvi = etl.open_archive(str(bucket), "Europe").ndvi
    inventory = read_inventory(bucket, FOLDER)
    assert inventory is not None

    faults(server, GONE)

    for read in (lambda: ndvi.values, lambda: inventory.frame(1)):
        with pytest.raises(StorageError, match="there is no such bucket"):
            read()


def test_parts_of_objects_are_read_as_asked_for(bucket: Bucket) -> None:
    bucket.put("europe/a", b"0123456789")
    store = bucket.zarr("europe")

    assert get(store, "a") == b"0123456789"
    assert get(store, "a", RangeByteRequest(2, 5)) == b"234"
    assert get(store, "a", OffsetByteRequest(7)) == b"789"
    assert get(store, "a", SuffixByteRequest(2)) == b"89"
    assert get(store, "b") is get(store, "b", SuffixByteRequest(2)) is None
    assert not sync(store.exists("b"))
    asked = [("a", RangeByteRequest(0, 1)), ("b", None), ("a", None)]
    found = sync(store.get_partial_values(default_buffer_prototype(), asked))
    assert [part and part.to_bytes() for part in found] == [b"0", None, b"0123456789"]


def mark_folders(server: str, *keys: str) -> None:
    """As the S3 console does for a new folder; no client of obstore can name such an object."""
    for key in keys:
        requests.put(f"{server}/{BUCKET}/{key}", timeout=30).raise_for_status()


def test_a_folder_that_a_console_has_made_is_a_place_for_an_archive(bucket: Bucket, server: str) -> None:
    mark_folders(server, "some/", "some/archive/")
    assert bucket.is_empty()
    assert (bucket.names(""), bucket.folders(), list(bucket.keys("")), bucket.size("")) == ([], [], [], 0)
    mark_folders(server, "some/archive/europe/", "some/archive/europe/runs/")

    check_root(bucket)

    assert not bucket.exists("europe")
    assert read_inventory(bucket, FOLDER) is None
    with bucket.lease(FOLDER):
        archive(bucket, frames(OLD))
    check_root(bucket)


def test_folder_markers_in_an_archive_are_no_objects_of_it(bucket: Bucket, server: str) -> None:
    archive(bucket, frames(OLD))
    bucket.put("europe/runs/empty", b"")
    before = sorted(bucket.keys("")), bucket.names("europe"), bucket.names("europe/runs"), bucket.size("")
    folders = ("", "europe/", "europe/runs/", "europe/ndvi.zarr/", "europe/ndvi.zarr/ndvi/")
    mark_folders(server, *(f"some/archive/{folder}" for folder in folders))

    assert (
        sorted(bucket.keys("")),
        bucket.names("europe"),
        bucket.names("europe/runs"),
        bucket.size(""),
    ) == before
    assert "europe/runs/empty" in before[0]
    group = zarr.open_group(bucket.zarr(f"{FOLDER}/ndvi.zarr"), mode="r", use_consolidated=False)
    np.testing.assert_array_equal(dict(group.arrays())["ndvi"][:], expected(frames(OLD))["ndvi"])
    bucket.delete("europe")
    assert not bucket.exists("europe")


def test_a_removal_ends_when_the_lease_has_passed_to_another(
    bucket: Bucket, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that slept in the middle: what the next run has written under these names stays."""
    monkeypatch.setattr("etl.load.bucket._REMOVED_AT_ONCE", 2)
    bucket.put_all({f"europe/side/{number}": b"old" for number in range(6)})
    sleeper = Bucket(str(bucket))
    refused: list[str] = []
    removing = threading.Thread(target=lambda: refused.append(_busy(lambda: sleeper.delete("europe/side"))))
    with sleeper.lease(FOLDER):
        faults(server, {"fault": "hold", "method": "POST", "times": 1})
        removing.start()
        wait_until_held(server)
        obstore.delete(raw(server), "some/archive/europe/.lease")
        with bucket.lease(FOLDER):
            # The next renewal, which is due within half a minute.
            assert "has passed to another run" in _busy(sleeper._held[FOLDER].lease._renew)
            faults(server)
            removing.join()

    assert "has passed to another run" in refused[0]
    assert len(bucket.names("europe/side")) == 4
    bucket.delete("europe/side")
    assert bucket.names("europe/side") == []


def _busy(call: Callable[[], object]) -> str:
    with pytest.raises(BusyError) as refusal:
        call()
    return str(refusal.value)
