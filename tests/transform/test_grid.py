"""A grid's pixels lie where the service says they do."""

from fractions import Fraction

import numpy as np
import pytest
from affine import Affine

from etl.transform.grid import Grid

GRIDS = [
    pytest.param(Grid(8176, 5600, (-11.0, 25.0, 62.0, 75.0)), id="Europe at 1/112°"),
    pytest.param(Grid(9632, 8176, (-26.0, -35.0, 60.0, 38.0)), id="Africa at 1/112°"),
    pytest.param(
        Grid(168, 504, (8.5 + 1 / 224, -4.5, 10.0 + 1 / 224, 0.0)), id="edges that float64 cannot hold"
    ),
    pytest.param(Grid(23, 17, (-11.3, 34.1, 31.07, 71.33)), id="steps that are no round numbers"),
    pytest.param(Grid(360, 180, (-180.0, -90.0, 180.0, 90.0)), id="the globe"),
    pytest.param(Grid(7, 3, (179.5, -0.1, 181.3, 0.2)), id="across the date line and the equator"),
    pytest.param(Grid(1, 1, (-0.1, -0.3, 0.2, 0.7)), id="one pixel"),
]


def _exact_centres(first: float, last: float, count: int) -> list[float]:
    step = (Fraction(last) - Fraction(first)) / count
    return [float(Fraction(first) + step * (index + Fraction(1, 2))) for index in range(count)]


@pytest.mark.parametrize("grid", GRIDS)
def test_coordinates_are_the_pixel_centres_to_the_last_digits(grid: Grid) -> None:
    west, south, east, north = grid.bbox
    assert grid.longitude.shape == (grid.columns,)
    assert grid.latitude.shape == (grid.rows,)
    np.testing.assert_allclose(grid.longitude, _exact_centres(west, east, grid.columns), rtol=0, atol=2**-45)
    np.testing.assert_allclose(grid.latitude, _exact_centres(north, south, grid.rows), rtol=0, atol=2**-45)


@pytest.mark.parametrize("grid", GRIDS)
def test_north_is_first_and_west_is_first(grid: Grid) -> None:
    assert np.all(np.diff(grid.latitude) < 0)
    assert np.all(np.diff(grid.longitude) > 0)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_outer_edges_are_those_of_the_bbox(grid: Grid) -> None:
    west, south, east, north = grid.bbox
    transform = Affine(*grid.affine)
    assert transform @ (0, 0) == (west, north)
    assert transform @ (grid.columns, grid.rows) == pytest.approx((east, south), abs=1e-12)
    step_x, step_y = grid.step
    assert grid.longitude[0] - step_x / 2 == pytest.approx(west, abs=1e-12)
    assert grid.longitude[-1] + step_x / 2 == pytest.approx(east, abs=1e-12)
    assert grid.latitude[0] + step_y / 2 == pytest.approx(north, abs=1e-12)
    assert grid.latitude[-1] - step_y / 2 == pytest.approx(south, abs=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
def test_affine_and_geotransform_and_coordinates_agree(grid: Grid) -> None:
    assert Affine.from_gdal(*grid.geotransform) == Affine(*grid.affine)
    for row, column in ((0, 0), (grid.rows - 1, grid.columns - 1), (grid.rows // 2, grid.columns // 3)):
        centre = Affine(*grid.affine) @ (column + 0.5, row + 0.5)
        assert centre == pytest.approx((grid.longitude[column], grid.latitude[row]), abs=1e-12)


def test_grids_with_another_edge_are_not_equal() -> None:
    assert Grid(3, 2, (0.0, 0.0, 3.0, 2.0)) == Grid(3, 2, (0, 0, 3, 2))
    assert Grid(3, 2, (0.0, 0.0, 3.0, 2.0)) != Grid(3, 2, (0.0, 0.0, 3.0, 2.0000000001))
