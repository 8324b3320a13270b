"""An archive in an object store: as whole and as safe as in a folder, over the real protocol."""

import json
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
import zarr
from obstore.store import ObjectStore, from_url

from etl.errors import BusyError, StorageError, UsageError
from etl.load.bucket import Bucket
from etl.load.bucket_lease import BucketLease
from etl.load.inventory import read_inventory
from etl.load.stores import open_store

from .archives import ALONG_TIME, FOLDER, archive, expected, frames
from .buckets import BUCKET, WatchedBucket, clean, s3_server, variables

OLD, NEW = range(1, 4), range(4, 7)
PUTS = 3 + len(ALONG_TIME) + (1 + len(ALONG_TIME)) + 1
"""Frames, columns, the metadata of each array, the root."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in variables(server).items():
        monkeypatch.setenv(name, value)
    clean(server)
    return f"s3://{BUCKET}/some/archive"


@pytest.fixture
def bucket(url: str) -> Bucket:
    return Bucket(url)


def read(bucket: Bucket, *, consolidated: bool = True) -> dict[str, Any]:
    group = zarr.open_group(bucket.zarr(f"{FOLDER}/ndvi.zarr"), mode="r", use_consolidated=consolidated)
    return {name: np.asarray(group[name][:]) for name in ("ndvi", *ALONG_TIME)}  # type: ignore[index]


def assert_holds(bucket: Bucket, numbers: range | list[int]) -> None:
    for consolidated in (True, False):
        found = read(bucket, consolidated=consolidated)
        for name, values in expected(frames(numbers)).items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_objects_are_as_in_a_folder(bucket: Bucket) -> None:
    bucket.put_all({"europe/a": b"1", "europe/b/c": b"22", "europe/.hidden": b"", "top": b"333"})

    assert bucket.get("europe/a") == b"1"
    assert bucket.get("europe/z") is None
    assert bucket.names("europe") == ["a"]
    assert sorted(bucket.keys("europe")) == ["europe/a", "europe/b/c"]
    assert bucket.folders() == ["europe"]
    assert bucket.exists("europe/b")
    assert not bucket.exists("europe/bb")
    assert not bucket.is_empty()
    assert bucket.size("europe") == 3
    bucket.copy_all({"asia/a": "europe/a"})
    assert bucket.get("asia/a") == b"1"
    bucket.delete("europe")
    assert bucket.folders() == ["asia"]
    bucket.delete("nothing")


def test_prefixes_do_not_run_into_one_another(bucket: Bucket) -> None:
    bucket.put_all({"europe/a": b"1", "europe-east/a": b"2"})

    bucket.delete("europe")

    assert bucket.get("europe-east/a") == b"2"
    assert bucket.size("europe-east") == 1


def test_a_second_run_continues_the_first(bucket: Bucket, url: str) -> None:
    with bucket.lease(FOLDER):
        archive(bucket, frames(OLD))
    other = Bucket(url)
    with other.lease(FOLDER):
        archive(other, frames(NEW))

    assert_holds(bucket, [*OLD, *NEW])


@pytest.mark.parametrize("refused", [*range(0, PUTS, 3), PUTS - 2, PUTS - 1])
def test_whatever_put_fails_readers_see_a_whole_archive_and_the_next_run_continues(
    bucket: Bucket, url: str, refused: int
) -> None:
    archive(bucket, frames(OLD))
    whole = expected(frames([*OLD, *NEW]))
    lengths = []

    def look() -> None:
        for consolidated in (True, False):
            found = read(bucket, consolidated=consolidated)
            for name, values in whole.items():
                np.testing.assert_array_equal(found[name], values[: len(found[name])], err_msg=name)
        lengths.append(len(read(bucket)["time"]))

    broken = WatchedBucket(url, refused_from=refused)
    with pytest.raises(StorageError), broken.lease(FOLDER):
        # The lease itself is not counted: it is not written through the store.
        archive(broken, frames(NEW))
    look()
    going_on = WatchedBucket(url, after=look if refused % 7 == 0 else None)
    with going_on.lease(FOLDER):
        archive(going_on, frames(NEW))

    assert lengths == sorted(lengths)
    assert_holds(bucket, [*OLD, *NEW])


def test_a_writer_that_lost_its_lease_overwrites_nothing(bucket: Bucket, url: str) -> None:
    """A machine that slept: its lease has passed to another run, and it does not know."""
    sleeper = Bucket(url)
    with sleeper.lease(FOLDER):
        archive(sleeper, frames(OLD))
        obstore.delete(_raw(url), f"{FOLDER}/.lease")
        with bucket.lease(FOLDER):
            archive(bucket, frames(NEW))
        with pytest.raises(BusyError, match="meanwhile"):
            sleeper.put_all({f"{FOLDER}/ndvi.zarr/ndvi/c/3/0/0": b"other"})
        with pytest.raises(BusyError, match="meanwhile"):
            sleeper.put(f"{FOLDER}/ndvi.zarr/zarr.json", b"{}")

    assert_holds(bucket, [*OLD, *NEW])


def test_two_runs_at_the_same_instant_never_both_write(url: str) -> None:
    held, refused = [], []
    barrier = threading.Barrier(8)
    done = threading.Barrier(8)

    def run() -> None:
        bucket = Bucket(url)
        barrier.wait()
        try:
            with bucket.lease(FOLDER):
                held.append(1)
                done.wait(60)
        except BusyError as error:
            refused.append(str(error))
            done.wait(60)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(held), len(refused)) == (1, 7)
    assert all("is being written by" in text for text in refused)


def test_the_holder_of_a_lease_is_named_and_waited_for(bucket: Bucket, url: str) -> None:
    other = Bucket(url).lease(FOLDER)
    with bucket.lease(FOLDER), pytest.raises(BusyError, match=r"process \d+ on .* since 20"), other:
        pass
    with Bucket(url).lease(FOLDER, 0.0):
        assert bucket.get(f"{FOLDER}/.lease") is not None
    assert bucket.get(f"{FOLDER}/.lease") == b""


def test_a_lease_that_was_not_renewed_is_taken_over(bucket: Bucket, url: str) -> None:
    dead = BucketLease(_raw(url), FOLDER, url, 0.0, lifetime=0.0)
    dead.take()
    text = json.loads(bucket.get(f"{FOLDER}/.lease") or b"")
    bucket.put(f"{FOLDER}/.lease", json.dumps({**text, "seconds": -5.0, "id": "dead"}).encode())

    with bucket.lease(FOLDER):
        archive(bucket, frames(OLD))

    with pytest.raises(BusyError, match="has passed to another run"):
        dead.check()


def test_a_lease_is_renewed_while_it_is_held(url: str) -> None:
    lease = BucketLease(_raw(url), FOLDER, url, 0.0, lifetime=8.0)
    lease.take()
    first = obstore.head(_raw(url), f"{FOLDER}/.lease")
    while obstore.head(_raw(url), f"{FOLDER}/.lease")["last_modified"] == first["last_modified"]:
        lease.check()
    # Who found it expired a moment before would not overwrite it.
    assert obstore.head(_raw(url), f"{FOLDER}/.lease")["e_tag"] != first["e_tag"]
    lease.release()


def test_the_lease_of_the_dead_is_waited_for_until_it_expires(bucket: Bucket, url: str) -> None:
    bucket.put(f"{FOLDER}/.lease", b'{"host": "gone", "process": 7, "since": "2026-01-01", "seconds": 2}')

    with pytest.raises(BusyError, match="process 7 on gone since 2026-01-01"), bucket.lease(FOLDER):
        pass
    with bucket.lease(FOLDER, wait=60):
        archive(bucket, frames(OLD))

    assert_holds(bucket, OLD)


def test_a_store_for_workers_carries_no_secrets(
    bucket: Bucket, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask sends it to its workers, which have an account of their own."""
    bucket.put("europe/a", b"1")
    account = "[default]\naws_access_key_id = someone\naws_secret_access_key = hush-hush\n"
    (tmp_path / "credentials").write_text(account)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    pickled = pickle.dumps(Bucket(url).zarr("europe"))

    assert b"hush" not in pickled
    store = pickle.loads(pickled)  # noqa: S301
    assert zarr.core.sync.sync(store.exists("a"))
    assert not zarr.core.sync.sync(store.exists("b"))


@pytest.mark.parametrize("name", ["s3://", "https://example.com/x", "ftp://example.com/x", "s3:///x"])
def test_an_address_that_is_none_is_refused(url: str, name: str) -> None:
    with pytest.raises(UsageError):
        open_store(name)


def test_a_missing_bucket_is_told(url: str) -> None:
    bucket = Bucket("s3://no-such-bucket/x")
    calls: list[Callable[[], object]] = [
        lambda: bucket.get("a"),
        bucket.folders,
        lambda: bucket.put("a", b""),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="there is no such bucket"):
            call()


def test_a_storage_that_is_down_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    with pytest.raises(
        StorageError, match=f"cannot read {url}/a: http://127.0.0.1:9 cannot be reached: Connection refused; "
    ):
        Bucket(url).get("a")


def test_what_was_never_committed_is_not_there(bucket: Bucket) -> None:
    assert read_inventory(bucket, FOLDER) is None


def _raw(url: str) -> ObjectStore:
    return from_url(url, client_options={"allow_http": True})
