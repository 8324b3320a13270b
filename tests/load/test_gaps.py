"""Days without a frame."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from etl.load.folder import LocalFolder
from etl.load.gaps import Gap, gaps
from etl.load.inventory import Inventory
from tests.load.archives import SMALL

FLAGS = {"S3A": 1, "S3B": 2}
FIRST = datetime(2021, 3, 1, tzinfo=UTC)


def holding(frames: list[tuple[datetime, str]]) -> Inventory:
    """An inventory of frames of these times and satellites."""
    columns: dict[str, NDArray[Any]] = {
        "time": np.array([int(time.timestamp()) for time, _ in frames], np.int64),
        "satellite": np.array([FLAGS[satellite] for _, satellite in frames], np.int8),
    }
    return Inventory(LocalFolder(Path()), "europe", "Europe", SMALL.grid, SMALL.bits, {}, columns)


def on_days(*days: int, satellite: str = "S3A") -> list[tuple[datetime, str]]:
    """A frame at ten o'clock on each of these days of March 2021."""
    return [(FIRST + timedelta(days=day - 1, hours=10), satellite) for day in days]


def test_missing_days_become_ranges_in_the_order_of_time() -> None:
    found = gaps(holding(on_days(1, 2, 6, 7, 9)))

    assert found == {
        "S3A": (Gap(date(2021, 3, 3), date(2021, 3, 5)), Gap(date(2021, 3, 8), date(2021, 3, 8)))
    }
    assert [str(gap) for gap in found["S3A"]] == ["2021-03-03 to 2021-03-05 (3 days)", "2021-03-08 (1 day)"]


def test_each_satellite_has_gaps_of_its_own_and_one_that_never_flew_none() -> None:
    frames = sorted([*on_days(1, 2, 3, 4), *on_days(2, 4, satellite="S3B")])

    assert gaps(holding(frames)) == {"S3A": (), "S3B": (Gap(date(2021, 3, 3), date(2021, 3, 3)),)}


def test_days_end_at_midnight_utc() -> None:
    last_second, first_second = datetime(2021, 3, 1, 23, 59, 59, tzinfo=UTC), datetime(2021, 3, 3, tzinfo=UTC)

    assert gaps(holding([(last_second, "S3A"), (first_second, "S3A")])) == {
        "S3A": (Gap(date(2021, 3, 2), date(2021, 3, 2)),)
    }


def test_several_frames_a_day_count_once() -> None:
    assert gaps(holding([*on_days(1), *on_days(1), *on_days(2), *on_days(2)])) == {"S3A": ()}


def test_a_single_frame_has_no_gap() -> None:
    assert gaps(holding(on_days(5, satellite="S3B"))) == {"S3B": ()}


@given(st.sets(st.integers(1, 400), min_size=1))
def test_gaps_and_days_with_frames_make_up_the_calendar(days: set[int]) -> None:
    found = gaps(holding(on_days(*sorted(days))))["S3A"]

    missing = [gap.first + timedelta(days=after) for gap in found for after in range(gap.days)]
    present = [time.date() for time, _ in on_days(*days)]
    calendar = [time.date() for time, _ in on_days(*range(min(days), max(days) + 1))]
    assert sorted([*missing, *present]) == calendar
    assert all(gap.last + timedelta(days=1) in present for gap in found)
