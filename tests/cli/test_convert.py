"""`ndvi-archive convert` and `info` as a user runs them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from tests.conftest import BBOX
from tests.program import contents, convert, run, with_login, with_token


def expected_values(frame: SceneFrame) -> np.ndarray:
    """What the archive must hold of a frame, computed in float64."""
    ndvi = frame.codes / 4095 * (frame.maximum - frame.minimum) + frame.minimum
    return np.rint(ndvi / 0.0001).astype(np.int16)


def stored(archive: Path) -> xr.Dataset:
    dataset: xr.Dataset = xr.open_zarr(archive / "europe/ndvi.zarr", mask_and_scale=False)
    return dataset.load()


def assert_holds(archive: Path, scenes: list[SceneFrame]) -> None:
    """Check times, satellites, numbers, scales and every pixel against the scenes."""
    dataset = stored(archive)
    assert dataset.time.values.tolist() == [frame.time.astype("datetime64[ns]").item() for frame in scenes]
    assert dataset.satellite.values.tolist() == [{"S3A": 1, "S3B": 2}[frame.satellite] for frame in scenes]
    assert dataset.frame_number.values.tolist() == list(range(1, len(scenes) + 1))
    assert dataset.source_min.values.tolist() == [frame.minimum for frame in scenes]
    assert dataset.source_max.values.tolist() == [frame.maximum for frame in scenes]
    np.testing.assert_array_equal(dataset.ndvi.values, np.stack([expected_values(frame) for frame in scenes]))


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_a_continent_is_archived_pixel_by_pixel(
    service: StandIn, scenes: list[SceneFrame], archive: Path, layout: str
) -> None:
    ended = convert(service, archive, "--layout", layout)

    assert ended.code == 0
    assert ended.out.startswith("Europe: 20 frames archived, 0 there before\n")
    assert_holds(archive, scenes)
    assert (archive / "catalog.json").exists()


def test_a_second_run_archives_nothing_and_leaves_every_byte(service: StandIn, archive: Path) -> None:
    convert(service, archive)
    before = contents(archive)

    ended = convert(service, archive)

    assert ended.code == 0
    assert ended.out.startswith("Europe: 0 frames archived, 20 there before\n")
    after = contents(archive)
    assert {key: after[key] for key in before} == before
    assert [key.split("/")[:2] for key in after.keys() - before.keys()] == [["europe", "runs"]]
    streams = [request for request in service.requests if request.path.startswith("/streams/")]
    assert len({request.path for request in streams}) == 1
    asked_before = len(streams)
    convert(service, archive)
    assert sum(request.path.startswith("/streams/") for request in service.requests) == asked_before


def test_a_longer_range_appends_only_the_new_frames(
    service: StandIn, scenes: list[SceneFrame], archive: Path
) -> None:
    convert(service, archive, "--start", "2021-03-01", "--end", "2021-03-04")
    assert_holds(archive, scenes[:8])
    frames = archive / "europe/ndvi.zarr/ndvi/c"
    before = {path: path.stat().st_mtime_ns for path in frames.rglob("*") if path.is_file()}

    ended = convert(service, archive)

    assert ended.out.startswith("Europe: 12 frames archived, 8 there before\n")
    assert_holds(archive, scenes)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_stream_that_grew_by_a_day_is_appended(
    service: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    service.streams["Europe"] = publish(scenes[:18], tmp_path / "yesterday", BBOX, Encoding(lossless=True))
    convert(service, archive)
    assert_holds(archive, scenes[:18])

    service.streams["Europe"] = europe
    ended = convert(service, archive)

    assert ended.out.startswith("Europe: 2 frames archived, 18 there before\n")
    assert_holds(archive, scenes)


def test_the_login_through_destinepyauth_is_enough(service: StandIn, archive: Path) -> None:
    ended = run(
        "convert", "Europe", "--archive", archive, "--end", "2021-03-01", variables=with_login(service)
    )

    assert ended.code == 0
    assert ended.out.startswith("Europe: 2 frames archived")


def test_a_dry_run_tells_the_plan_and_writes_nothing(service: StandIn, archive: Path) -> None:
    ended = convert(service, archive, "--start", "2021-03-02T09:00", "--end", "2021-03-03", "--dry-run")

    assert ended.code == 0
    assert "would archive 4 frames, 0 there already" in ended.out
    assert "S3A 2, S3B 2" in ended.out
    assert "grid 84 × 50, -11 to 31 °E, 35 to 60 °N" in ended.out
    assert not archive.exists()


def test_the_report_tells_all_figures(service: StandIn, archive: Path, tmp_path: Path) -> None:
    service.faults.nonfinite_scales = {3: ("inf", None)}
    ended = convert(service, archive, "--end", "2021-03-02", "--report", tmp_path / "run.json")
    report = json.loads((tmp_path / "run.json").read_text())

    assert ended.code == 0
    assert {name: report[name] for name in ("planned", "archived", "skipped", "empty")} == {
        "planned": 4,
        "archived": 4,
        "skipped": 0,
        "empty": 1,
    }
    assert report["satellites"] == {"S3A": 2, "S3B": 2}
    assert report["first_time"] < report["last_time"]
    assert report["bytes_in"] > 0
    written = {key: data for key, data in contents(archive).items() if "/runs/" not in key}
    assert report["bytes_out"] == sum(map(len, written.values()))
    assert set(report["seconds"]) == {"extract", "transform", "load", "catalog"}
    assert report["error"] is None
    assert "1 frame without data, archived as such" in ended.out


def test_a_frame_without_a_scale_is_kept_as_no_data(service: StandIn, archive: Path) -> None:
    service.faults.nonfinite_scales = {2: (float("inf"), float("-inf")), 3: (None, None)}
    convert(service, archive, "--end", "2021-03-02")
    dataset = xr.open_zarr(archive / "europe/ndvi.zarr")

    assert dataset.ndvi.isnull().all(("latitude", "longitude")).values.tolist() == [False, True, True, False]
    assert dataset.valid_fraction.values[1] == 0
    assert np.isnan(dataset.ndvi_mean.values[1])


def test_a_frame_object_deleted_by_hand_reads_as_nan(service: StandIn, archive: Path) -> None:
    convert(service, archive, "--end", "2021-03-02")
    (archive / "europe/ndvi.zarr/ndvi/c/1/0/0").unlink()
    dataset = xr.open_zarr(archive / "europe/ndvi.zarr")

    assert bool(dataset.ndvi.isel(time=1).isnull().all())
    assert not bool(dataset.ndvi.isel(time=0).isnull().any())


def test_without_a_start_frames_before_the_archive_are_not_late(service: StandIn, archive: Path) -> None:
    convert(service, archive, "--start", "2021-03-03", "--end", "2021-03-05")

    ended = convert(service, archive)

    assert ended.out.startswith("Europe: 10 frames archived, 6 there before\n")
    assert "late" not in ended.out + ended.err


def test_frames_whose_numbers_are_not_in_order_of_time_are_archived_in_order_of_time(
    service: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path
) -> None:
    first, second, *others = europe.images
    swapped = (replace(first, time=second.time), replace(second, time=first.time), *others)
    service.streams["Europe"] = replace(europe, images=tuple(reversed(swapped)))

    assert convert(service, archive).code == 0

    dataset = stored(archive)
    assert dataset.frame_number.values.tolist() == [2, 1, *range(3, 21)]
    np.testing.assert_array_equal(dataset.ndvi.values[0], expected_values(scenes[1]))
    np.testing.assert_array_equal(dataset.ndvi.values[1], expected_values(scenes[0]))


def test_frames_before_the_archive_began_are_told_in_one_line(service: StandIn, archive: Path) -> None:
    convert(service, archive, "--start", "2021-03-03")

    ended = convert(service, archive, "--start", "2021-03-01")

    assert ended.code == 0
    assert ended.err.count("WARNING") == 1
    assert "4 frames are older than the archive's first and so not archived" in ended.err


def test_an_archive_keeps_its_layout_and_says_so(service: StandIn, archive: Path) -> None:
    convert(service, archive, "--end", "2021-03-01")

    ended = convert(service, archive, "--layout", "flat")

    assert ended.code == 0
    assert "the archive's layout is sharded and stays so" in ended.err


def test_info_tells_what_the_archive_holds(service: StandIn, archive: Path) -> None:
    convert(service, archive)

    text = run("info", "--archive", archive).out
    figures = json.loads(run("info", "--archive", archive, "Europe", "--json").out)

    assert text.startswith("Europe: 20 frames; S3A 10, S3B 10\n  from 2021-03-01 09:49 to 2021-03-10 10:")
    assert figures[0]["frames"] == 20
    assert figures[0]["bytes"] == sum(map(len, contents(archive / "europe/ndvi.zarr").values()))
    assert figures[0]["bbox"] == list(BBOX)


def test_quiet_tells_nothing_but_the_summary(service: StandIn, archive: Path) -> None:
    ended = run("-q", "convert", "Europe", "--archive", archive, variables=with_token(service))

    assert ended.err == ""
    assert ended.out.startswith("Europe: 20 frames archived")


def test_options_can_be_given_as_variables(service: StandIn, archive: Path) -> None:
    given = {"NDVI_ARCHIVE_ARCHIVE": str(archive), "NDVI_ARCHIVE_END": "2021-03-01"}

    ended = run("convert", "Europe", variables=with_token(service) | given)

    assert ended.out.startswith("Europe: 2 frames archived")


def test_hls_is_archived_like_mp4(
    service: StandIn, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    encoding = Encoding("hls-ts", lossless=True, gop=5, segment_seconds=0.2)
    service.streams["Europe"] = publish(scenes, tmp_path / "hls", BBOX, encoding)

    assert convert(service, archive).code == 0
    assert_holds(archive, scenes)
