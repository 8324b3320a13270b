"""Which frames and which pixels a selection takes."""

import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from dask.base import is_dask_collection

from etl.analysis.region import box, point
from etl.analysis.selection import Selection
from etl.errors import UsageError
from etl.load.schema import Schema
from etl.transform.grid import Grid
from tests.load.archives import frames

from .archives import Archived, archived


def test_without_choices_it_is_all_that_is_archived(by_frames: Archived) -> None:
    dataset = Selection(by_frames.place, "Europe").open()

    assert is_dask_collection(dataset.ndvi)
    np.testing.assert_array_equal(dataset.ndvi.values, by_frames.ndvi())
    assert dataset.satellite.values.tolist() == by_frames.satellites.tolist()


@pytest.mark.parametrize("first", [0, 3, 9])
@pytest.mark.parametrize("last", [0, 5, 9])
def test_a_period_includes_its_first_and_its_last_second(by_frames: Archived, first: int, last: int) -> None:
    times = by_frames.times
    start, end = (times[place].astype(datetime).replace(tzinfo=UTC) for place in (first, last))
    wanted = np.flatnonzero((times >= times[first]) & (times <= times[last]))
    selection = Selection(by_frames.place, "Europe", start, end)

    if not wanted.size:
        with pytest.raises(UsageError, match=r"the start .* is after the end"):
            selection.open()
        return
    np.testing.assert_array_equal(selection.open().ndvi.values, by_frames.ndvi()[wanted])


def test_a_second_later_or_earlier_leaves_them_out(by_frames: Archived) -> None:
    first, last = (by_frames.times[place].astype(datetime).replace(tzinfo=UTC) for place in (0, -1))
    second = timedelta(seconds=1)

    inner = Selection(by_frames.place, "Europe", first + second, last - second).open()

    assert inner.time.values[0] > by_frames.times[0]
    assert inner.time.values[-1] < by_frames.times[-1]
    kept = (by_frames.times > by_frames.times[0]) & (by_frames.times < by_frames.times[-1])
    assert inner.sizes["time"] == kept.sum() < 10


def test_times_are_utc_unless_they_say_otherwise(
    by_frames: Archived, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment: datetime = by_frames.times[4].astype(datetime)
    elsewhere = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=-9)))
    try:
        with monkeypatch.context() as patched:
            patched.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            for start in (moment, moment.replace(tzinfo=UTC), elsewhere):
                dataset = Selection(by_frames.place, "Europe", start, start).open()
                assert set(dataset.time.values) == {by_frames.times[4]}
    finally:
        time.tzset()


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (datetime(9999, 6, 1), None),
        (None, datetime(1, 1, 1)),
        (datetime(2262, 4, 12), datetime(9999, 12, 31)),
    ],
)
def test_dates_of_any_year_are_compared_as_they_are(
    by_frames: Archived, start: datetime | None, end: datetime | None
) -> None:
    with pytest.raises(UsageError, match=r"it has 10 of S3A and S3B, 2025-01-02 to 2025-01-\d\d; choose"):
        Selection(by_frames.place, "Europe", start, end).open()

    whole = Selection(by_frames.place, "Europe", datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)).open()
    assert whole.sizes["time"] == 10


def test_one_satellite_can_be_chosen(by_frames: Archived) -> None:
    dataset = Selection(by_frames.place, "Europe", satellite="S3B").open()

    wanted = by_frames.satellites == "S3B"
    np.testing.assert_array_equal(dataset.ndvi.values, by_frames.ndvi()[wanted])
    with pytest.raises(UsageError, match="Europe has no such frames"):
        Selection(by_frames.place, "Europe", satellite="S3C").open()


@pytest.mark.parametrize("layout", ["frames", "series"])
def test_period_satellite_region_and_mask_go_together(
    with_series: Archived, layout: Literal["frames", "series"]
) -> None:
    start = with_series.times[2].astype(datetime)
    region = box(-5, 40, 10, 60)
    selection = Selection(with_series.place, "Europe", start, None, "S3A", region, mask=0.3)

    dataset = selection.open(layout)

    grid = with_series.schema.grid
    rows = (grid.latitude >= 40) & (grid.latitude <= 60)
    columns = (grid.longitude >= -5) & (grid.longitude <= 10)
    kept = (with_series.times >= with_series.times[2]) & (with_series.satellites == "S3A")
    np.testing.assert_allclose(
        dataset.ndvi.values, with_series.ndvi(0.3)[kept][:, rows][:, :, columns], atol=1e-12
    )
    np.testing.assert_array_equal(dataset.latitude, grid.latitude[rows])


def test_the_plan_for_a_place_does_not_grow_with_the_grid(tmp_path: Path) -> None:
    schema = Schema("Europe", Grid(2048, 1024, (-11.0, 35.0, 31.0, 60.0)), 12)
    large = archived(tmp_path / "large", schema, frames([1, 2, 3], schema))
    start = large.times[1].astype(datetime)

    dataset = Selection(large.place, "Europe", start, region=point(10, 50)).open()

    assert dataset.ndvi.chunks == ((1,) * dataset.sizes["time"], (1,), (1,))
    after_reading = [name for name in dataset.ndvi.data.dask.layers if name.startswith("getitem")]
    assert sum(len(dataset.ndvi.data.dask.layers[name]) for name in after_reading) < 3 * 8


def test_a_place_outside_and_a_continent_that_is_not_there_are_refused(by_frames: Archived) -> None:
    with pytest.raises(UsageError, match="45°S 10°E lies outside of the archive"):
        Selection(by_frames.place, "Europe", region=point(10, -45)).open()
    with pytest.raises(UsageError, match="nothing of Africa is archived"):
        Selection(by_frames.place, "Africa").open()


def test_periods_are_taken_as_people_write_them(by_frames: Archived) -> None:
    day = by_frames.times[2].astype("datetime64[D]").astype(object)
    for given in (day, day.isoformat()):
        opened = Selection(by_frames.place, "Europe", given, given).open()
        assert set(opened.time.values.astype("datetime64[D]").astype(object)) == {day}


def test_a_start_behind_the_end_is_told(by_frames: Archived) -> None:
    with pytest.raises(UsageError, match="the start 2021-03-02 00:00 is after the end 2021-03-01 23:59 UTC"):
        Selection(by_frames.place, "Europe", "2021-03-02", "2021-03-01").open()
