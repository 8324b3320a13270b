"""The newest archived frame cannot be read any more: an older one must show that the numbering holds."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from etl.extract.http import RETRIES
from tests.cli.test_convert import assert_holds
from tests.cli.test_honest_data import offer
from tests.conftest import BBOX
from tests.forked import started
from tests.program import contents, convert, with_token

ARCHIVED = 12
"""Frames that a first run archives: three segments."""

ON_OPENING = 1
"""How often each segment is asked for when the stream's start is looked at: it is read ahead."""

SEGMENTS = Encoding("hls-ts", lossless=True, gop=4, open_gop=False, b_frames=0, segment_seconds=0.16)
"""Four frames a segment, that need no other."""


@pytest.fixture(scope="module")
def segmented(scenes: list[SceneFrame], tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """The twenty frames in five segments."""
    return publish(scenes, tmp_path_factory.mktemp("segments"), BBOX, SEGMENTS)


@pytest.fixture
def service(segmented: Stream) -> Iterator[StandIn]:
    with StandIn({"Europe": segmented}) as standing_in:
        yield standing_in


@pytest.fixture
def twelve(service: StandIn, segmented: Stream, archive: Path) -> StandIn:
    """The service after a first run: it has listed twelve of the twenty frames so far."""
    archive_first(service, segmented, archive)
    return service


def archive_first(service: StandIn, stream: Stream, archive: Path, count: int = ARCHIVED) -> None:
    offer(service, stream, stream.images[:count])
    code, records = converted(service, archive)
    assert code == 0, records
    offer(service, stream, stream.images)


def converted(service: StandIn, archive: Path, *options: str) -> tuple[int | None, list[dict[str, Any]]]:
    """Exit code and log of a `convert`."""
    err = archive.with_name("err")
    err.write_text("")
    arguments = ("--log-format", "json", "convert", "Europe", "--archive", str(archive), *options)
    process = started(*arguments, variables=with_token(service), err=err)
    process.join(120)
    return process.exitcode, [json.loads(line) for line in err.read_text().splitlines()]


def events(records: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [record for record in records if record["event"] == name]


def error(records: list[dict[str, Any]]) -> str:
    [record] = events(records, "error")
    return str(record["message"])


def segments(*numbers: int) -> frozenset[str]:
    return frozenset(f"stream{number:04}.ts" for number in numbers)


def asked_for(service: StandIn) -> list[str]:
    """Names of the files that were asked for."""
    return [
        request.path.rpartition("/")[2]
        for request in service.requests
        if request.path.startswith("/streams/")
    ]


def test_the_newest_is_read_with_the_new_frames_in_one_pass(
    twelve: StandIn, scenes: list[SceneFrame], archive: Path
) -> None:
    before = len(asked_for(twelve))

    assert converted(twelve, archive)[0] == 0

    assert_holds(archive, scenes)
    asked = asked_for(twelve)[before:]
    assert [asked.count(f"stream{number:04}.ts") for number in (2, 3, 4)] == 3 * [ON_OPENING + 1]


@pytest.mark.parametrize(("missing", "compared", "unchecked"), [((2,), 7, 5), ((1, 2), 1, 11)])
def test_where_its_segment_is_gone_an_older_one_is_compared_and_the_new_ones_are_appended(
    twelve: StandIn,
    scenes: list[SceneFrame],
    archive: Path,
    *,
    missing: tuple[int, ...],
    compared: int,
    unchecked: int,
) -> None:
    twelve.faults.missing = segments(*missing)

    code, records = converted(twelve, archive)

    assert code == 0, records
    assert_holds(archive, scenes)
    [warning] = events(records, "frames_unchecked")
    assert warning["level"] == "warning"
    assert warning["frames"] == unchecked
    assert warning["newest"] == "frame 12 (2021-03-06T10:34:09 S3B)"
    assert warning["compared"].startswith(f"frame {compared} (")
    assert "stream0002.ts answered 404" in warning["message"]
    assert warning["newest"] in warning["message"]
    assert converted(twelve, archive)[0] == 0


def test_where_it_is_damaged_an_older_one_is_compared(
    service: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    encoding = replace(SEGMENTS, container="mp4")
    stream = publish(scenes, tmp_path / "whole", BBOX, encoding)
    archive_first(service, stream, archive)
    with av.open(str(stream.file)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    damaged = packets[ARCHIVED - 1]
    with stream.file.open("r+b") as file:
        assert damaged.pos is not None
        file.seek(damaged.pos)
        file.write(b"\xff" * damaged.size)

    code, records = converted(service, archive)

    assert code == 0, records
    assert_holds(archive, scenes)
    [warning] = events(records, "frames_unchecked")
    assert warning["compared"].startswith("frame 11 (")
    assert "damaged" in warning["message"]


def test_many_workers_go_on_behind_it_too(
    service: StandIn, segmented: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    archive_first(service, segmented, archive, 8)
    service.faults.missing = segments(1)

    ended = convert(service, archive, "--workers", "1")

    assert ended.code == 0, ended.err
    assert "sharing the frames among 1 worker" in ended.err
    assert "could not be checked" in ended.err
    assert_holds(archive, scenes)


@pytest.mark.parametrize("options", [(), ("--workers", "1")])
def test_a_shift_is_noticed_by_an_older_one(
    twelve: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    before = contents(archive / "europe/ndvi.zarr")
    shifted = publish([*scenes[1:], scenes[-1]], tmp_path / "shifted", BBOX, SEGMENTS)
    twelve.streams["Europe"] = replace(shifted, images=twelve.streams["Europe"].images)
    twelve.faults.missing = segments(2)

    code, records = converted(twelve, archive, *options)

    assert code == 4
    assert "numbering has shifted" in error(records)
    assert contents(archive / "europe/ndvi.zarr") == before


def test_it_is_noticed_under_the_number_of_a_new_one(
    twelve: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    twice = [*scenes[:ARCHIVED], *scenes[ARCHIVED - 1 : -1]]
    stream = publish(twice, tmp_path / "twice", BBOX, SEGMENTS)
    twelve.streams["Europe"] = replace(stream, images=twelve.streams["Europe"].images)
    twelve.faults.missing = segments(2)

    code, records = converted(twelve, archive)

    assert code == 4
    assert "frame 12 (2021-03-06" in error(records)
    assert_holds(archive, scenes[:ARCHIVED])


def test_where_no_archived_frame_can_be_read_nothing_is_appended(
    service: StandIn, segmented: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    offer(service, segmented, segmented.images[4:ARCHIVED])
    assert converted(service, archive)[0] == 0
    offer(service, segmented, segmented.images[4:])
    before = contents(archive / "europe/ndvi.zarr")
    service.faults.missing = segments(1, 2)

    code, records = converted(service, archive)

    assert code == 4
    assert "frame 12 of " in error(records)
    assert "stream0002.ts answered 404" in error(records)
    assert contents(archive / "europe/ndvi.zarr") == before


def test_the_newest_with_other_pixels_is_reported_though_one_before_it_is_gone(
    service: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    one_each = replace(SEGMENTS, gop=1, segment_seconds=0.04)
    archive_first(service, publish(scenes, tmp_path / "first", BBOX, one_each), archive)
    other = replace(scenes[ARCHIVED - 1], codes=scenes[ARCHIVED - 1].codes[::-1])
    stream = publish(
        [*scenes[: ARCHIVED - 1], other, *scenes[ARCHIVED:]], tmp_path / "second", BBOX, one_each
    )
    service.streams["Europe"] = stream
    service.faults.missing = segments(10)

    code, records = converted(service, archive)

    assert code == 0, records
    [republished] = events(records, "frame_republished")
    assert republished["frame"].startswith("frame 12 (")
    [warning] = events(records, "frames_unchecked")
    assert warning["compared"].startswith("frame 9 (")
    assert_holds(archive, scenes)


def test_an_address_that_stays_expired_ends_the_run_without_older_ones_being_tried(
    twelve: StandIn, scenes: list[SceneFrame], archive: Path
) -> None:
    with StandIn(twelve.streams, signed_urls=True, url_seconds=-1) as service:
        code, records = converted(service, archive)

        assert code == 4
        assert "stream.m3u8 answered 403" in error(records)
        assert len(asked_for(service)) == 1 + RETRIES
    assert_holds(archive, scenes[:ARCHIVED])


def test_a_stream_that_changes_ends_the_run_without_older_ones_being_tried(
    segmented: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    with StandIn({"Europe": segmented}, signed_urls=True) as service:
        archive_first(service, segmented, archive)
        before = len(asked_for(service))
        asked = 0

        def listed_otherwise(answer: dict[str, Any]) -> dict[str, Any]:
            nonlocal asked
            asked += 1
            return answer if asked == 1 else answer | {"nx": 85}

        service.faults.metadata = listed_otherwise
        service.faults.missing = segments(2)

        code, records = converted(service, archive)

        assert code == 4
        assert "the stream changed while it was read" in error(records)
        assert asked_for(service)[before:].count("stream0001.ts") == ON_OPENING
    assert_holds(archive, scenes[:ARCHIVED])


def test_the_deadline_ends_the_run_without_older_ones_being_tried(
    twelve: StandIn, scenes: list[SceneFrame], archive: Path
) -> None:
    before = len(asked_for(twelve))
    twelve.faults.files = "stream0002.ts"
    twelve.faults.stall_after = 0

    code, records = converted(twelve, archive, "--deadline", "8")

    assert code == 4
    assert "the deadline of 8 seconds has passed" in error(records)
    assert twelve.faults.stalled.is_set()
    assert asked_for(twelve)[before:].count("stream0001.ts") == ON_OPENING
    assert_holds(archive, scenes[:ARCHIVED])
