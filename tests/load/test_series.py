"""The series holds what the frames hold, and grows by whole periods, whatever interrupts it."""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import xarray as xr
import zarr

from etl.errors import BusyError, IncompatibleError, StorageError
from etl.load.archive import Appender
from etl.load.bucket import Bucket
from etl.load.folder import LocalFolder
from etl.load.generations import finish_replacing, prepare_replacing, purge_outdated, side_folder
from etl.load.recovery import recover
from etl.load.schema import Schema
from etl.load.series_writer import SeriesWriter
from etl.pipeline.optimizing import Optimization, SeriesReport, extend

from .archives import FOLDER, WatchedFolder, WithoutExchange, expected, frames, group_path, objects
from .buckets import BUCKET, WatchedBucket, clean, s3_server, variables
from .series import (
    PERIOD,
    WIDE,
    archive_frames,
    assert_series,
    length_of_series,
    optimize,
    values,
)

pytestmark = pytest.mark.usefixtures("unsynced")

TEN, FOURTEEN = range(1, 11), range(1, 15)

SHARDS = 2
OWN_METADATA = 3
PUTS = SHARDS + 2 + OWN_METADATA + 1 + 1
"""Of one more period: shards, columns, metadata of the arrays and of the series, the root."""

PUTS_OF_FIRST = PUTS + 3 + 3
"""Of the first period also coordinates and CRS, and their metadata."""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames, without a series."""
    store = LocalFolder(tmp_path_factory.mktemp("pristine"))
    archive_frames(store, TEN)
    return store.root


@pytest.fixture
def ten(pristine: Path, store: LocalFolder) -> LocalFolder:
    shutil.copytree(pristine, store.root)
    return store


def in_group(store: LocalFolder, *, consolidated: bool = True) -> zarr.Group:
    found = zarr.open_group(group_path(store), mode="r", use_consolidated=consolidated)["series"]
    assert isinstance(found, zarr.Group)
    return found


def alone(store: LocalFolder) -> zarr.Group:
    return zarr.open_group(group_path(store) / "series", mode="r", use_consolidated=True)


@pytest.mark.parametrize(
    "schema",
    [
        WIDE,
        replace(WIDE, layout="flat"),
        replace(WIDE, keys="v2"),
        replace(WIDE, grid=replace(WIDE.grid, columns=5, rows=3)),
    ],
    ids=["sharded", "flat", "rebuilt", "tiny"],
)
def test_a_series_holds_whole_periods_of_the_frames_for_every_reader(
    store: LocalFolder, schema: Schema
) -> None:
    archive_frames(store, TEN, schema)

    report = optimize(store)

    assert (report.optimised, report.in_series, report.frames) == (8, 8, 10)
    for found in (in_group(store), in_group(store, consolidated=False), alone(store)):
        assert_series(found, TEN[:8], schema)
    with xr.open_zarr(group_path(store), chunks=None) as whole:
        for series in (
            xr.open_zarr(group_path(store), group="series", chunks=None),
            xr.open_zarr(group_path(store) / "series", chunks=None),
        ):
            others = set(whole.coords) - set(series.coords)
            xr.testing.assert_identical(whole.drop_vars(others).ndvi[:8], series.ndvi)
            assert set(series.coords) == {"time", "satellite", "latitude", "longitude", "crs"}
    place = {"driver": "zarr3", "kvstore": f"file://{group_path(store)}/series/ndvi/"}
    opened = tensorstore.open(place, open=True, read=True).result()
    np.testing.assert_array_equal(opened.read().result(), expected(frames(TEN[:8], schema))["ndvi"])


def test_it_grows_by_what_was_closed_since_and_by_nothing_else(ten: LocalFolder) -> None:
    optimize(ten)
    before = objects(ten)
    watched = WatchedFolder(ten.root)
    assert optimize(watched).optimised == 0
    assert watched.puts == []
    archive_frames(ten, FOURTEEN)
    assert length_of_series(ten) == 8
    assert_series(in_group(ten), TEN[:8])

    watched = WatchedFolder(ten.root)
    report = optimize(watched)

    assert (report.optimised, report.in_series) == (4, 12)
    assert_series(in_group(ten), FOURTEEN[:12])
    assert len(watched.puts) == PUTS
    assert watched.written[-3:] == ["series/time/zarr.json", "series/zarr.json", "zarr.json"]
    after = objects(ten)
    kept = [key for key in before if "/series/ndvi/c/" in key]
    assert kept
    assert all(after[key] == before[key] for key in kept)


def test_an_archive_of_less_than_a_period_gets_none(store: LocalFolder) -> None:
    archive_frames(store, range(1, 4))

    report = optimize(store)

    assert (report.optimised, report.in_series, length_of_series(store)) == (0, 0, 0)


def test_commits_and_recoveries_keep_it(ten: LocalFolder) -> None:
    optimize(ten)
    with pytest.raises(StorageError):
        archive_frames(WatchedFolder(ten.root, refused_from=4 + 9 + 10), FOURTEEN)
    assert_series(in_group(ten), TEN[:8])

    inventory = recover(ten, FOLDER)

    assert inventory is not None
    assert len(inventory) == 14
    assert_series(in_group(ten), TEN[:8])


class Reader:
    """Looks at a series again and again: what it sees is whole, and never shrinks."""

    def __init__(self, store: LocalFolder) -> None:
        self._store = store
        self._seen: list[bytes | None] = []
        self.lengths = {"root": 0, "alone": 0}

    def look(self) -> None:
        """Look, if what leads readers to values has changed."""
        group = f"{FOLDER}/ndvi.zarr"
        metadata = [self._store.get(f"{group}/{name}zarr.json") for name in ("", "series/")]
        if metadata == self._seen:
            return
        self._seen = metadata
        root = zarr.open_group(group_path(self._store), mode="r")
        if "series" in root:
            self._look_at("root", in_group(self._store))
        if (group_path(self._store) / "series/zarr.json").exists():
            self._look_at("alone", alone(self._store))

    def _look_at(self, way: str, found: zarr.Group) -> None:
        length = len(values(found, "time"))
        assert length >= self.lengths[way]
        assert length % PERIOD == 0
        self.lengths[way] = length
        assert_series(found, FOURTEEN[:length])


@pytest.mark.parametrize("kept", [0, PERIOD], ids=["first", "further"])
def test_whatever_put_fails_readers_see_the_old_or_the_new_series_and_the_next_run_goes_on(
    ten: LocalFolder, tmp_path: Path, kept: int
) -> None:
    if kept:
        with suppress(StorageError):
            optimize(WatchedFolder(ten.root, refused_from=PUTS_OF_FIRST))
    assert length_of_series(ten) == kept
    undisturbed = LocalFolder(tmp_path / "undisturbed")
    shutil.copytree(ten.root, undisturbed.root)
    optimize(undisturbed)
    for refused in range(PUTS if kept else PUTS_OF_FIRST):
        store = LocalFolder(tmp_path / str(refused))
        shutil.copytree(ten.root, store.root)
        reader = Reader(store)
        with pytest.raises(StorageError):
            optimize(WatchedFolder(store.root, refused_from=refused, after=reader.look))
        reader.look()
        assert length_of_series(store) == kept

        optimize(WatchedFolder(store.root, after=reader.look))

        reader.look()
        assert reader.lengths == {"root": 8, "alone": 8}
        assert objects(store) == objects(undisturbed)


@pytest.mark.parametrize("killed_at", [4, PUTS_OF_FIRST - 1, PUTS_OF_FIRST + 3])
def test_a_run_that_is_killed_is_continued_by_the_next(ten: LocalFolder, killed_at: int) -> None:
    process = get_context("fork").Process(target=_optimize_until_killed, args=(ten.root, killed_at))
    process.start()
    process.join()
    assert process.exitcode == 9
    reader = Reader(ten)
    reader.look()

    report = optimize(WatchedFolder(ten.root, after=reader.look))

    assert report.optimised == (8 if killed_at < PUTS_OF_FIRST else 4)
    assert_series(in_group(ten), TEN[:8])


def _optimize_until_killed(root: Path, at: int) -> None:
    def end() -> None:
        if len(folder.puts) == at:
            os._exit(9)

    folder = WatchedFolder(root, after=end)
    optimize(folder)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[30] ^= 0x10
    path.write_bytes(data)


def swapped(path: Path) -> None:
    path.write_bytes((path.parents[2] / "8/0/0").read_bytes())


@pytest.mark.parametrize("damage", [flipped, swapped, Path.unlink])
def test_a_damaged_frame_never_gets_into_it(
    ten: LocalFolder, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert callable(damage)
    damage(group_path(ten) / "ndvi/c/5/0/0")

    with pytest.raises(IncompatibleError, match="damaged"):
        optimize(ten)

    assert length_of_series(ten) == 4
    assert_series(in_group(ten), TEN[:4])
    assert_series(alone(ten), TEN[:4])


def test_another_period_is_not_mixed_into_it(ten: LocalFolder) -> None:
    optimize(ten)
    inventory = recover(ten, FOLDER)
    assert inventory is not None

    assert SeriesWriter(inventory, 7).series.period == PERIOD


def test_remains_of_a_first_run_do_not_disturb_one_with_another_period(ten: LocalFolder) -> None:
    with pytest.raises(StorageError):
        optimize(WatchedFolder(ten.root, refused_from=PUTS_OF_FIRST - 1))
    assert_series(alone(ten), TEN[:4])
    inventory = recover(ten, FOLDER)
    assert inventory is not None

    SeriesWriter(inventory, 7)

    assert not list((group_path(ten) / "series").rglob("zarr.json"))


def test_a_damaged_series_is_refused(ten: LocalFolder) -> None:
    optimize(ten)
    path = group_path(ten) / "zarr.json"
    document = json.loads(path.read_text())
    del document["consolidated_metadata"]["metadata"]["series/time"]
    path.write_text(json.dumps(document))

    with pytest.raises(IncompatibleError, match=r"the series in .* is damaged"):
        optimize(ten)


def rebuild(store: LocalFolder, numbers: Sequence[int]) -> None:
    appender = Appender(store, side_folder(FOLDER), replace(WIDE, keys="v2"))
    for each in frames(numbers, WIDE):
        appender.append(each)
    appender.commit()
    prepare_replacing(store, FOLDER)
    finish_replacing(store, FOLDER)


@pytest.mark.parametrize("kind", [WatchedFolder, WithoutExchange])
def test_a_rebuilt_archive_begins_a_new_one_while_who_opened_the_old_one_reads_on(
    ten: LocalFolder, kind: type[WatchedFolder]
) -> None:
    optimize(ten)
    opened, opened_alone = in_group(ten), alone(ten)
    numbers = (1, 2, 3, 5, 6, 7, 8, 9, 10)

    rebuild(kind(ten.root), numbers)

    assert length_of_series(ten) == 0
    assert not list((group_path(ten) / "series").rglob("zarr.json"))
    for found in (opened, opened_alone):
        assert_series(found, TEN[:8])
    optimize(kind(ten.root))
    assert_series(in_group(ten), numbers[:8])
    assert_series(alone(ten), numbers[:8])
    for found in (opened, opened_alone):
        assert_series(found, TEN[:8])
    ten.put(
        f"{FOLDER}/.outdated", json.dumps({"since": datetime(2020, 1, 1, tzinfo=UTC).isoformat()}).encode()
    )
    purge_outdated(ten, FOLDER)
    series = group_path(ten) / "series"
    assert not [
        path for path in series.rglob("*") if path.is_file() and path.relative_to(series).parts[1:2] == ("c",)
    ]
    assert_series(in_group(ten), numbers[:8])


@pytest.mark.parametrize("kind", [WatchedFolder, WithoutExchange])
def test_at_every_write_of_a_rebuild_who_opened_the_series_reads_on(
    ten: LocalFolder, tmp_path: Path, kind: type[WatchedFolder]
) -> None:
    optimize(ten)
    refused = 0
    while True:
        store = LocalFolder(tmp_path / str(refused))
        shutil.copytree(ten.root, store.root)
        opened = in_group(store)
        folder = kind(store.root, refused_from=refused + 9 + 3 + 9 + 14)
        try:
            rebuild(folder, TEN[1:])
        except StorageError:
            recover(kind(store.root), FOLDER)
        else:
            break
        finally:
            assert_series(opened, TEN[:8])
        assert length_of_series(store) in (0, 8)
        refused += 3
    assert refused > 9


def test_it_is_written_again_where_that_is_asked_for(ten: LocalFolder) -> None:
    optimize(ten)
    whole = objects(ten)
    group = group_path(ten) / "series"
    flipped(group / "ndvi/c/1/1/0")
    (group / "ndvi/c/0/0/0").unlink()
    (group / "time/c/0").unlink()
    (group / "latitude/c/0").unlink()
    (group / "satellite/zarr.json").unlink()
    (group / "zarr.json").write_text("{}")

    report = optimize(ten, rewrite=True)

    assert (report.optimised, report.rewritten, report.in_series) == (0, 8, 8)
    assert objects(ten) == whole


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    clean(endpoint)
    for name, value in variables(endpoint).items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/series"


@pytest.mark.parametrize("refused", [1, PUTS_OF_FIRST - 1, PUTS_OF_FIRST + 2])
def test_in_a_bucket_as_well(bucket: str, refused: int) -> None:
    archive_frames(Bucket(bucket), TEN)
    store = WatchedBucket(bucket, refused_from=refused)
    with store.lease(FOLDER), pytest.raises(StorageError):
        optimize(store)
    assert length_of_series(store) == (4 if refused >= PUTS_OF_FIRST else 0)

    store = WatchedBucket(bucket)
    with store.lease(FOLDER):
        optimize(store)

    assert_series(zarr.open_group(store.zarr(f"{FOLDER}/ndvi.zarr/series"), mode="r"), TEN[:8])
    root = zarr.open_group(store.zarr(f"{FOLDER}/ndvi.zarr"), mode="r")["series"]
    assert isinstance(root, zarr.Group)
    assert_series(root, TEN[:8])


def test_a_writer_that_lost_its_lease_in_a_bucket_overwrites_nothing(bucket: str) -> None:
    archive_frames(Bucket(bucket), TEN)
    late, other = Bucket(bucket), Bucket(bucket)
    root = f"{FOLDER}/ndvi.zarr/zarr.json"
    with late.lease(FOLDER):
        inventory = recover(late, FOLDER)
        assert inventory is not None
        other.put(root, (other.get(root) or b"") + b" ")
        with pytest.raises(BusyError, match="another run has written"):
            extend(inventory, Optimization("Europe", bucket, PERIOD), SeriesReport("Europe", bucket))
    assert length_of_series(other) == 0
