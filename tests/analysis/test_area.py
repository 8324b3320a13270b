"""Weights of rows, and statistics of areas, against plain arithmetic."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from etl.analysis.area import STATISTICS, Statistic, over_area, row_weights
from etl.transform.grid import Grid


def pixel_areas(grid: Grid) -> NDArray[np.float64]:
    """Areas of the pixels of each row on the unit sphere, between their meridians and their parallels."""
    _, south, _, north = grid.bbox
    edges = np.radians(np.linspace(north, south, grid.rows + 1))
    areas: NDArray[np.float64] = np.radians(grid.step[0]) * (np.sin(edges[:-1]) - np.sin(edges[1:]))
    return areas


def on_grid(values: NDArray[np.floating[Any]], grid: Grid, side: int = 4) -> xr.DataArray:
    """Values of shape (frames, rows, columns) in blocks of so many pixels a side and one frame."""
    return xr.DataArray(
        values,
        {"latitude": grid.latitude, "longitude": grid.longitude},
        ("time", "latitude", "longitude"),
    ).chunk({"time": 1, "latitude": side, "longitude": side})


@pytest.mark.parametrize(
    "bbox", [(-20.0, -35.0, 55.0, 38.0), (-11.0, 35.0, 31.0, 60.0), (-180.0, -90.0, 180.0, 90.0)]
)
@pytest.mark.parametrize("rows", [1, 3, 200])
def test_weights_are_in_proportion_to_areas_on_the_sphere(
    bbox: tuple[float, float, float, float], rows: int
) -> None:
    grid = Grid(4, rows, bbox)

    weights = row_weights(xr.DataArray(grid.latitude, dims="latitude")).values

    areas = pixel_areas(grid)
    np.testing.assert_allclose(weights / weights.sum(), areas / areas.sum(), rtol=1e-12)


def test_the_areas_of_the_whole_earth_are_those_of_a_sphere() -> None:
    grid = Grid(360, 180, (-180.0, -90.0, 180.0, 90.0))

    assert pixel_areas(grid).sum() * 360 == pytest.approx(4 * np.pi)


def exact_median(values: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]]) -> float:
    """By the definition, in fractions: the value that half of the weight reaches, or the mean of two."""
    pairs: list[tuple[float, Fraction]] = sorted(
        zip(values.tolist(), map(Fraction, weights.tolist()), strict=True)
    )
    half, below = Fraction(sum(weight for _, weight in pairs)) / 2, Fraction(0)
    for place, (value, weight) in enumerate(pairs):
        below += weight
        if below == half:
            return (value + pairs[place + 1][0]) / 2
        if below > half:
            return value
    raise AssertionError("there is a half")


@pytest.mark.parametrize("seed", range(5))
def test_the_median_is_the_value_that_half_of_the_area_reaches(seed: int) -> None:
    random, grid = np.random.default_rng(seed), Grid(7, 9, (0.0, 20.0, 7.0, 83.0))
    values = random.integers(-2000, 9000, (3, 9, 7)) * 0.0001
    values[random.random(values.shape) < 0.3] = np.nan
    weights = np.broadcast_to(np.cos(np.radians(grid.latitude))[:, None], (9, 7))

    found, pixels = over_area(on_grid(values, grid), np.arange(3), "median")

    valid = np.isfinite(values)
    wanted = [exact_median(each[held], weights[held]) for each, held in zip(values, valid, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    np.testing.assert_array_equal(pixels, valid.sum((1, 2)))


@pytest.mark.parametrize("columns", [1, 2, 3, 10, 11])
def test_the_median_of_pixels_of_one_size_is_the_common_one(columns: int) -> None:
    grid = Grid(columns, 1, (0.0, 50.0, 1.0, 51.0))
    values = np.random.default_rng(columns).integers(-32767, 32767, (6, 1, columns)) * 0.0001

    found, _ = over_area(on_grid(values, grid), np.arange(6), "median")

    np.testing.assert_allclose(found, np.median(values, axis=(1, 2)), atol=1e-12)


def test_a_tie_of_areas_is_met_though_sums_of_weights_are_rounded() -> None:
    grid = Grid(1000, 4, (0.0, -2.0, 10.0, 2.0))
    values = np.where(grid.latitude > 0, 0.2, 0.6)[None, :, None] * np.ones((1, 4, 1000))

    found, _ = over_area(on_grid(values, grid, 512), np.zeros(1, np.intp), "median")

    assert found == pytest.approx([0.4], abs=1e-12)


@pytest.mark.parametrize("stat", STATISTICS)
@pytest.mark.parametrize("frames", [1, 64, 65, 150])
def test_runs_of_any_length_are_joined_without_a_seam(stat: Statistic, frames: int) -> None:
    grid = Grid(3, 2, (0.0, 50.0, 3.0, 52.0))
    values = np.random.default_rng(frames).integers(500, 9000, (frames, 2, 3)) * 0.0001
    values[::7] = np.nan
    told: list[tuple[int, int]] = []

    def tell(done: int, planned: int, what: str = "frames", /) -> None:
        told.append((done, planned))

    groups = np.arange(frames) // 4
    found, pixels = over_area(on_grid(values, grid), groups, stat, tell)

    weights = np.cos(np.radians(grid.latitude))[:, None] * np.ones(3)
    for group in range(groups[-1] + 1):
        each = values[groups == group]
        held = np.isfinite(each)
        areas = np.broadcast_to(weights, each.shape)[held]
        wanted = {
            "mean": np.average(each[held], weights=areas) if held.any() else np.nan,
            "median": exact_median(each[held], areas) if held.any() else np.nan,
            "min": each[held].min(initial=np.inf),
            "max": each[held].max(initial=-np.inf),
            "count": held.sum(),
        }[stat]
        if held.any() or stat == "count":
            assert found[group] == pytest.approx(wanted, abs=1e-12)
        else:
            assert np.isnan(found[group])
        assert pixels[group] == held.sum()
    assert told[-1] == (frames, frames)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
