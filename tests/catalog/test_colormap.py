"""The colours of NDVI."""

import numpy as np
import pytest
from numpy.typing import NDArray

from etl.catalog.colormap import COLOUR_RANGE, CONTROL_POINTS, TABLE, colour


def stored(*values: int) -> NDArray[np.int16]:
    return np.array(values, np.int16)


def test_the_table_has_256_colours_from_the_first_to_the_last_control_point() -> None:
    points = list(CONTROL_POINTS.values())
    assert TABLE.shape == (256, 3)
    assert (points[0][0], points[-1][0]) == COLOUR_RANGE
    assert TABLE[[0, -1]].tolist() == [list(points[0][1]), list(points[-1][1])]


def test_more_vegetation_is_always_darker() -> None:
    luminance = (TABLE / 255) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(luminance) <= 0)
    assert np.all(np.diff(luminance[::8]) < 0)


@pytest.mark.parametrize(("name", "value"), [("dry grass", 2800), ("crops", 5200), ("dense canopy", 9000)])
def test_a_control_point_has_its_colour(name: str, value: int) -> None:
    rgba = colour(stored(value))[0].astype(int)
    assert np.abs(rgba[:3] - CONTROL_POINTS[name][1]).max() <= 2
    assert rgba[3] == 255


def test_a_value_takes_the_entry_of_its_place_in_the_range() -> None:
    values = stored(500, 3000, 4500, 6000)
    entries = [round(255 * value * 0.0001 / 0.9) for value in values.tolist()]
    np.testing.assert_array_equal(colour(values)[:, :3], TABLE[entries])


def test_values_beyond_the_range_take_its_last_colour() -> None:
    np.testing.assert_array_equal(colour(stored(9000, 9999, 32767))[:, :3], TABLE[[255] * 3])


def test_no_data_and_ndvi_below_005_are_transparent() -> None:
    assert colour(stored(-32768, -1000, 0, 499, 500))[:, 3].tolist() == [0, 0, 0, 0, 255]


def test_any_shape_gains_an_axis_of_four_channels() -> None:
    rgba = colour(np.full((2, 3), 6000, np.int16))
    assert rgba.shape == (2, 3, 4)
    assert rgba.dtype == np.uint8
