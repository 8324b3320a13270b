"""Every cell of a level is the exact mean of the valid pixels it covers."""

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from etl.transform.overview import Overviews, levels_of, overview_factors, overview_shape

Values = NDArray[np.int16]


def noise(rows: int, columns: int) -> Values:
    """All values that can be stored, a third of them around the least valid one."""
    random = np.random.default_rng(rows * columns)
    values = random.integers(-32768, 32768, (rows, columns))
    near = random.integers(498, 502, (rows, columns))
    return np.where(random.random((rows, columns)) < 1 / 3, near, values).astype(np.int16)


def without_data(rows: int, columns: int) -> Values:
    return np.full((rows, columns), -32768, np.int16)


def nothing_valid(rows: int, columns: int) -> Values:
    return np.minimum(noise(rows, columns), 499).astype(np.int16)


def greatest(rows: int, columns: int) -> Values:
    """Sums as large as they can be."""
    return np.full((rows, columns), 32767, np.int16)


def halves(rows: int, columns: int) -> Values:
    """Means of which many lie in the middle between two steps."""
    return np.random.default_rng(1).integers(500, 502, (rows, columns)).astype(np.int16)


def exact_level(values: Values, factor: int) -> Values:
    height, width = values.shape
    rows, columns = overview_shape(height, width, factor)
    level = np.full((rows, columns), -32768, np.int16)
    for row, column in np.ndindex(rows, columns):
        cell = values[row * factor :, column * factor :][:factor, :factor].astype(int)
        valid = cell[cell >= 500]
        if valid.size:
            # Python rounds fractions half to even.
            level[row, column] = round(Fraction(int(valid.sum()), valid.size))
    return level


def bands(values: Values, rows: int) -> Iterator[Values]:
    return (values[top : top + rows] for top in range(0, len(values), rows))


@pytest.mark.parametrize("make", [noise, without_data, nothing_valid, greatest, halves])
@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((64, 96), (2, 4)),
        ((37, 53), (2, 4, 8)),
        ((1, 131), (2, 4, 8, 16, 32)),
        ((131, 1), (2, 4, 8, 16, 32, 64, 128)),
        ((129, 130), (2, 4, 8, 16, 32, 64, 128)),
    ],
)
def test_levels_are_the_means_that_fractions_give(
    make: Callable[[int, int], Values], shape: tuple[int, int], factors: tuple[int, ...]
) -> None:
    values = make(*shape)

    levels = levels_of(values, factors)

    assert tuple(levels) == factors
    for factor, level in levels.items():
        assert level.dtype == np.dtype("<i2")
        np.testing.assert_array_equal(level, exact_level(values, factor), err_msg=f"level {factor}")


@pytest.mark.parametrize("rows", [1, 3, 32, 512])
def test_bands_of_any_height_go_through_unchanged_and_give_the_same(rows: int) -> None:
    values = noise(101, 67)
    overviews = Overviews(101, 67, (2, 4, 8))

    through = [band.copy() for band in overviews.through(bands(values, rows))]

    np.testing.assert_array_equal(np.concatenate(through), values)
    for factor, level in overviews.levels.items():
        np.testing.assert_array_equal(level, exact_level(values, factor))


def test_nothing_of_a_frame_stays_for_the_next_one() -> None:
    first, second = noise(45, 70), nothing_valid(45, 70)
    second[44, 69] = 9000
    overviews = Overviews(45, 70, (2, 4, 8))

    overviews.take(first)
    overviews.take(second)

    for factor, level in overviews.levels.items():
        np.testing.assert_array_equal(level, exact_level(second, factor))


def test_a_frame_that_was_given_up_does_not_disturb_the_next_one() -> None:
    values = noise(45, 70)
    overviews = Overviews(45, 70, (2, 4))

    next(overviews.through(bands(greatest(45, 70), 5)))
    overviews.take(values)

    for factor, level in overviews.levels.items():
        np.testing.assert_array_equal(level, exact_level(values, factor))


@pytest.mark.parametrize(
    ("rows", "columns", "factors"),
    [
        (512, 512, ()),
        (3, 513, (2,)),
        (1025, 3, (2, 4)),
        (5600, 8176, (2, 4, 8, 16)),
        (8176, 9632, (2, 4, 8, 16, 32)),
        (65536, 65536, (2, 4, 8, 16, 32, 64, 128)),
        (1, 1 << 20, (2, 4, 8, 16, 32, 64, 128)),
    ],
)
def test_there_are_levels_until_one_fits_into_512_cells(
    rows: int, columns: int, factors: tuple[int, ...]
) -> None:
    assert overview_factors(rows, columns) == factors
