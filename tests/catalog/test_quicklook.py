"""Quicklooks: their frame, size, place and colours."""

import numpy as np
import pytest
from numpy.typing import NDArray

from etl.catalog.colormap import colour
from etl.catalog.quicklook import block_means, choose_frame, quicklook, quicklook_shape

from .reading import decode_png

FILL = -32768


def fractions(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def slow_means(values: NDArray[np.int16], rows: int, columns: int) -> tuple[NDArray[np.float64], ...]:
    """The same by enlarging every pixel until the coarse grid divides it."""
    fine = values.repeat(rows, axis=0).repeat(columns, axis=1).astype(np.float64)
    fine[fine < 500] = np.nan
    cells = fine.reshape(rows, values.shape[0], columns, values.shape[1])
    valid = np.isfinite(cells)
    counts = valid.sum(axis=(1, 3))
    sums = np.where(valid, cells, 0).sum(axis=(1, 3))
    return np.where(counts, sums / np.maximum(counts, 1), FILL), counts / values.size


@pytest.mark.parametrize(
    ("source", "target"),
    [((7, 5), (3, 2)), ((8, 12), (4, 3)), ((13, 29), (13, 29)), ((11, 3), (4, 1)), ((5, 7), (1, 1))],
)
def test_cells_are_area_weighted_means_whatever_the_sizes(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    values = np.random.default_rng(1).integers(-2000, 9000, source).astype(np.int16)
    values[values < -1000] = FILL
    means, coverage = block_means(values, *target)
    expected_means, expected_coverage = slow_means(values, *target)
    assert np.abs(means - expected_means).max() <= 0.5
    np.testing.assert_allclose(coverage, expected_coverage, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(7, 5), (101, 97), (512, 300)])
def test_an_edge_in_the_frame_stays_where_it_is(size: tuple[int, int]) -> None:
    rows, columns = size
    south, east = rows // 3, columns // 2
    values = np.full(size, FILL, np.int16)
    values[south:, east:] = 7000
    _, coverage = block_means(values, *quicklook_shape(rows, columns, 60))
    image_rows, image_columns = coverage.shape
    assert coverage[-1].sum() / image_columns == pytest.approx(1 - east / columns)
    assert coverage[:, -1].sum() / image_rows == pytest.approx(1 - south / rows)


def test_the_longer_side_is_limited_and_the_aspect_ratio_kept() -> None:
    assert quicklook_shape(5600, 8176, 2048) == (1403, 2048)
    assert quicklook_shape(9632, 8176, 512) == (512, 435)
    assert quicklook_shape(3, 5000, 512) == (1, 512)


def test_a_small_frame_is_not_enlarged() -> None:
    assert quicklook_shape(504, 168, 2048) == (504, 168)


def test_a_png_has_the_colours_of_its_values() -> None:
    values = np.array([[600, 2800, 5200], [9000, 499, FILL]], np.int16)
    image = decode_png(quicklook(values, 2048))
    np.testing.assert_array_equal(image, colour(values))
    assert image[1, :, 3].tolist() == [255, 0, 0]


def test_a_shrunk_png_shows_means_and_is_as_opaque_as_it_is_covered() -> None:
    values = np.array([[4000, 6000, FILL, FILL], [5000, 5000, FILL, 8000]], np.int16)
    image = decode_png(quicklook(values, 2))
    np.testing.assert_array_equal(image[0, :, :3], colour(np.array([5000, 8000], np.int16))[:, :3])
    assert image[0, :, 3].tolist() == [255, 64]


def test_equal_values_give_equal_bytes() -> None:
    values = np.random.default_rng(2).integers(-2000, 9000, (90, 70)).astype(np.int16)
    assert quicklook(values, 33) == quicklook(values.copy(), 33)


def test_a_frame_of_nothing_is_wholly_transparent() -> None:
    assert not decode_png(quicklook(np.full((9, 9), FILL, np.int16), 4)).any()


def test_the_newest_frame_with_half_of_the_best_share_is_shown() -> None:
    assert choose_frame(fractions(0.1, 0.6, 0.3, 0.29, 0.0)) == 2


def test_only_the_last_30_frames_are_considered() -> None:
    assert choose_frame(fractions(1.0, *[0.1] * 30)) == 30
    assert choose_frame(fractions(1.0, *[0.1] * 29)) == 0


def test_the_newest_frame_is_shown_where_none_has_valid_pixels() -> None:
    assert choose_frame(fractions(0.0, np.nan, 0.0)) == 2
