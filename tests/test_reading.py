"""`etl.open_archive`: what an analyst gets."""

import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import rioxarray  # noqa: F401 - gives datasets `.rio`
import xarray as xr
from dask.base import is_dask_collection

import etl
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream
from etl.errors import IncompatibleError, StorageError, UsageError
from etl.load.folder import LocalFolder
from etl.load.schema import Schema
from etl.transform.grid import Grid
from tests.cli.test_convert import expected_values
from tests.program import convert, run, with_token

from .load.archives import archive as append
from .load.archives import frames, inventory_of
from .load.buckets import BUCKET, CREDENTIALS, s3_server, variables
from .serve.serving import serving


@pytest.fixture(scope="module")
def archive(europe: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Europe, archived; to be read only."""
    folder = tmp_path_factory.mktemp("reading") / "archive"
    with StandIn({"Europe": europe}) as service:
        assert convert(service, folder).code == 0
    return folder


def decoded(scenes: list[SceneFrame]) -> np.ndarray:
    return np.stack([expected_values(scene) for scene in scenes]) * 0.0001


def test_an_archive_opens_masked_with_the_names_of_its_satellites(
    archive: Path, scenes: list[SceneFrame]
) -> None:
    dataset = etl.open_archive(str(archive), "Europe")

    assert dataset.satellite.values.tolist() == [scene.satellite for scene in scenes]
    assert is_dask_collection(dataset.ndvi)
    ndvi = decoded(scenes)
    np.testing.assert_allclose(dataset.ndvi.values, np.where(ndvi >= 0.05, ndvi, np.nan), atol=1e-9)
    assert dataset.ndvi.attrs["units"] == "1"
    s3b = dataset.ndvi.isel(time=(dataset.satellite == "S3B").values)
    assert s3b.sizes["time"] == 10


def test_nothing_is_masked_where_that_is_asked_for(archive: Path, scenes: list[SceneFrame]) -> None:
    dataset = etl.open_archive(str(archive), "Europe", mask=False)

    np.testing.assert_allclose(dataset.ndvi.values, decoded(scenes), atol=1e-9)


def test_an_archive_in_a_bucket_opens_as_one_in_a_folder(
    service: StandIn, scenes: list[SceneFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as address:
        for name, value in variables(address).items():
            monkeypatch.setenv(name, value)
        place = f"s3://{BUCKET}/ndvi"
        ended = run(
            "convert", "Europe", "--archive", place, variables=with_token(service) | variables(address)
        )
        assert ended.code == 0, ended.err
        verified = run("verify", "--archive", place, variables=variables(address))
        assert verified.code == 0, verified.out + verified.err
        told = run("info", "--archive", place, "--endpoint-url", address, variables=variables("http://x"))
        assert "20 frames" in told.out

        dataset = etl.open_archive(place, "Europe", mask=False)

        np.testing.assert_allclose(dataset.ndvi.values, decoded(scenes), atol=1e-9)


@pytest.mark.parametrize("lowest", [0.3, 0, -0.01])
def test_the_mask_can_begin_elsewhere(archive: Path, scenes: list[SceneFrame], lowest: float) -> None:
    ndvi = etl.open_archive(archive, "Europe", mask=lowest).ndvi.values

    unmasked = decoded(scenes)
    np.testing.assert_allclose(ndvi, np.where(unmasked >= lowest, unmasked, np.nan), atol=1e-9)


@pytest.mark.parametrize("mask", ["0.05", float("nan"), None, 5.0])
def test_a_mask_that_is_no_ndvi_is_refused(archive: Path, mask: float) -> None:
    with pytest.raises(UsageError, match=r"is no NDVI; give True, False or a number such as 0\.1"):
        etl.open_archive(archive, "Europe", mask=mask)


def test_pixels_are_the_only_thing_that_is_left_to_read(archive: Path) -> None:
    dataset = etl.open_archive(archive, "Europe")

    assert set(dataset.ndvi.chunks[0]) == {1}
    assert [name for name in dataset.variables if is_dask_collection(dataset[name])] == ["ndvi"]


def test_a_served_archive_opens_as_one_in_a_folder(archive: Path, scenes: list[SceneFrame]) -> None:
    with serving(archive) as server:
        dataset = etl.open_archive(server.url, "Europe", mask=False)
        np.testing.assert_allclose(dataset.ndvi.values, decoded(scenes), atol=1e-9)
        with pytest.raises(UsageError, match=r"nothing of Eurpoe is archived in \S+; did you mean Europe\?"):
            etl.open_archive(server.url, "Eurpoe")


def test_what_is_not_there_is_told_with_what_is(archive: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing of Eurpoe is archived in \S+; did you mean Europe\?"):
        etl.open_archive(archive, "Eurpoe")
    with pytest.raises(UsageError, match=r"nothing of South America is archived in \S+; it holds Europe$"):
        etl.open_archive(archive, "South America")
    with pytest.raises(UsageError, match=r"nothing of Europe is archived .*; check the address"):
        etl.open_archive(archive / "europe", "Europe")


def test_a_bucket_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as address:
        for name, value in variables(address).items():
            monkeypatch.setenv(name, value)

        with pytest.raises(StorageError, match="there is no such bucket"):
            etl.open_archive("s3://nowhere/ndvi", "Europe")
        with pytest.raises(UsageError, match="nothing of Europe is archived"):
            etl.open_archive(f"s3://{BUCKET}/ndvi", "Europe")


@pytest.mark.filterwarnings("ignore:Successfully reconstructed a store:RuntimeWarning")
def test_another_process_reads_a_pickled_archive_with_credentials_of_its_own(
    service: StandIn, scenes: list[SceneFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as address:
        for name, value in variables(address).items():
            monkeypatch.setenv(name, value)
        place = f"s3://{BUCKET}/ndvi"
        assert run("convert", "Europe", "--archive", place, variables=with_token(service)).code == 0
        pickled = pickle.dumps(etl.open_archive(place, "Europe", mask=False))
        (tmp_path / "archive.pickle").write_bytes(pickled)
        code = (
            "import pathlib, pickle, numpy;"
            "opened = pickle.loads(pathlib.Path('archive.pickle').read_bytes());"
            "numpy.save('values.npy', opened.ndvi.values)"
        )
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)

    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode() not in pickled
    np.testing.assert_allclose(np.load(tmp_path / "values.npy"), decoded(scenes), atol=1e-9)


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_a_part_of_the_grid_has_its_own_place_on_the_map(archive: Path) -> None:
    part = etl.open_archive(archive, "Europe").ndvi.isel(latitude=slice(10, 20), longitude=slice(4, 24))

    assert part.rio.crs.to_epsg() == 4326
    assert part.rio.bounds() == pytest.approx((-9.0, 50.0, 1.0, 55.0))
    assert part.rio.transform() == pytest.approx((0.5, 0, -9.0, 0, -0.5, 55.0, 0, 0, 1))


@pytest.mark.parametrize(
    ("missing", "layout"), [("ndvi/c/3", "frames"), ("ndvi/c/3", "series"), ("series/ndvi/c", "series")]
)
def test_an_object_that_is_missing_is_an_error_and_not_no_data(
    archive: Path, tmp_path: Path, missing: str, layout: Literal["frames", "series"]
) -> None:
    place = Path(shutil.copytree(archive, tmp_path / "archive"))
    if missing.startswith("series"):
        assert run("optimize", "Europe", "--archive", place, "--period", "16").code == 0
    shutil.rmtree(place / "europe/ndvi.zarr" / missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = etl.open_archive(place, "Europe", layout=layout)

    assert opened.ndvi[-1].notnull().any()
    with pytest.raises(IncompatibleError, match="is missing; run ndvi-archive verify"):
        opened.ndvi[3].compute()


def test_what_was_masked_is_told(archive: Path) -> None:
    assert "nothing was masked" in etl.open_archive(archive, "Europe", mask=False).ndvi.attrs["comment"]
    layouts: tuple[Literal["frames", "series"], ...] = ("frames", "series")
    for layout in layouts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ndvi = etl.open_archive(archive, "Europe", mask=0.1, layout=layout).ndvi
        assert ndvi.attrs["comment"] == "NDVI below 0.1 is left out as no data."


def test_the_package_has_nothing_else_to_offer() -> None:
    with pytest.raises(AttributeError):
        etl.__getattr__("close_archive")


@pytest.fixture(scope="module")
def leveled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames with the levels 2 and 4; to be read only."""
    store = LocalFolder(tmp_path_factory.mktemp("levels") / "archive")
    schema = Schema("Europe", Grid(1030, 515, (-20.0, -35.0, 55.0, 38.0)), 12)
    append(store, frames(range(1, 4), schema), schema)
    return store.root


@pytest.mark.parametrize(("level", "factor"), [(2, 2), (3, 2), (4, 4), (100, 4)])
def test_a_level_is_the_coarsest_overview_that_is_no_coarser(leveled: Path, level: int, factor: int) -> None:
    frames_ = etl.open_archive(leveled, "Europe")

    coarse = etl.open_archive(leveled, "Europe", level=level)

    inventory = inventory_of(LocalFolder(leveled))
    stored = np.stack([inventory.frame(position, factor) for position in range(3)])
    expected = np.where(stored == -32768, np.nan, stored * 0.0001)
    np.testing.assert_allclose(coarse.ndvi.values, expected, atol=1e-9)
    assert set(coarse.coords) == set(frames_.coords)
    assert coarse.satellite.values.tolist() == frames_.satellite.values.tolist()
    first = frames_.longitude.values[:factor].mean(), frames_.latitude.values[:factor].mean()
    assert (coarse.longitude.values[0], coarse.latitude.values[0]) == pytest.approx(first)


@pytest.mark.parametrize("level", [1, 4])
def test_an_archive_with_overviews_can_be_copied_to_netcdf(leveled: Path, tmp_path: Path, level: int) -> None:
    dataset = etl.open_archive(leveled, "Europe", level=level).isel(time=[1])

    dataset.to_netcdf(tmp_path / "copy.nc")

    with xr.open_dataset(tmp_path / "copy.nc") as copy:
        np.testing.assert_allclose(copy.ndvi.values, dataset.ndvi.values, atol=1e-9)


def test_without_overviews_a_level_is_the_frames(archive: Path) -> None:
    xr.testing.assert_identical(
        etl.open_archive(archive, "Europe", level=8), etl.open_archive(archive, "Europe")
    )


def test_a_level_is_opened_over_http_as_well(leveled: Path) -> None:
    with serving(leveled) as server:
        served = etl.open_archive(server.url, "Europe", level=4)

        xr.testing.assert_identical(served.load(), etl.open_archive(leveled, "Europe", level=4).load())


def test_the_series_has_no_levels(archive: Path) -> None:
    with pytest.raises(UsageError, match="the series has no levels"):
        etl.open_archive(archive, "Europe", layout="series", level=2)
