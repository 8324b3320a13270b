"""What is there is known from committed metadata and asked for by name; a listing decides nothing."""

from collections.abc import Iterator
from dataclasses import replace

import obstore
import pytest

from etl.catalog.publish import publish
from etl.catalog.root import find_children
from etl.catalog.style import Choices
from etl.errors import BusyError, IncompatibleError
from etl.load.archive import Appender
from etl.load.bucket import Bucket
from etl.load.continents import check_root, continent_folders, has_group
from etl.load.encoding import chunk_keys
from etl.load.folder import LocalFolder
from etl.load.frames import FrameWriter
from etl.load.generations import finish_replacing, prepare_replacing, side_folder
from etl.load.inventory import Inventory, read_inventory
from etl.load.levels import arrays_of_frames
from etl.load.recovery import recover
from etl.load.runs import keep_run, runs
from etl.load.schema import Schema
from etl.load.stores import Store
from etl.transform.grid import Grid

from .archives import FOLDER, SMALL, WithoutExchange, archive, assert_holds, expected, frames, objects
from .buckets import BUCKET, WatchedBucket, clean, raw, s3_server, variables
from .lagging import lag, lagging

OLD, NEW = (1, 2, 4), (1, 2, 3, 4, 5)
PLACE = "some/archive"
ROOT = f"{FOLDER}/ndvi.zarr/zarr.json"
LARGE = Schema("Europe", Grid(600, 400, (-11.25, 34.1, 31.0625, 71.3)), 12)
"""Its frames have overviews."""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, str]]:
    with s3_server() as server, lagging(server) as proxy:
        yield server, proxy


@pytest.fixture
def server(servers: tuple[str, str]) -> str:
    return servers[0]


@pytest.fixture
def proxy(servers: tuple[str, str]) -> str:
    return servers[1]


@pytest.fixture
def bucket(servers: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket whose listings lag once a test says so."""
    server, proxy = servers
    clean(server)
    lag(proxy)
    for name, value in variables(proxy).items():
        monkeypatch.setenv(name, value)
    return Bucket(f"s3://{BUCKET}/{PLACE}")


def prepare(store: Store, schema: Schema = SMALL) -> None:
    """An archive, and beside it a group that is to replace it."""
    archive(store, frames(OLD, schema), schema)
    appender = Appender(store, side_folder(FOLDER), replace(schema, keys="v2"))
    for each in frames(NEW, schema):
        appender.append(each)
    appender.commit()


def assert_committed(store: Store, numbers: tuple[int, ...], schema: Schema = SMALL) -> None:
    inventory = read_inventory(store, FOLDER)
    assert inventory is not None
    wanted = expected(frames(numbers, schema))["ndvi"]
    assert len(inventory) == len(numbers)
    for position in range(len(numbers)):
        assert (inventory.frame(position) == wanted[position]).all()
    assert store.missing(f"{FOLDER}/ndvi.zarr/{key}" for key in chunk_keys(inventory.documents)) == []


def all_keys(server: str) -> set[str]:
    pages = obstore.list(raw(server), f"{PLACE}/")
    return {entry["path"].removeprefix(f"{PLACE}/") for page in pages for entry in page}


@pytest.mark.parametrize("schema", [SMALL, LARGE, replace(LARGE, layout="flat")])
def test_the_metadata_call_for_exactly_the_objects_that_are_written(
    store: LocalFolder, schema: Schema
) -> None:
    for keys in ("default", "v2"):
        folder = LocalFolder(store.root / keys)
        archive(folder, frames(OLD, schema), replace(schema, keys=keys))

        inventory = read_inventory(folder, FOLDER)
        assert inventory is not None
        there = {key for key in objects(folder) if not key.endswith("zarr.json")}
        assert there == {f"ndvi.zarr/{key}" for key in chunk_keys(inventory.documents)}


@pytest.mark.parametrize("hidden", ["ndvi/3/0/0$", "time/0$", "crs/0$", "latitude/0$", r"\.rebuild/", ""])
def test_a_group_is_replaced_as_a_whole_whatever_a_listing_lacks(
    bucket: Bucket, proxy: str, hidden: str
) -> None:
    with bucket.lease(FOLDER):
        prepare(bucket)
        lag(proxy, hidden)

        prepare_replacing(bucket, FOLDER)
        assert finish_replacing(bucket, FOLDER)

        assert_committed(bucket, NEW)
        assert_committed_after_recovery(bucket)


def assert_committed_after_recovery(store: Store) -> None:
    """Nothing that is left is taken for something."""
    assert recover(store, FOLDER) is not None
    assert_committed(store, NEW)


def test_overviews_that_the_new_group_has_not_leave_no_metadata(
    bucket: Bucket, server: str, proxy: str
) -> None:
    with bucket.lease(FOLDER):
        archive(bucket, frames(OLD, LARGE), LARGE)
        appender = Appender(bucket, side_folder(FOLDER), replace(LARGE, keys="v2", overviews=False))
        for each in frames(NEW, LARGE):
            appender.append(each)
        appender.commit()
        lag(proxy, "overviews")

        prepare_replacing(bucket, FOLDER)
        finish_replacing(bucket, FOLDER)

    assert not [key for key in all_keys(server) if "overviews" in key and key.endswith("zarr.json")]
    assert_committed(bucket, NEW, LARGE)


@pytest.mark.parametrize("lost", ["ndvi/3/0/0", "time/0", "longitude/0", "crs/0"])
@pytest.mark.parametrize("kind", [LocalFolder, WithoutExchange, Bucket])
def test_an_object_that_is_missing_ends_it_before_anything_is_replaced(
    store: LocalFolder, bucket: Bucket, lost: str, kind: type
) -> None:
    place: Store = bucket if kind is Bucket else kind(store.root)
    with place.lease(FOLDER):
        prepare(place)
        place.remove([f"{side_folder(FOLDER)}/ndvi.zarr/{lost}"])

        with pytest.raises(IncompatibleError, match=f"{lost} is missing; nothing was replaced"):
            prepare_replacing(place, FOLDER)

        assert_committed(place, OLD)
        assert recover(place, FOLDER) is not None
        assert_committed(place, OLD)
        prepare(place)
        prepare_replacing(place, FOLDER)
        finish_replacing(place, FOLDER)
        assert_committed(place, NEW)


@pytest.mark.parametrize("kind", [LocalFolder, WithoutExchange, Bucket])
def test_an_object_that_is_lost_after_the_preparation_ends_it_once_and_the_archive_goes_on(
    store: LocalFolder, bucket: Bucket, kind: type
) -> None:
    place: Store = bucket if kind is Bucket else kind(store.root)
    with place.lease(FOLDER):
        prepare(place)
        prepare_replacing(place, FOLDER)
        place.remove([f"{side_folder(FOLDER)}/ndvi.zarr/ndvi/3/0/0", f"{FOLDER}/ndvi.zarr/ndvi/3/0/0"])

        with pytest.raises(IncompatibleError, match="ndvi/3/0/0 is missing; nothing was replaced"):
            recover(place, FOLDER)

        inventory = recover(place, FOLDER)
        assert inventory is not None
        assert_committed(place, OLD)


def test_a_new_object_that_is_lost_beside_the_archived_ones_is_put_there_again(bucket: Bucket) -> None:
    with bucket.lease(FOLDER):
        prepare(bucket)
        prepare_replacing(bucket, FOLDER)
        bucket.remove([f"{FOLDER}/ndvi.zarr/ndvi/3/0/0"])

        assert_committed_after_recovery(bucket)


def test_objects_that_readers_of_the_old_group_miss_already_do_not_hinder_a_rebuild(
    store: LocalFolder,
) -> None:
    prepare(store)
    store.remove([f"{FOLDER}/ndvi.zarr/ndvi/c/1/0/0"])

    prepare_replacing(store, FOLDER)
    finish_replacing(store, FOLDER)

    assert_holds(store, frames(NEW))


def test_what_a_dropped_rebuild_leaves_is_not_taken_for_one(bucket: Bucket, proxy: str) -> None:
    """The note that it was ready is not listed, and the next one is under way."""
    with bucket.lease(FOLDER):
        prepare(bucket)
        prepare_replacing(bucket, FOLDER)
        bucket.remove([f"{side_folder(FOLDER)}/ndvi.zarr/ndvi/3/0/0", f"{FOLDER}/ndvi.zarr/ndvi/3/0/0"])
        lag(proxy, "")
        with pytest.raises(IncompatibleError):
            recover(bucket, FOLDER)
        appender = Appender(bucket, side_folder(FOLDER), replace(SMALL, keys="v2"))
        appender.append(frames(NEW)[0])
        appender.commit()

        recover(bucket, FOLDER)

        assert_committed(bucket, OLD)


def _taking_over(store: Store) -> tuple[FrameWriter, Inventory]:
    archive(store, frames(OLD, LARGE), LARGE)
    inventory = read_inventory(store, FOLDER)
    assert inventory is not None
    return FrameWriter(store, "other/ndvi.zarr", arrays_of_frames(inventory.documents)), inventory


def test_frames_are_taken_over_though_no_listing_shows_them(bucket: Bucket, server: str, proxy: str) -> None:
    writer, inventory = _taking_over(bucket)
    lag(proxy, "")

    written = writer.take_over(7, inventory, 1)

    assert written.size == 0, "it was not linked"
    taken = {key for key in all_keys(server) if key.startswith("other/")}
    assert taken == {f"other/ndvi.zarr/{name}/c/7/0/0" for name in writer.arrays}


def test_a_frame_that_is_missing_is_not_taken_over(bucket: Bucket) -> None:
    writer, inventory = _taking_over(bucket)
    bucket.remove([f"{FOLDER}/ndvi.zarr/ndvi/c/1/0/0"])

    with pytest.raises(IncompatibleError, match="is damaged"):
        writer.take_over(7, inventory, 1)


def test_what_is_in_the_way_of_workers_goes_though_no_listing_shows_it(bucket: Bucket, proxy: str) -> None:
    archive(bucket, frames(OLD))
    appender = Appender(bucket, FOLDER, SMALL)
    workers = FrameWriter(bucket, f"{FOLDER}/ndvi.zarr", appender.writer.arrays, only_new=True)
    workers.put(3, frames([6])[0])
    lag(proxy, "")
    with pytest.raises(BusyError):
        workers.put(3, frames([7])[0])

    appender.writer.clear(range(3, 5))

    workers.put(3, frames([7])[0])
    assert_committed(bucket, OLD)


def test_frames_whose_root_is_lost_are_not_removed_because_no_listing_shows_them(
    bucket: Bucket, server: str, proxy: str
) -> None:
    archive(bucket, frames(OLD))
    bucket.put(f"{FOLDER}/collection.json", b"{}")
    bucket.remove([ROOT])
    before = all_keys(server)
    lag(proxy, "")

    with pytest.raises(IncompatibleError, match="is missing, though frames were archived"):
        recover(bucket, FOLDER)

    assert all_keys(server) == before


def test_frames_of_which_all_metadata_are_lost_are_not_removed_either(
    bucket: Bucket, server: str, proxy: str
) -> None:
    """A listing shows them in the moment in which they would be."""
    archive(bucket, frames(OLD))
    bucket.put(f"{FOLDER}/collection.json", b"{}")
    bucket.remove([key for key in all_keys(server) if key.endswith("zarr.json")])
    before = all_keys(server)
    lag(proxy, "")

    assert recover(bucket, FOLDER) is None

    assert all_keys(server) == before


def test_a_continent_that_no_listing_shows_stays_in_the_catalog(bucket: Bucket, proxy: str) -> None:
    with bucket.lease(FOLDER):
        archive(bucket, frames(OLD))
        publish(bucket, FOLDER)
    lag(proxy, "")

    assert [child.folder for child in find_children(bucket)] == [FOLDER]
    assert continent_folders(bucket) == [FOLDER]
    assert has_group(bucket, FOLDER)
    check_root(bucket)


def test_an_archive_of_which_a_listing_shows_but_the_catalog_is_one(bucket: Bucket, proxy: str) -> None:
    with bucket.lease(FOLDER):
        archive(bucket, frames(OLD))
        publish(bucket, FOLDER)
    lag(proxy, f"{FOLDER}/")

    check_root(bucket)


def test_a_catalog_of_others_is_not_overwritten_because_no_listing_shows_it(
    bucket: Bucket, proxy: str
) -> None:
    bucket.put("catalog.json", b'{"links": []}')
    lag(proxy, "")

    with pytest.raises(IncompatibleError, match="no archive"):
        check_root(bucket)


def test_items_that_no_listing_shows_are_neither_lost_nor_drawn_again(
    bucket: Bucket, server: str, proxy: str
) -> None:
    with bucket.lease(FOLDER):
        archive(bucket, frames(OLD))
        publish(bucket, FOLDER, choices=Choices(items="frame"))
        before = {key: bucket.get(key) for key in all_keys(server) if "/items/" in key}
        lag(proxy, "")

        watched = WatchedBucket(str(bucket))
        publish(watched, FOLDER)

    assert {key: bucket.get(key) for key in all_keys(server) if "/items/" in key} == before
    assert not [key for key in watched.puts if key.endswith(".png")]


def test_files_of_others_among_the_items_stay_though_no_listing_shows_them(
    bucket: Bucket, server: str, proxy: str
) -> None:
    with bucket.lease(FOLDER):
        archive(bucket, frames(OLD))
        publish(bucket, FOLDER, choices=Choices(items="frame"))
        bucket.put(f"{FOLDER}/items/notes.txt", b"precious")
        lag(proxy, r"notes\.txt")

        publish(bucket, FOLDER, choices=Choices(items="none"))

    assert {key for key in all_keys(server) if "/items/" in key} == {f"{FOLDER}/items/notes.txt"}


def test_a_report_that_no_listing_shows_is_not_overwritten(bucket: Bucket, proxy: str) -> None:
    inventory_time = frames([1])[0].entry.time
    keep_run(bucket, FOLDER, '{"run": 1}', inventory_time)
    lag(proxy, "")

    keep_run(bucket, FOLDER, '{"run": 2}', inventory_time)

    lag(proxy)
    assert [run["run"] for run in runs(bucket, FOLDER)] == [1, 2]
