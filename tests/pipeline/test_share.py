"""Shares of a stream: where they begin, and that a worker writes for nobody but the run it works for."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest

from etl.demo.service import StandIn
from etl.errors import StorageError
from etl.extract.api import Listing
from etl.extract.frame import FrameEntry, Scale
from etl.load.folder import LocalFolder
from etl.load.schema import Schema, empty_group
from etl.pipeline.share import Share, archive_share, cut
from etl.transform.grid import Grid
from tests.conftest import BBOX


def entries(numbers: Sequence[int]) -> tuple[FrameEntry, ...]:
    first = datetime(2021, 3, 1, tzinfo=UTC)
    return tuple(
        FrameEntry(number, first + timedelta(days=day), "S3A", Scale(0.0, 1.0))
        for day, number in enumerate(numbers)
    )


def every(frames: int) -> Callable[[int], int]:
    """Key frames of groups of so many frames."""
    return lambda number: (number - 1) // frames * frames + 1


def shares(numbers: Sequence[int], size: int, key: Callable[[int], int | None]) -> list[list[int]]:
    return [[entry.number for entry in part] for part in cut(entries(numbers), size, key)]


def test_shares_begin_at_key_frames() -> None:
    assert shares(range(1, 25), 10, every(8)) == [[*range(1, 9)], [*range(9, 17)], [*range(17, 25)]]


def test_groups_shorter_than_a_share_are_kept_whole() -> None:
    assert shares(range(3, 23), 9, every(4)) == [[*range(3, 9)], [*range(9, 21)], [21, 22]]


def test_a_key_frame_a_little_later_will_do() -> None:
    parts = shares(range(1, 21), 7, lambda number: 9 if number == 8 else 17)
    assert parts == [[*range(1, 9)], [*range(9, 17)], [*range(17, 21)]]
    assert shares(range(1, 11), 8, lambda number: 13) == [[*range(1, 11)]]


def test_without_known_key_frames_shares_are_equally_long() -> None:
    assert shares(range(1, 21), 8, lambda number: None) == [[*range(1, 9)], [*range(9, 17)], [*range(17, 21)]]


def test_one_long_group_is_one_share() -> None:
    assert shares(range(5, 105), 8, every(250)) == [[*range(5, 105)]]


def test_fewer_frames_than_a_share_are_one_share_and_none_are_none() -> None:
    assert shares([4, 5], 8, every(4)) == [[4, 5]]
    assert shares([], 8, every(4)) == []


def test_a_share_begins_at_the_first_wanted_frame_of_a_group() -> None:
    wanted = [*range(1, 7), *range(12, 40)]
    assert shares(wanted, 8, every(8))[:3] == [[*range(1, 7)], [*range(12, 17)], [*range(17, 25)]]


def test_where_numbers_step_back_a_share_does_not_reach_beyond_the_step() -> None:
    assert shares([*range(41, 51), *range(1, 11)], 12, every(250)) == [[*range(41, 51)], [*range(1, 11)]]


def test_every_frame_is_in_exactly_one_share_in_order() -> None:
    numbers = [*range(1, 30), *range(700, 720), *range(100, 150, 3)]
    for size in range(1, 20):
        for group in (1, 3, 8, 250):
            assert [*chain(*shares(numbers, size, every(group)))] == numbers


@pytest.fixture
def share(service: StandIn, store: LocalFolder) -> Share:
    stream = service.streams["Europe"]
    listing = Listing(
        *("Europe", stream.columns, stream.rows, BBOX),
        f"{service.url}/streams/Europe/{stream.file.name}",
        (),
    )
    root = json.loads(empty_group(Schema("Europe", Grid(stream.columns, stream.rows, BBOX), 12))["zarr.json"])
    return Share(
        archive=str(store.root),
        folder="europe",
        holder="process 1 on here since then",
        group="europe/ndvi.zarr",
        arrays={"ndvi": root["consolidated_metadata"]["metadata"]["ndvi"]},
        first=3,
        entries=entries([4, 5]),
        bits=12,
        threads=1,
        writers=1,
        listing=listing,
    )


def lease(process: int) -> bytes:
    return json.dumps({"process": process, "host": "here", "since": "then"}).encode()


def test_a_worker_writes_for_the_holder_of_the_lease(store: LocalFolder, share: Share) -> None:
    store.put("europe/.lease", lease(1))

    outcome = archive_share(share)

    assert outcome.error is None
    assert [written.entry.number for written in outcome.written] == [4, 5]
    assert sorted(store.keys("europe")) == [f"europe/ndvi.zarr/ndvi/c/{place}/0/0" for place in (3, 4)]


@pytest.mark.parametrize("found", [None, b"", lease(2)])
def test_a_worker_writes_nothing_where_the_lease_is_not_the_one_of_its_run(
    store: LocalFolder, share: Share, found: bytes | None
) -> None:
    if found is not None:
        store.put("europe/.lease", found)

    outcome = archive_share(share)

    assert isinstance(outcome.error, StorageError)
    assert "does not find this run's lease" in str(outcome.error)
    assert outcome.written == ()
    assert list(store.keys("europe")) == []


def test_a_worker_replaces_nothing_and_takes_what_is_there_already_as_its_own(
    store: LocalFolder, share: Share
) -> None:
    store.put("europe/.lease", lease(1))
    assert archive_share(share).error is None
    store.put("europe/ndvi.zarr/ndvi/c/4/0/0", b"another's")

    outcome = archive_share(share)

    assert [written.entry.number for written in outcome.written] == [4]
    assert "meanwhile; nothing of it was overwritten" in str(outcome.error)
    assert store.get("europe/ndvi.zarr/ndvi/c/4/0/0") == b"another's"


def test_a_share_does_not_tell_the_address_of_the_stream(share: Share) -> None:
    assert "secret" not in repr(share.at("http://host/stream.mp4?signature=secret"))
