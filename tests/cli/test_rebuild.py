"""`convert --rebuild` takes frames anew, and readers see the old archive or the new one, never a mixture."""

import json
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame, scene
from etl.demo.service import Image, StandIn, Stream, publish
from etl.load.folder import LocalFolder
from etl.load.generations import purge_outdated
from tests.cli.test_convert import assert_holds, expected_values, stored
from tests.conftest import BBOX
from tests.forked import clean_environment
from tests.program import PROGRAM, contents, convert, run, with_token


@pytest.fixture
def incomplete(service: StandIn, europe: Stream, archive: Path) -> StandIn:
    """The service with all frames, after an archive was made of all but the fourth, the ninth one changed."""
    listed = [image for image in europe.images if image.number != 4]
    listed[7] = replace(listed[7], maximum=listed[7].maximum + 0.02)
    offer(service, europe, listed)
    assert convert(service, archive).code == 0
    offer(service, europe, europe.images)
    return service


def offer(service: StandIn, stream: Stream, images: Sequence[Image]) -> None:
    service.streams["Europe"] = replace(stream, images=tuple(images))


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_late_and_republished_frames_get_in(
    incomplete: StandIn, scenes: list[SceneFrame], archive: Path, layout: str
) -> None:
    assert numbers_of(archive) == [1, 2, 3, *range(5, 21)]

    ended = convert(incomplete, archive, "--rebuild", "--layout", layout)

    assert ended.code == 0
    assert re.search(
        r"frame 4 \(.* is absent and older than the newest .*; the rebuild takes it\n", ended.err
    )
    assert re.search(r"frame 9 \(.* is archived with other values .*; the rebuild takes those\n", ended.err)
    assert "1 frame late, taken by the rebuild: frame 4 (" in ended.out
    assert "1 frame published again with other values, taken by the rebuild: frame 9 (" in ended.out
    assert_holds(archive, scenes)
    assert not (archive / "europe/.rebuild").exists()
    assert json.loads((archive / "europe/collection.json").read_text())["ndvi_archive:frames"] == 20
    again = convert(incomplete, archive)
    assert again.out.startswith("Europe: 0 frames archived, 20 there before\n")
    assert "WARNING" not in again.err


def test_whoever_opened_the_archive_before_goes_on_reading_what_they_opened(
    incomplete: StandIn, archive: Path
) -> None:
    opened = xr.open_zarr(archive / "europe/ndvi.zarr", mask_and_scale=False)
    before = stored(archive)

    assert convert(incomplete, archive, "--rebuild").code == 0
    assert convert(incomplete, archive).code == 0

    xr.testing.assert_identical(opened.load(), before)
    assert stored(archive).sizes["time"] == 20


def test_a_rebuilt_archive_is_appended_to_and_rebuilt_again(
    service: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    for listed in (10, 14, 20):
        offer(service, europe, europe.images[: listed - 2])
        assert convert(service, archive).code == 0
        offer(service, europe, europe.images[:listed])
        assert convert(service, archive, "--rebuild").code == 0
        assert_holds(archive, scenes[:listed])
        (archive / "europe/.outdated").unlink()
    without = zarr.open_group(archive / "europe/ndvi.zarr", mode="r", use_consolidated=False)
    array = without["ndvi"]
    assert isinstance(array, zarr.Array)
    np.testing.assert_array_equal(array[19], expected_values(scenes[19]))


def test_only_the_dates_asked_for_come_from_the_service(
    incomplete: StandIn, scenes: list[SceneFrame], archive: Path
) -> None:
    asked = len(incomplete.requests)

    ended = convert(incomplete, archive, "--rebuild", "--start", "2021-03-02", "--end", "2021-03-02")

    assert ended.code == 0
    assert numbers_of(archive) == list(range(1, 21))
    shown = stored(archive)
    np.testing.assert_array_equal(shown.ndvi.values[3], expected_values(scenes[3]))
    assert shown.source_max.values[8] == scenes[8].maximum + 0.02
    listings = [each.query for each in incomplete.requests[asked:] if "metadata" in each.path]
    assert listings == ["start_date=20210302T0000&end_date=20210303T0000"]


def test_frames_the_service_no_longer_lists_are_taken_over_from_the_archive(
    service: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    service.faults.nonfinite_scales = {2: ("inf", None)}
    assert convert(service, archive).code == 0
    offer(service, europe, [image for image in europe.images if image.number not in (1, 2, 13)])
    before = stored(archive)

    ended = convert(service, archive, "--rebuild")

    assert ended.code == 0
    assert re.search(r"frame 13 \(.* is archived and no longer listed .*; it stays archived\n", ended.err)
    assert "3 frames archived, and no longer listed by the service: frame 1 (" in ended.out
    after = stored(archive)
    xr.testing.assert_equal(after.drop_vars("archived_at"), before.drop_vars("archived_at"))


def test_a_dry_run_of_a_rebuild_tells_what_comes_from_where(incomplete: StandIn, archive: Path) -> None:
    ended = convert(incomplete, archive, "--rebuild", "--start", "2021-03-02", "--dry-run")

    assert ended.code == 0
    assert "would take 18 frames anew and 2 from the archive" in ended.out
    assert "late" not in ended.out


def test_a_rebuild_can_begin_earlier_than_the_archive(
    service: StandIn, scenes: list[SceneFrame], archive: Path
) -> None:
    convert(service, archive, "--start", "2021-03-05")

    assert convert(service, archive, "--rebuild", "--start", "2021-03-01").code == 0

    assert_holds(archive, scenes)


def test_a_rebuild_can_change_the_grid_where_the_service_still_has_all_frames(
    service: StandIn, archive: Path, tmp_path: Path
) -> None:
    convert(service, archive, "--end", "2021-03-05")
    finer = list(scene(100, 60, BBOX, date(2021, 3, 1), 10))
    service.streams["Europe"] = publish(finer, tmp_path / "finer", BBOX, Encoding(lossless=True))
    assert convert(service, archive).code == 6

    assert convert(service, archive, "--rebuild").code == 0

    assert_holds(archive, finer)
    (archive / "europe/.outdated").unlink()
    offer(
        service,
        replace(service.streams["Europe"], bbox=(-11.0, 35.0, 31.0, 61.0)),
        [image for image in service.streams["Europe"].images if image.number > 4],
    )
    refused = convert(service, archive, "--rebuild")
    assert refused.code == 6
    assert "4 archived frames" in refused.error
    assert_holds(archive, finer)


def test_a_rebuild_that_fails_leaves_the_archive_and_goes_on_where_it_was(
    incomplete: StandIn, scenes: list[SceneFrame], archive: Path
) -> None:
    before = stored(archive)
    stream = incomplete.streams["Europe"]
    incomplete.faults.truncate_to = stream.file.stat().st_size * 3 // 4

    failed = convert(incomplete, archive, "--rebuild", "--commit-frames", "2")

    assert failed.code == 4
    xr.testing.assert_identical(stored(archive), before)
    incomplete.faults.truncate_to = None
    assert convert(incomplete, archive).code == 0
    xr.testing.assert_identical(stored(archive), before)
    ended = convert(incomplete, archive, "--rebuild")
    assert ended.code == 0
    assert "rebuilt before" in ended.err
    assert ", 0 of them rebuilt before" not in ended.err
    assert_holds(archive, scenes)


def test_a_begun_rebuild_that_no_longer_fits_begins_anew(
    incomplete: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    offer(incomplete, europe, [replace(europe.images[0], maximum=0.7), *europe.images[1:]])
    incomplete.faults.truncate_to = europe.file.stat().st_size * 3 // 4
    assert convert(incomplete, archive, "--rebuild", "--commit-frames", "2").code == 4
    incomplete.faults.truncate_to = None
    offer(incomplete, europe, europe.images)

    ended = convert(incomplete, archive, "--rebuild")

    assert ended.code == 0
    assert "beginning anew" in ended.err
    assert_holds(archive, scenes)


def test_a_begun_rebuild_of_a_stream_that_has_shifted_since_begins_anew(
    incomplete: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    incomplete.faults.truncate_to = europe.file.stat().st_size * 3 // 4
    assert convert(incomplete, archive, "--rebuild", "--commit-frames", "2").code == 4
    incomplete.faults.truncate_to = None
    encoding = Encoding(lossless=True, gop=8)
    shifted = publish([*scenes[1:], scenes[-1]], tmp_path / "shifted", BBOX, encoding)
    offer(incomplete, shifted, europe.images)

    ended = convert(incomplete, archive, "--rebuild")

    assert ended.code == 0
    assert "numbering has shifted" in ended.err
    assert "beginning anew" in ended.err
    shown = stored(archive).ndvi.values
    for position in range(19):
        values = expected_values(replace_scale(scenes[position + 1], scenes[position]))
        np.testing.assert_array_equal(shown[position], values)


def test_a_begun_rebuild_of_other_dates_begins_anew(
    incomplete: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    other = [replace(scene, codes=scene.codes[::-1]) for scene in scenes]
    stream = publish(other, tmp_path / "other", BBOX, Encoding(lossless=True, gop=8))
    incomplete.streams["Europe"] = stream
    incomplete.faults.truncate_to = stream.file.stat().st_size * 3 // 4
    arguments = ("--rebuild", "--commit-frames", "2")
    assert convert(incomplete, archive, *arguments, "--start", "2021-03-05").code == 4
    incomplete.faults.truncate_to = None

    ended = convert(incomplete, archive, *arguments)

    assert ended.code == 0
    assert "beginning anew" in ended.err
    assert_holds(archive, other)


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_a_begun_rebuild_in_another_layout_begins_anew(
    incomplete: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path, layout: str
) -> None:
    incomplete.faults.truncate_to = europe.file.stat().st_size * 3 // 4
    arguments = ("--rebuild", "--commit-frames", "2")
    assert convert(incomplete, archive, *arguments, "--layout", layout).code == 4
    incomplete.faults.truncate_to = None

    ended = convert(incomplete, archive, *arguments, "--layout", "flat")

    assert ended.code == 0
    assert ("beginning anew" in ended.err) is (layout == "sharded")
    assert_holds(archive, scenes)


def test_a_second_rebuild_waits_until_no_reader_of_the_old_frames_is_left(
    incomplete: StandIn, scenes: list[SceneFrame], archive: Path
) -> None:
    assert convert(incomplete, archive, "--rebuild").code == 0

    again = convert(incomplete, archive, "--rebuild")

    assert again.code == 5
    assert "was rebuilt at" in again.error
    assert str(archive / "europe/.outdated") in again.error
    assert convert(incomplete, archive).code == 0
    assert_holds(archive, scenes)


def test_a_rebuild_that_is_asked_to_end_goes_on_later(
    incomplete: StandIn, scenes: list[SceneFrame], archive: Path
) -> None:
    before = stored(archive)
    incomplete.faults.stall_after = incomplete.streams["Europe"].file.stat().st_size * 3 // 4
    incomplete.faults.stall_times = -1
    with subprocess.Popen(
        [PROGRAM, "convert", "Europe", "--archive", archive, "--rebuild", "--commit-frames", "2"],
        env=clean_environment() | with_token(incomplete),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert incomplete.faults.stalled.wait(60)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 143, err
    xr.testing.assert_identical(stored(archive), before)
    incomplete.faults.stall_after = None
    assert convert(incomplete, archive, "--rebuild").code == 0
    assert_holds(archive, scenes)


def test_a_damaged_frame_of_other_dates_stays_as_it_is_and_verify_names_it(
    service: StandIn, europe: Stream, archive: Path
) -> None:
    convert(service, archive)
    shard = archive / "europe/ndvi.zarr/ndvi/c/0/0/0"
    shard.write_bytes((archive / "europe/ndvi.zarr/ndvi/c/1/0/0").read_bytes())

    assert convert(service, archive, "--rebuild", "--start", "2021-03-05").code == 0

    assert "frame 1 (2021-03-01" in run("verify", "--archive", archive).out


def test_a_missing_frame_of_other_dates_cannot_be_taken_over(service: StandIn, archive: Path) -> None:
    convert(service, archive)
    (archive / "europe/ndvi.zarr/ndvi/c/0/0/0").unlink()

    ended = convert(service, archive, "--rebuild", "--start", "2021-03-05")

    assert ended.code == 6
    assert "frame 1 (2021-03-01" in ended.error
    assert convert(service, archive, "--rebuild", "--end", "2021-03-05").code == 0


def test_withdrawn_frames_are_dropped_when_that_is_asked_for(
    service: StandIn, europe: Stream, archive: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    convert(service, archive)
    offer(service, europe, [image for image in europe.images if image.number not in (2, 9)])

    ended = convert(
        service, archive, "--rebuild", "--drop-withdrawn", "--end", "2021-03-04", "--report", report
    )

    assert ended.code == 0
    assert re.search(r"frame 2 \(.* is archived and no longer listed .*; the rebuild drops it\n", ended.err)
    assert "stays archived" not in ended.err
    assert "1 frame no longer listed by the service, dropped: frame 2 (" in ended.out
    figures = json.loads(report.read_text())
    assert (figures["dropped"], len(figures["withdrawn"])) == (1, 1)
    assert numbers_of(archive) == [1, *range(3, 21)]


def test_a_rebuild_of_dates_without_frames_is_refused(incomplete: StandIn, archive: Path) -> None:
    before = contents(archive / "europe/ndvi.zarr")

    ended = convert(incomplete, archive, "--rebuild", "--start", "2025-01-01")

    assert ended.code == 4
    assert "has no frames of Europe from 2025-01-01" in ended.error
    assert contents(archive / "europe/ndvi.zarr") == before


def test_replaced_objects_are_removed_by_a_run_half_a_day_later(incomplete: StandIn, archive: Path) -> None:
    convert(incomplete, archive, "--rebuild")
    group = archive / "europe/ndvi.zarr"
    assert (group / "ndvi/c").exists()
    note = archive / "europe/.outdated"
    purge_outdated(LocalFolder(archive), "europe")
    assert (group / "ndvi/c/0/0/0").exists()

    note.write_text(json.dumps({"since": "2026-01-01T00:00:00+00:00"}))
    assert convert(incomplete, archive).code == 0

    assert not [path for path in group.rglob("c/*") if path.is_file()]
    assert not note.exists()
    assert stored(archive).sizes["time"] == 20


def numbers_of(archive: Path) -> list[int]:
    numbers: list[int] = stored(archive).frame_number.values.tolist()
    return numbers


def replace_scale(frame: SceneFrame, scale: SceneFrame) -> SceneFrame:
    return replace(frame, minimum=scale.minimum, maximum=scale.maximum)
