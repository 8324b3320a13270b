"""The catalog of an archive in a bucket, over the real protocol, is that of an archive in a folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.catalog.publish import publish
from etl.catalog.style import Choices
from etl.catalog.verify import check_catalog, check_collection
from etl.errors import StorageError
from etl.load.folder import LocalFolder
from etl.load.inventory import read_inventory
from etl.load.verify.findings import Verdict
from tests.load.buckets import BUCKET, WatchedBucket, clean, s3_server, variables

from .archives import Continent

ALL = Choices("frame", True, "https://example.org/ndvi")


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


def upload(folder: LocalFolder, bucket: WatchedBucket) -> None:
    """Make the objects of a folder those of a bucket; what is there beyond them goes."""
    keys = {key: folder.get(key) for key in [*folder.keys("europe"), *folder.names("")]}
    for key in {*bucket.keys("europe"), *bucket.names("")} - set(keys):
        bucket.delete(key)
    bucket.put_all({key: data for key, data in keys.items() if data is not None}, final=True)
    bucket.puts.clear()


def catalogued(store: LocalFolder | WatchedBucket) -> dict[str, bytes | None]:
    keys = [key for key in store.keys("europe") if "ndvi.zarr" not in key]
    return {key: store.get(key) for key in [*keys, "catalog.json"]}


def test_a_nightly_run_writes_what_it_writes_in_a_folder(europe: Continent, url: str, tmp_path: Path) -> None:
    folder, bucket = europe.store, WatchedBucket(url)
    upload(folder, bucket)
    with bucket.lease("europe"):
        publish(bucket, "europe", choices=ALL)
    publish(folder, "europe", choices=ALL)
    assert catalogued(bucket) == catalogued(folder)
    europe.append(["S3B"])
    upload(folder, bucket)
    bucket = WatchedBucket(url)
    with bucket.lease("europe"):
        publish(bucket, "europe")
    publish(folder, "europe")
    assert catalogued(bucket) == catalogued(folder)
    item = "europe/items/2025/2025-01/europe-20250103t115703-s3b"
    assert sorted(bucket.puts) == sorted(
        [
            f"{item}.png",
            f"{item}.json",
            "europe/items/2025/2025-01/catalog.json",
            "europe/items.parquet",
            "europe/overview.png",
            "europe/thumbnail.png",
            "europe/collection.json",
        ]
    )
    inventory = read_inventory(bucket, "europe")
    assert inventory is not None
    verdict = Verdict()
    check_collection(inventory, verdict, with_pixels=True)
    check_catalog(bucket, verdict)
    assert verdict == Verdict()


def test_a_run_that_is_refused_at_any_write_is_completed_by_the_next(
    europe: Continent, url: str, tmp_path: Path
) -> None:
    folder = europe.store
    publish(folder, "europe", choices=ALL)
    europe.append(["S3B", "S3A"])
    before = LocalFolder(tmp_path / "before")
    shutil.copytree(folder.root, before.root)
    publish(folder, "europe")
    whole = catalogued(folder)
    for refused in range(9):
        bucket = WatchedBucket(url)
        upload(before, bucket)
        bucket = WatchedBucket(url, refused_from=refused)
        with pytest.raises(StorageError):
            publish(bucket, "europe")
        assert len(bucket.puts) == refused
        publish(WatchedBucket(url), "europe")
        assert catalogued(WatchedBucket(url)) == whole
