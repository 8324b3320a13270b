"""Every oddity of the source is handled by the documented policy, and reported by name."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import Image, StandIn, Stream, publish
from tests.cli.test_convert import assert_holds, expected_values, stored
from tests.conftest import BBOX
from tests.program import Ended, contents, convert, run, with_token

ARCHIVED = 12
"""Frames that a first run archives."""


@pytest.fixture
def begun(service: StandIn, europe: Stream, archive: Path) -> StandIn:
    """The service after a first run: it has listed twelve of the twenty frames so far."""
    offer(service, europe, europe.images[:ARCHIVED])
    assert convert(service, archive).code == 0
    offer(service, europe, europe.images)
    return service


def offer(service: StandIn, stream: Stream, images: Sequence[Image]) -> None:
    service.streams["Europe"] = replace(stream, images=tuple(images))


def convert_and_report(service: StandIn, archive: Path, *arguments: str) -> tuple[Ended, dict[str, Any]]:
    path = archive.parent / "run.json"
    ended = convert(service, archive, "--report", path, *arguments)
    return ended, json.loads(path.read_text())


def numbers(names: list[str]) -> list[int]:
    return [int(name.split()[1]) for name in names]


def frame_objects(archive: Path) -> dict[str, bytes]:
    return contents(archive / "europe/ndvi.zarr/ndvi")


def test_a_late_frame_is_named_and_left_out(
    service: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    offer(service, europe, [image for image in europe.images[:ARCHIVED] if image.number != 4])
    convert(service, archive)
    offer(service, europe, europe.images)

    ended, report = convert_and_report(service, archive)

    assert ended.code == 0
    assert numbers(report["late"]) == [4]
    assert "frame 4 (2021-03-02" in ended.err
    assert "1 frame late, not archived: frame 4 (" in ended.out
    assert stored(archive).frame_number.values.tolist() == [1, 2, 3, *range(5, 21)]


def test_frames_that_may_still_settle_are_left_for_a_later_run(
    service: StandIn, europe: Stream, archive: Path
) -> None:
    now = np.datetime64("now", "s")
    recent = [
        replace(image, time=now - np.timedelta64(20 - image.number, "D") - np.timedelta64(1, "h"))
        for image in europe.images
    ]
    offer(service, europe, recent)

    ended, report = convert_and_report(service, archive, "--settle", "5")

    assert ended.code == 0
    assert report["archived"] == 15
    assert convert_and_report(service, archive)[1]["archived"] == 5


def test_a_frame_with_another_scale_is_kept_as_archived_and_named(
    begun: StandIn, europe: Stream, archive: Path
) -> None:
    before = frame_objects(archive)
    changed = replace(europe.images[6], maximum=europe.images[6].maximum + 0.01)
    offer(begun, europe, [*europe.images[:6], changed, *europe.images[7:ARCHIVED]])

    ended, report = convert_and_report(begun, archive)

    assert ended.code == 0
    assert numbers(report["republished"]) == [7]
    assert "frame 7 (2021-03-04" in ended.err
    assert frame_objects(archive) == before


def test_a_newest_frame_with_other_pixels_is_named_and_the_new_ones_are_appended(
    begun: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    other = replace(scenes[ARCHIVED - 1], codes=scenes[ARCHIVED - 1].codes[::-1])
    shown = [*scenes[: ARCHIVED - 1], other, *scenes[ARCHIVED:]]
    begun.streams["Europe"] = publish(shown, tmp_path / "anew", BBOX, Encoding(lossless=True, gop=8))

    ended, report = convert_and_report(begun, archive)

    assert ended.code == 0
    assert numbers(report["republished"]) == [ARCHIVED]
    assert_holds(archive, scenes)


@pytest.mark.parametrize("container", ["mp4", "hls-ts"])
def test_a_stream_whose_numbering_shifted_while_the_dates_stayed_is_refused(
    begun: StandIn,
    scenes: list[SceneFrame],
    archive: Path,
    tmp_path: Path,
    container: Literal["mp4", "hls-ts"],
) -> None:
    before = frame_objects(archive)
    encoding = Encoding(container, lossless=True, gop=4, segment_seconds=0.16)
    shifted = publish([*scenes[1:], scenes[-1]], tmp_path / "shifted", BBOX, encoding)
    begun.streams["Europe"] = replace(shifted, images=begun.streams["Europe"].images)

    ended = convert(begun, archive)

    assert ended.code == 4
    assert "frame 12 (2021-03-06" in ended.error
    assert "numbering has shifted" in ended.error
    assert "--rebuild" in ended.error
    assert frame_objects(archive) == before
    assert_holds(archive, scenes[:ARCHIVED])


def test_frames_with_new_numbers_that_show_what_they_did_are_gone_on_with(
    begun: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    stream = publish(scenes[2:], tmp_path / "shorter", BBOX, Encoding(lossless=True, gop=8))
    begun.streams["Europe"] = stream

    ended, report = convert_and_report(begun, archive)

    assert ended.code == 0
    assert numbers(report["renumbered"]) == list(range(1, ARCHIVED - 1))
    assert numbers(report["withdrawn"]) == [1, 2]
    dataset = stored(archive)
    assert dataset.frame_number.values.tolist() == [*range(1, ARCHIVED + 1), *range(11, 19)]
    np.testing.assert_array_equal(dataset.ndvi.values, np.stack([*map(expected_values, scenes)]))


def test_frames_the_service_no_longer_lists_stay_archived_and_are_named(
    begun: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    offer(begun, europe, [image for image in europe.images if image.number not in (3, 5)])

    ended, report = convert_and_report(begun, archive)

    assert ended.code == 0
    assert numbers(report["withdrawn"]) == [3, 5]
    assert_holds(archive, scenes)


def test_a_service_that_lists_nothing_any_more_is_told_and_nothing_is_lost(
    begun: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    offer(begun, europe, [])

    ended, report = convert_and_report(begun, archive)

    assert ended.code == 0
    assert len(report["withdrawn"]) == ARCHIVED
    assert_holds(archive, scenes[:ARCHIVED])


def test_dates_without_anything_new_are_well(begun: StandIn, archive: Path) -> None:
    ended, report = convert_and_report(begun, archive, "--start", "2021-04-01")

    assert ended.code == 0
    assert report["archived"] == 0
    assert ended.err.count("WARNING") == 0


def test_without_a_listed_archived_frame_the_numbering_is_said_to_be_unchecked(
    begun: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    offer(begun, europe, europe.images[ARCHIVED:])

    ended = convert(begun, archive)

    assert ended.code == 0
    assert "the numbering cannot be checked" in ended.err
    assert_holds(archive, scenes)


@pytest.mark.parametrize(("policy", "left_out"), [("first", 6), ("last", 5)])
def test_of_two_frames_of_one_satellite_at_one_time_one_is_left_out_by_name(
    service: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path, *, policy: str, left_out: int
) -> None:
    fifth, sixth = europe.images[4:6]
    both = replace(sixth, time=fifth.time, satellite=fifth.satellite)
    offer(service, europe, [*europe.images[:5], both, *europe.images[6:]])

    ended, report = convert_and_report(service, archive, "--duplicates", policy)

    assert ended.code == 0
    assert numbers(report["duplicates"]) == [left_out]
    kept = [number for number in range(1, 21) if number != left_out]
    dataset = stored(archive)
    assert dataset.frame_number.values.tolist() == kept
    shown = np.stack([expected_values(scenes[number - 1]) for number in kept])
    np.testing.assert_array_equal(dataset.ndvi.values, shown)
    assert convert_and_report(service, archive, "--duplicates", policy)[1]["late"] == []


def test_two_frames_of_one_satellite_at_one_time_can_be_refused(
    service: StandIn, europe: Stream, archive: Path
) -> None:
    both = replace(europe.images[5], time=europe.images[4].time, satellite=europe.images[4].satellite)
    offer(service, europe, [*europe.images[:5], both])

    ended = convert(service, archive, "--duplicates", "refuse")

    assert ended.code == 4
    assert "two frames of one satellite at one time: frame 5 " in ended.error
    assert not (archive / "europe/ndvi.zarr").exists()


def test_a_frame_that_is_listed_twice_alike_is_one_frame(
    service: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    offer(service, europe, [*europe.images, *europe.images[3:6]])

    ended, report = convert_and_report(service, archive)

    assert ended.code == 0
    assert report["duplicates"] == []
    assert_holds(archive, scenes)


def test_a_number_that_stands_for_two_frames_is_refused(
    service: StandIn, europe: Stream, archive: Path
) -> None:
    offer(service, europe, [*europe.images[:5], replace(europe.images[5], number=5)])

    ended = convert(service, archive)

    assert ended.code == 4
    assert "img_number 5 twice" in ended.error


def test_a_grid_that_changed_is_refused_and_what_to_do_is_said(
    begun: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    begun.streams["Europe"] = replace(europe, bbox=(-11.0, 35.0, 31.0, 61.0))

    ended = convert(begun, archive)

    assert ended.code == 6
    assert "84 × 50 over -11, 35, 31, 61" in ended.error
    assert "--rebuild" in ended.error
    assert_holds(archive, scenes[:ARCHIVED])


@pytest.mark.parametrize(("days", "stale"), [("36500", False), ("5", True)])
def test_an_archive_without_a_newer_frame_for_long_is_stale(
    begun: StandIn, archive: Path, days: str, stale: bool
) -> None:
    ended, report = convert_and_report(begun, archive, "--stale-after", days)

    assert ended.code == 0
    assert report["stale"] is stale
    assert ("is stale: its newest frame is" in ended.err) is stale
    assert report["newest_time"].startswith("2021-03-10T")


@pytest.mark.parametrize("arguments", [(), ("--start", "2021-03-07")])
def test_a_shift_is_noticed_whatever_dates_are_asked_for(
    begun: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    shifted = publish([*scenes[1:], scenes[-1]], tmp_path / "shifted", BBOX, Encoding(lossless=True))
    begun.streams["Europe"] = replace(shifted, images=begun.streams["Europe"].images)

    assert convert(begun, archive, *arguments).code == 4

    assert_holds(archive, scenes[:ARCHIVED])


def test_a_shift_is_noticed_behind_a_newest_frame_without_a_picture(
    service: StandIn, archive: Path, scenes: list[SceneFrame], tmp_path: Path
) -> None:
    blank = [*scenes]
    for position in (ARCHIVED - 1, ARCHIVED):
        blank[position] = replace(scenes[position], codes=np.zeros_like(scenes[position].codes))
    stream = publish(blank, tmp_path / "blank", BBOX, Encoding(lossless=True))
    offer(service, stream, stream.images[:ARCHIVED])
    assert convert(service, archive).code == 0
    shifted = publish([*blank[1:], blank[-1]], tmp_path / "shifted", BBOX, Encoding(lossless=True))
    offer(service, shifted, stream.images)

    assert convert(service, archive).code == 4

    assert_holds(archive, blank[:ARCHIVED])


def test_a_frame_that_vanished_from_the_video_is_noticed_though_older_ones_stayed(
    begun: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    without = [*scenes[: ARCHIVED - 2], *scenes[ARCHIVED - 1 :], scenes[-1]]
    stream = publish(without, tmp_path / "without", BBOX, Encoding(lossless=True))
    begun.streams["Europe"] = replace(stream, images=begun.streams["Europe"].images)

    assert convert(begun, archive).code == 4

    assert_holds(archive, scenes[:ARCHIVED])


def test_another_bit_depth_is_refused_as_such(
    begun: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    coarse = [replace(scene, codes=(scene.codes >> 2).astype(np.uint16)) for scene in scenes]
    encoding = Encoding(pixel_format="gray10le", lossless=True)
    begun.streams["Europe"] = publish(coarse, tmp_path / "coarse", BBOX, encoding)

    ended = convert(begun, archive)

    assert ended.code == 6
    assert "10 bits" in ended.error


def test_a_frame_that_is_dated_ahead_is_left_out_by_name(
    begun: StandIn, europe: Stream, archive: Path
) -> None:
    ahead = replace(europe.images[-1], time=np.datetime64("2090-01-01T10:00:00"))
    offer(begun, europe, [*europe.images[:-1], ahead])

    ended, report = convert_and_report(begun, archive)

    assert ended.code == 0
    assert numbers(report["ahead"]) == [20]
    assert report["archived"] == 19 - ARCHIVED


def test_a_continent_under_another_name_than_in_the_archive_is_refused(begun: StandIn, archive: Path) -> None:
    before = contents(archive)

    ended = run("convert", "europe", "--archive", archive, variables=with_token(begun))

    assert ended.code == 2
    assert "holds Europe, not europe" in ended.error
    assert contents(archive) == before
