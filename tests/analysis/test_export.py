"""Exported files hold what is archived, pixel by pixel, where it lies."""

from itertools import product
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import rasterio
import rioxarray
import shapely
import xarray as xr
from numpy.typing import NDArray
from rasterio.transform import Affine, from_bounds
from rio_cogeo.cogeo import cog_validate

import etl
from etl.analysis.raster import Format
from etl.analysis.region import Region, box, point
from etl.load.folder import LocalFolder
from etl.load.schema import Schema
from etl.transform.grid import Grid
from tests.load.archives import archive, frames, real_frames
from tests.load.test_cf import cf_report
from tests.serve.serving import serving

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

LARGE = Schema("Europe", Grid(601, 523, (-11.25, 34.1, 31.0625, 71.3)), 12)
"""A grid of several tiles, none of whose steps is a round number."""

PATCH = Region(shapely.Polygon([(0.3, 40), (20, 45.7), (10, 61), (4, 50)]), "patch")
REGIONS = {"all": None, "box": box(-3, 40, 11, 52.5), "patch": PATCH}
FORMATS: tuple[Format, ...] = ("cog", "geotiff", "netcdf")
HOW = tuple(product(FORMATS, (True, False)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of three frames; the second holds no data."""
    folder = tmp_path_factory.mktemp("large") / "archive"
    archive(LocalFolder(folder), frames((3, 4, 5), LARGE), LARGE)
    return folder


def raw(path: Path) -> NDArray[np.int16] | NDArray[np.float32]:
    """The values in a file as they are, of shape (rows, columns)."""
    if path.suffix == ".nc":
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            return np.asarray(file["ndvi"][0])
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


@pytest.mark.parametrize(("region", "mask"), [("all", True), ("all", False), ("box", True), ("patch", 0.3)])
@pytest.mark.parametrize("how", HOW, ids=lambda how: f"{how[0]}, {'packed' if how[1] else 'float'}")
def test_every_pixel_is_the_archived_one(
    place: Path, tmp_path: Path, how: tuple[Format, bool], mask: bool | float, region: str
) -> None:
    file_format, packed = how
    selection = etl.Selection(place, "Europe", region=REGIONS[region], mask=mask)
    opened = selection.open()

    done = etl.export(selection, tmp_path, format=file_format, packed=packed)

    assert [path.stem for path in done.written] == [
        f"NDVI_Europe_{name}" for name in ("S3A_20250103", "S3B_20250103", "S3A_20250104")
    ]
    assert done.empty == 1
    for path, wanted in zip(done.written, opened.ndvi.values, strict=True):
        found = raw(path)
        if packed:
            assert found.dtype == np.int16
            stored = np.where(np.isnan(wanted), -32768, np.rint(wanted * 10000))
            np.testing.assert_array_equal(found, stored)
        else:
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, wanted.astype(np.float32))


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("file_format", ["cog", "geotiff"])
def test_gdal_and_rioxarray_find_grid_values_and_what_they_are(
    place: Path, tmp_path: Path, file_format: Format, packed: bool, region: str
) -> None:
    selection = etl.Selection(place, "Europe", region=REGIONS[region])
    opened = selection.open()

    path = etl.export(selection, tmp_path, format=file_format, packed=packed).written[0]

    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 4326
        assert (file.descriptions, file.units) == (("NDVI",), ("1",))
        assert (file.scales, file.offsets) == ((0.0001 if packed else 1.0,), (0.0,))
        assert (file.nodata == -32768) if packed else np.isnan(file.nodata)
        whole = Affine(*LARGE.grid.affine)
        assert (file.transform.a, file.transform.e) == (whole.a, whole.e)
        column, row = ~whole * (file.transform.c, file.transform.f)
        assert (column, row) == pytest.approx((round(column), round(row)), abs=1e-9)
        assert region != "all" or file.transform == whole
        tags = file.tags()
    assert (tags["time"], tags["satellite"]) == ("2025-01-03T05:57:03Z", "S3A")
    assert (tags["continent"], tags["units"], tags["AREA_OR_POINT"]) == ("Europe", "1", "Area")
    assert "DestinEStreamer" in tags["source"]
    assert tags["comment"] == "NDVI below 0.05 is no data"
    found = rioxarray.open_rasterio(path, mask_and_scale=True)
    assert isinstance(found, xr.DataArray)
    with found:
        np.testing.assert_allclose(found.x.values, opened.longitude.values, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.y.values, opened.latitude.values, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.values[0], opened.ndvi[0].values, rtol=0, atol=1e-7)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("region", REGIONS)
def test_cloud_optimised_files_are_that_at_their_strictest(
    place: Path, tmp_path: Path, packed: bool, region: str
) -> None:
    selection = etl.Selection(place, "Europe", region=REGIONS[region])

    for path in etl.export(selection, tmp_path, packed=packed).written:
        assert cog_validate(path, strict=True) == (True, [], [])
        with rasterio.open(path) as file:
            assert file.overviews(1) == ([2] if region == "all" else [])
            assert file.block_shapes == [(512, 512)]


def test_overviews_are_averages_of_the_pixels_that_have_data(tmp_path: Path) -> None:
    even = Schema("Europe", Grid(600, 400, (-10, 35, 30, 60)), 12)
    archive(LocalFolder(tmp_path / "archive"), frames((3,), even), even)

    path = etl.export(etl.Selection(tmp_path / "archive", "Europe"), tmp_path / "out", packed=True).written[0]

    with rasterio.open(path) as file, rasterio.open(path, overview_level=0) as coarse:
        fine, found = (np.ma.masked_equal(each.read(1), -32768) for each in (file, coarse))
    wanted = fine.reshape(200, 2, 300, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(found.mask, wanted.mask)
    assert 0 < found.mask.sum() < found.size
    assert np.abs(found - wanted).max() <= 0.5


@pytest.mark.parametrize("region", REGIONS)
def test_the_notebooks_own_recipe_gives_the_same_file(place: Path, tmp_path: Path, region: str) -> None:
    """DataArray, CRS, transform from the bounds, GeoTIFF."""
    selection = etl.Selection(place, "Europe", region=REGIONS[region])
    ndvi = selection.open().ndvi[0].astype("float32").drop_vars("crs", errors="ignore")
    (step_x, step_y), (rows, columns) = LARGE.grid.step, ndvi.shape
    west, north = float(ndvi.longitude[0]) - step_x / 2, float(ndvi.latitude[0]) + step_y / 2
    bounds = (west, north - rows * step_y, west + columns * step_x, north)
    if region == "all":
        assert bounds == pytest.approx(LARGE.grid.bbox)
        bounds = LARGE.grid.bbox
    array = xr.DataArray(ndvi.values, dims=("y", "x"))
    array = array.rio.write_crs("EPSG:4326").rio.write_transform(from_bounds(*bounds, columns, rows))
    array.rio.to_raster(tmp_path / "notebook.tif")

    for packed in (False, True):
        path = etl.export(selection, tmp_path / f"{packed}", packed=packed).written[0]

        with rasterio.open(tmp_path / "notebook.tif") as theirs, rasterio.open(path) as ours:
            assert ours.crs == theirs.crs
            assert ours.shape == theirs.shape
            assert ours.transform.almost_equals(theirs.transform, precision=1e-9)
            assert region != "all" or ours.transform == theirs.transform
            values = ours.read(1, masked=True) * ours.scales[0]
            np.testing.assert_allclose(values.filled(np.nan), theirs.read(1), rtol=0, atol=0.00005)


def test_real_ndvi_is_within_half_a_step_of_what_was_decoded(tmp_path: Path) -> None:
    """Codes and scale as in the stream, made NDVI as the notebook did; its mask is below 0.05."""
    schema, packed, all_codes, _ = real_frames("gabon_terra_aqua_1km")
    archive(LocalFolder(tmp_path / "archive"), packed, schema)

    done = etl.export(etl.Selection(tmp_path / "archive", "Europe", mask=False), tmp_path / "out")

    assert len(done.written) == len(packed)
    for path, frame, codes in zip(done.written, packed, all_codes, strict=True):
        scale = frame.entry.scale
        ndvi = codes / 4095 * (scale.maximum - scale.minimum) + scale.minimum
        np.testing.assert_allclose(raw(path), ndvi, rtol=0, atol=0.00005 + 1e-7)


@pytest.mark.parametrize("packed", [True, False])
def test_netcdf_follows_cf_and_opens_as_the_archive_does(place: Path, tmp_path: Path, packed: bool) -> None:
    selection = etl.Selection(place, "Europe", region=REGIONS["box"])

    done = etl.export(selection, tmp_path, format="netcdf", packed=packed)

    opened = selection.open().compute()
    for path in done.written:
        report = cf_report(path)
        messages = [
            check["msgs"] for part in ("high", "medium", "low") for check in report[f"{part}_priorities"]
        ]
        assert [each for each in messages if each] == []
    for name in ("S3A", "S3B"):
        paths = sorted(tmp_path.glob(f"*_{name}_*.nc"))
        parts = [xr.open_dataset(path) for path in paths]
        found = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="override")
        wanted = opened.isel(time=opened.satellite.values == name)
        np.testing.assert_array_equal(found.time.values, wanted.time.values)
        for axis in ("latitude", "longitude"):
            np.testing.assert_array_equal(found[axis].values, wanted[axis].values)
        np.testing.assert_allclose(found.ndvi.values, wanted.ndvi.values, rtol=0, atol=1e-7)
        assert parts[0].attrs["satellite"] == name
        for part in parts:
            part.close()
    with rasterio.open(f"netcdf:{done.written[0]}:ndvi") as file:
        assert file.crs.to_epsg() == 4326
        assert file.bounds == pytest.approx(edges(opened))


def edges(opened: xr.Dataset) -> tuple[float, float, float, float]:
    """West, south, east and north of the outermost pixels' outer edges."""
    step_x, step_y = (step / 2 for step in LARGE.grid.step)
    longitude, latitude = opened.longitude.values, opened.latitude.values
    return longitude[0] - step_x, latitude[-1] - step_y, longitude[-1] + step_x, latitude[0] + step_y


def test_what_is_open_is_saved_by_xarray_too(place: Path, tmp_path: Path) -> None:
    """An archive with overviews, whose description NetCDF cannot hold."""
    opened = etl.Selection(place, "Europe", region=REGIONS["box"]).open().isel(time=[0])

    opened.to_netcdf(tmp_path / "saved.nc", engine="netcdf4")

    with xr.open_dataset(tmp_path / "saved.nc", engine="netcdf4") as saved:
        np.testing.assert_allclose(saved.ndvi.values, opened.ndvi.values, rtol=0, atol=1e-9)


def test_a_place_becomes_a_file_of_one_pixel(place: Path, tmp_path: Path) -> None:
    selection = etl.Selection(place, "Europe", region=point(11.6, 48.1), mask=False)

    path = etl.export(selection, tmp_path).written[0]

    with rasterio.open(path) as file:
        west, south, east, north = file.bounds
        assert west <= 11.6 <= east
        assert south <= 48.1 <= north
        np.testing.assert_array_equal(file.read(1), selection.open().ndvi[0].values.astype(np.float32))


def test_an_archive_that_is_served_is_exported_as_well(place: Path, tmp_path: Path) -> None:
    with serving(place) as server:
        served = etl.export(etl.Selection(server.url, "Europe"), tmp_path / "served")
    local = etl.export(etl.Selection(place, "Europe"), tmp_path / "local", workers=1)

    assert [path.read_bytes() for path in served.written] == [path.read_bytes() for path in local.written]
    assert len(local.written) == 3
