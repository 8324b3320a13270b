"""What is read of regions of several parts."""

import numpy as np
import pytest
import shapely
import xarray as xr
from shapely.geometry.base import BaseGeometry

from etl.analysis.region import Region, box, cut, point
from etl.analysis.windows import WHOLE, windows
from etl.transform.grid import Grid

GRID = Grid(1000, 600, (0.0, 0.0, 100.0, 60.0))


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return xr.Dataset(
        {"ndvi": (("latitude", "longitude"), np.ones((600, 1000)))},
        {"latitude": GRID.latitude, "longitude": GRID.longitude},
    )


def fields(*bounds: tuple[float, float, float, float]) -> BaseGeometry:
    joined: BaseGeometry = shapely.union_all([shapely.box(*each) for each in bounds])
    return joined


def assert_held(part: xr.Dataset, region: Region) -> int:
    """Every pixel of the region is in exactly one window; return how many pixels all windows have."""
    counts = np.zeros(part.ndvi.shape, int)
    for window in windows(part, region):
        counts[window] += 1
    assert counts.max() == 1
    assert counts[np.isfinite(part.ndvi.values)].all()
    return int(counts.sum())


def test_parts_far_apart_are_read_one_by_one(dataset: xr.Dataset) -> None:
    region = Region(fields((1, 1, 3, 3), (90, 50, 99, 59), (1, 50, 2, 51)), "fields")

    part = cut(dataset, region)

    assert len(windows(part, region)) == 3
    assert assert_held(part, region) < part.ndvi.size / 10


def test_parts_that_are_near_or_around_each_other_are_read_as_one(dataset: xr.Dataset) -> None:
    near = Region(fields((1, 1, 3, 3), (4, 1, 6, 3)), "fields")
    around = Region(
        shapely.box(10, 10, 60, 50) - shapely.box(11, 11, 59, 49) | shapely.box(30, 30, 31, 31), ""
    )

    for region in (near, around):
        part = cut(dataset, region)
        assert len(windows(part, region)) == 1
        assert_held(part, region)


def test_a_thousand_islands_are_few_windows(dataset: xr.Dataset) -> None:
    random = np.random.default_rng(1)
    west, south = random.uniform(0, 99, 1000), random.uniform(0, 59, 1000)
    region = Region(
        fields(*((x, y, x + 0.3, y + 0.3) for x, y in zip(west.tolist(), south.tolist(), strict=True))),
        "islands",
    )

    part = cut(dataset, region)

    assert 1 <= len(windows(part, region)) <= 16
    assert_held(part, region)


@pytest.mark.parametrize("seed", range(20))
def test_no_pixel_is_left_out_or_taken_twice(dataset: xr.Dataset, seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = (random.integers(0, 40, (12, 2)) * [2.5, 1.5]).tolist()
    region = Region(fields(*((x, y, x + 2.5, y + 1.5) for x, y in corners)), "fields")

    assert_held(cut(dataset, region), region)


def test_windows_that_touch_in_a_pixel_do_not_share_it() -> None:
    grid = Grid(1024, 512, (0.0, 0.0, 128.0, 64.0))
    dataset = xr.Dataset(
        {"ndvi": (("latitude", "longitude"), np.ones((512, 1024)))},
        {"latitude": grid.latitude, "longitude": grid.longitude},
    )
    # Centres are 0.0625 + 0.125 n, and windows begin 16 pixels before: they touch in the one at 12.0625.
    region = Region(fields((8, 8, 10.0625, 10.0625), (14.0625, 14.0625, 16, 16)), "fields")

    part = cut(dataset, region)

    assert len(windows(part, region)) == 2
    assert_held(part, region)


def test_parts_outside_of_the_grid_are_not_read(dataset: xr.Dataset) -> None:
    region = Region(fields((10, 10, 12, 12), (-50, -50, -40, -40)), "fields")

    part = cut(dataset, region)

    assert part.ndvi.shape == (20, 20)
    assert assert_held(part, region) == 400


def test_a_place_a_box_and_the_whole_grid_are_one_window(dataset: xr.Dataset) -> None:
    for region in (point(5, 5), box(5, 5, 6, 7)):
        assert windows(cut(dataset, region), region) == [WHOLE]
    assert windows(dataset, None) == [WHOLE]


def test_parts_smaller_than_a_pixel_are_the_pixel_that_was_cut_out(dataset: xr.Dataset) -> None:
    region = Region(fields((10.01, 10.01, 10.02, 10.02), (50.01, 50.01, 50.02, 50.02)), "gardens")

    assert windows(cut(dataset, region), region) == [WHOLE]
