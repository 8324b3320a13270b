from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from etl.demo.scene import FULL_SCALE, SceneFrame, scene

from .conftest import EUROPE


def frames_of(first_day: date, days: int, seed: int = 0) -> list[SceneFrame]:
    return list(scene(90, 60, EUROPE, first_day, days, seed=seed))


def ndvi(frame: SceneFrame) -> np.ma.MaskedArray[tuple[int, ...], np.dtype[np.float64]]:
    values = frame.codes / FULL_SCALE * (frame.maximum - frame.minimum) + frame.minimum
    return np.ma.masked_array(values, frame.codes == 0)


def test_the_same_seed_gives_the_same_frames() -> None:
    for one, other in zip(frames_of(date(2024, 6, 1), 2), frames_of(date(2024, 6, 1), 2), strict=True):
        assert (one.time, one.satellite, one.minimum, one.maximum) == (
            other.time,
            other.satellite,
            other.minimum,
            other.maximum,
        )
        np.testing.assert_array_equal(one.codes, other.codes)


def test_another_seed_gives_another_land() -> None:
    one, other = frames_of(date(2024, 6, 1), 1)[0], frames_of(date(2024, 6, 1), 1, seed=1)[0]
    assert (one.codes != other.codes).mean() > 0.3


def test_a_day_does_not_depend_on_where_the_scene_begins() -> None:
    late, early = frames_of(date(2024, 6, 2), 1), frames_of(date(2024, 6, 1), 2)[2:]
    assert [frame.time for frame in late] == [frame.time for frame in early]
    np.testing.assert_array_equal(late[0].codes, early[0].codes)


def test_each_satellite_passes_once_a_day_s3a_first() -> None:
    frames = frames_of(date(2024, 2, 28), 3)
    assert [frame.satellite for frame in frames] == ["S3A", "S3B"] * 3
    days = [str(frame.time.astype("datetime64[D]")) for frame in frames[::2]]
    assert days == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert all(a.time < b.time for a, b in pairwise(frames))


def test_code_zero_is_no_data_and_never_above_zero() -> None:
    for frame in frames_of(date(2024, 6, 1), 3):
        assert frame.codes.dtype == np.uint16
        assert frame.codes.shape == (60, 90)
        assert frame.minimum <= 0 < frame.maximum < 1
        assert 0.1 < (frame.codes == 0).mean() < 0.95
        assert frame.codes.max() <= FULL_SCALE


def test_satellites_agree_closely_on_what_both_see() -> None:
    s3a, s3b = map(ndvi, frames_of(date(2024, 6, 1), 1))
    assert abs(s3a - s3b).mean() < 0.03


def test_european_land_is_greener_in_summer() -> None:
    winter, summer = (ndvi(frames_of(date(2024, month, 15), 1)[0]).mean() for month in (1, 7))
    assert summer > winter + 0.1


def test_a_frame_that_sees_nothing_has_no_scale() -> None:
    for frame in scene(1, 1, EUROPE, date(2024, 6, 1), 1):
        assert (frame.minimum, frame.maximum, frame.codes.tolist()) == (np.inf, -np.inf, [[0]])


@pytest.mark.parametrize("seed", range(5))
def test_clouds_leave_land_to_see_over_a_month(seed: int) -> None:
    seen = np.mean([frame.codes > 0 for frame in frames_of(date(2024, 6, 1), 30, seed)], axis=0)
    assert 0.4 < (seen > 0).mean() < 0.8
