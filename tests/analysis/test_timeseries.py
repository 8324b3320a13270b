"""`etl.timeseries` against plain arithmetic over the archived values."""

import json
import shutil
import signal
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import etl
from etl.analysis.along_time import open_along_time, reads_less
from etl.analysis.area import STATISTICS, Statistic
from etl.analysis.region import box, point, read_geojson
from etl.analysis.selection import Selection
from etl.analysis.windows import windows
from etl.errors import IncompatibleError, UsageError
from etl.load.schema import Schema
from etl.load.series import committed_series
from etl.reading import inventory_at
from etl.signals import Interrupted, ending_on_signals
from etl.transform.grid import Grid
from tests.load.archives import REAL, frames, group_path, real_frames
from tests.load.series import optimize

from .archives import Archived, archived
from .test_area import pixel_areas

BOX = box(-5, 40, 10, 60)


def within(grid: Grid, bounds: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    west, south, east, north = bounds
    rows = (grid.latitude >= south) & (grid.latitude <= north)
    columns = (grid.longitude >= west) & (grid.longitude <= east)
    return rows[:, None] & columns


def plain(ndvi: NDArray[np.float64], areas: NDArray[np.float64], stat: Statistic) -> tuple[float, int]:
    """A statistic of some pixels, shape (…, rows, columns), of which the rows have these areas."""
    held = np.isfinite(ndvi)
    values, weights = ndvi[held], np.broadcast_to(areas[:, None], ndvi.shape)[held]
    if stat == "count":
        return values.size, values.size
    if not values.size:
        return np.nan, 0
    if stat == "mean":
        return float((values * weights).sum() / weights.sum()), values.size
    if stat == "median":
        order = np.argsort(values)
        share = np.cumsum(weights[order]) / weights.sum()
        middle = [np.searchsorted(share, 0.5 - 1e-9), np.searchsorted(share, 0.5 + 1e-9, side="right")]
        return float(values[order][middle].mean()), values.size
    return float(values.min() if stat == "min" else values.max()), values.size


@pytest.mark.parametrize("archive", ["by_frames", "with_series"])
@pytest.mark.parametrize("stat", STATISTICS)
def test_a_box_over_time_is_as_computed_plainly(
    archive: str, stat: Statistic, request: pytest.FixtureRequest
) -> None:
    data: Archived = request.getfixturevalue(archive)

    series = etl.timeseries(Selection(data.place, "Europe", region=BOX), stat=stat)

    inside = within(data.schema.grid, (-5, 40, 10, 60))
    ndvi = np.where(inside, data.ndvi(), np.nan)
    wanted = [plain(each, pixel_areas(data.schema.grid), stat) for each in ndvi]
    np.testing.assert_allclose(series.value.values, [value for value, _ in wanted], rtol=1e-12)
    assert series.pixels.values.tolist() == [pixels for _, pixels in wanted]
    np.testing.assert_array_equal(series.time.values, data.times)
    assert series.satellite.values.tolist() == data.satellites.tolist()
    assert (series.value.dtype, series.pixels.dtype) == (np.float64, np.int64)


@pytest.mark.parametrize("stat", STATISTICS)
def test_satellites_together_are_one_number_a_day(with_series: Archived, stat: Statistic) -> None:
    series = etl.timeseries(Selection(with_series.place, "Europe", region=BOX), stat=stat, together=True)

    inside = within(with_series.schema.grid, (-5, 40, 10, 60))
    ndvi, days = np.where(inside, with_series.ndvi(), np.nan), with_series.times.astype("datetime64[D]")
    assert series.time.values.tolist() == np.unique(days).astype("datetime64[ns]").tolist()
    assert max(np.unique(days, return_counts=True)[1]) == 4
    for day, value, pixels in zip(np.unique(days), series.value.values, series.pixels.values, strict=True):
        wanted, count = plain(ndvi[days == day], pixel_areas(with_series.schema.grid), stat)
        assert (value, pixels) == (pytest.approx(wanted, rel=1e-12), count)
    assert set(series.satellite.values) == {"S3A+S3B"}


def test_the_whole_grid_and_one_pixel_are_regions_too(with_series: Archived) -> None:
    areas = pixel_areas(with_series.schema.grid)

    whole = etl.timeseries(Selection(with_series.place, "Europe"))
    pixel = etl.timeseries(Selection(with_series.place, "Europe", region=point(31.0625, 34.1)))

    wanted = [plain(each, areas, "mean")[0] for each in with_series.ndvi()]
    np.testing.assert_allclose(whole.value.values, wanted, rtol=1e-12)
    np.testing.assert_allclose(pixel.value.values, with_series.ndvi()[:, -1, -1], rtol=1e-12)


def test_polygons_leave_out_their_holes(with_series: Archived, tmp_path: Path) -> None:
    def ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
        return [[west, south], [east, south], [east, north], [west, north], [west, south]]

    path = tmp_path / "fields.geojson"
    rings = [ring(-5, 40, 10, 60), ring(0, 45, 5, 50)]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": rings}))

    series = etl.timeseries(Selection(with_series.place, "Europe", region=read_geojson(path)), stat="median")

    grid = with_series.schema.grid
    inside = within(grid, (-5, 40, 10, 60)) & ~within(grid, (0, 45, 5, 50))
    ndvi = np.where(inside, with_series.ndvi(), np.nan)
    wanted = [plain(each, pixel_areas(grid), "median") for each in ndvi]
    np.testing.assert_allclose(series.value.values, [value for value, _ in wanted], rtol=1e-12)
    assert series.title == "Europe, fields: median NDVI"


@pytest.mark.parametrize("stat", STATISTICS)
def test_fields_that_lie_far_apart_are_one_region(
    with_series: Archived, tmp_path: Path, stat: Statistic
) -> None:
    grid = with_series.schema.grid
    fields = [(-11, 69, 5, 71), (-11, 35, 0, 36), (20, 35.5, 31, 36), (0, 52, 0.1, 52.1)]
    polygons = [[[[w, s], [e, s], [e, n], [w, n], [w, s]]] for w, s, e, n in fields]
    path = tmp_path / "fields.geojson"
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": polygons}))
    selection = Selection(with_series.place, "Europe", region=read_geojson(path))

    series = etl.timeseries(selection, stat=stat)

    parts = windows(selection.open(), selection.region)
    assert len(parts) == 3
    inside = np.any([within(grid, field) for field in fields], axis=0)
    ndvi = np.where(inside, with_series.ndvi(), np.nan)
    wanted = [plain(each, pixel_areas(grid), stat) for each in ndvi]
    np.testing.assert_allclose(series.value.values, [value for value, _ in wanted], rtol=1e-12)
    assert series.pixels.values.tolist() == [pixels for _, pixels in wanted]


@pytest.mark.parametrize("mask", [False, 0.4])
def test_what_counts_as_data_can_be_chosen(by_frames: Archived, mask: bool | float) -> None:
    series = etl.timeseries(Selection(by_frames.place, "Europe", mask=mask), stat="min")

    lowest = by_frames.ndvi(-9 if mask is False else 0.4)
    held = np.isfinite(lowest).any((1, 2))
    assert held.sum() == 8
    np.testing.assert_allclose(series.value.values[held], [np.nanmin(each) for each in lowest[held]])
    assert np.isnan(series.value.values[~held]).all()


def test_frames_without_data_are_there_without_a_value(by_frames: Archived) -> None:
    series = etl.timeseries(Selection(by_frames.place, "Europe", region=BOX))

    without = [place for place, each in enumerate(by_frames.packed) if each.entry.number in (4, 9)]
    assert np.flatnonzero(np.isnan(series.value.values)).tolist() == without
    assert series.pixels.values[without].tolist() == [0, 0]
    counted = etl.timeseries(Selection(by_frames.place, "Europe", region=BOX), stat="count")
    assert counted.value.values[without].tolist() == [0.0, 0.0]


@pytest.fixture(scope="module", params=REAL)
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Archived, Archived]:
    """Real NDVI, once without and once with a series."""
    schema, packed, _, _ = real_frames(request.param)
    plain_one, optimized = (archived(tmp_path_factory.mktemp("real"), schema, packed) for _ in range(2))
    optimize(optimized.store)
    return plain_one, optimized


@pytest.mark.parametrize("stat", STATISTICS)
def test_of_real_ndvi_both_layouts_give_the_plain_numbers(
    real: tuple[Archived, Archived], stat: Statistic
) -> None:
    grid, ndvi = real[0].schema.grid, real[0].ndvi()
    longitude, latitude = float(grid.longitude[80]), float(grid.latitude[70])
    corner = (grid.bbox[0], latitude, longitude, grid.bbox[3])

    for region, inside in ((None, np.True_), (box(*corner), within(grid, corner))):
        wanted = [plain(each, pixel_areas(grid), stat) for each in np.where(inside, ndvi, np.nan)]
        for data in real:
            series = etl.timeseries(Selection(data.place, "Europe", region=region), stat=stat)
            np.testing.assert_allclose(series.value.values, [value for value, _ in wanted], rtol=1e-9)
            assert series.pixels.values.tolist() == [pixels for _, pixels in wanted]


def test_the_result_says_what_it_is_and_goes_into_netcdf(by_frames: Archived, tmp_path: Path) -> None:
    series = etl.timeseries(Selection(by_frames.place, "Europe", region=BOX), stat="max")
    series.to_netcdf(tmp_path / "series.nc")

    with xr.open_dataset(tmp_path / "series.nc") as found:
        xr.testing.assert_identical(found.load(), series)
    assert series.value.attrs == {"long_name": "max NDVI", "units": "1", "cell_methods": "area: maximum"}
    assert series.title == "Europe, 40°N 5°W to 60°N 10°E: max NDVI"


def test_a_statistic_that_there_is_not_is_refused(by_frames: Archived) -> None:
    with pytest.raises(UsageError, match=r"no statistic 'mode'; choose one of mean, median, min, max, count"):
        etl.timeseries(Selection(by_frames.place, "Europe"), stat="mode")  # type: ignore[arg-type]


def test_places_are_read_from_the_series_and_the_whole_grid_from_frames(with_series: Archived) -> None:
    place = open_along_time(Selection(with_series.place, "Europe", region=point(10, 50)))
    whole = open_along_time(Selection(with_series.place, "Europe"))

    assert place.ndvi.chunks[0] == (4, 4, 1, 1)
    assert whole.ndvi.chunks[0] == (1,) * 10
    np.testing.assert_array_equal(whole.ndvi.values, with_series.ndvi())


def test_without_a_series_nobody_is_warned_of_that(by_frames: Archived) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = open_along_time(Selection(by_frames.place, "Europe", region=point(10, 50)))
    assert dataset.ndvi.chunks[0] == (1,) * 10


def test_few_frames_of_a_region_are_read_as_frames(with_series: Archived) -> None:
    inventory = inventory_at(with_series.place, "Europe")
    series = committed_series(inventory)
    assert series is not None

    def is_series(frames: slice, rows: slice, columns: slice) -> bool:
        dataset = etl.open_archive(with_series.place, "Europe")
        return reads_less(inventory, series, dataset.isel(time=frames, latitude=rows, longitude=columns))

    everything, one = slice(None), slice(7, 8)
    assert is_series(everything, one, one)
    assert is_series(one, one, one)
    assert is_series(everything, slice(0, 32), everything)
    assert not is_series(one, slice(0, 512), everything)
    assert not is_series(everything, everything, everything)
    assert not is_series(slice(8, 10), one, one)


def test_a_frame_that_is_damaged_is_an_error_and_not_a_gap(tmp_path: Path) -> None:
    schema = Schema("Europe", Grid(35, 20, (-11.25, 34.1, 31.0625, 71.3)), 12)
    data = archived(tmp_path / "archive", schema, frames(range(1, 4), schema))
    objects = group_path(data.store) / "ndvi/c/1/0/0"
    objects.write_bytes(objects.read_bytes()[:-100])

    with pytest.raises(IncompatibleError, match="verify"):
        etl.timeseries(Selection(data.place, "Europe"))


@pytest.mark.parametrize("satellite", [None, "S3B"])
def test_of_the_series_only_the_chunks_of_a_place_are_read(
    with_series: Archived, tmp_path: Path, satellite: str | None
) -> None:
    shutil.copytree(with_series.place, tmp_path / "archive")
    shard = tmp_path / "archive/europe/ndvi.zarr/series/ndvi/c/0/0/0"
    shard.write_bytes(b"damaged" * 10 + shard.read_bytes()[70:])
    grid = with_series.schema.grid
    beside = 0.3 * np.array(grid.step)
    far, damaged = (
        point(grid.longitude[place] + beside[0], grid.latitude[place] + beside[1]) for place in (33, 1)
    )

    series = etl.timeseries(Selection(tmp_path / "archive", "Europe", satellite=satellite, region=far))

    kept = with_series.satellites == satellite if satellite else slice(None)
    np.testing.assert_allclose(series.value.values, with_series.ndvi()[kept, 33, 33], rtol=1e-12)
    with pytest.raises(IncompatibleError, match=r"is damaged: .*; ndvi-archive verify tells which frame"):
        etl.timeseries(Selection(tmp_path / "archive", "Europe", satellite=satellite, region=damaged))


def test_a_signal_ends_it_between_two_runs_of_frames(by_frames: Archived) -> None:
    def end(done: int, planned: int, what: str = "frames", /) -> None:
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted) as ended, ending_on_signals():
        etl.timeseries(Selection(by_frames.place, "Europe"), progress=end)
    assert ended.value.exit_code == 143


def test_a_period_can_be_chosen(with_series: Archived) -> None:
    start = with_series.times[4].astype(datetime)

    series = etl.timeseries(Selection(with_series.place, "Europe", start, region=point(10, 50)))

    kept = with_series.times >= with_series.times[4]
    np.testing.assert_array_equal(series.time.values, with_series.times[kept])
    assert series.sizes["time"] < 10
