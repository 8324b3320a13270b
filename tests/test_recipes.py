"""README's recipes for analysts, run as they stand there on the archive of `ndvi-archive demo`."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import obstore
import pytest
import shapely
import xarray as xr
from matplotlib.image import imread
from obstore.store import S3Store

from etl.demo.encoder import Encoding
from etl.demo.scene import scene
from etl.demo.service import StandIn, publish

from .forked import clean_environment
from .load.buckets import BUCKET, s3_server, variables
from .program import run, with_token
from .serve.serving import serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
USE = (ROOT / "README.md").read_text().partition("\n## Use it\n")[2].partition("\n## ")[0]
_, *SESSION, CLUSTER = re.findall(r"^```python\n(.*?)^```", USE, re.MULTILINE | re.DOTALL)
(SCRIPT,) = re.findall(r"^```js\n(.*?)^```", USE, re.MULTILINE | re.DOTALL)
(GDAL,) = re.findall(r"^```console\n(.*?)^```", USE, re.MULTILINE | re.DOTALL)
GROUP = "demo-archive/synthetic-europe/ndvi.zarr"
NODE_MODULES = ROOT / "build" / "web" / "viewer" / "node_modules"


def executed(command: list[str], folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """What a program prints; it must not fail."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment() | {"MPLBACKEND": "agg"} | dict(variables or {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader of README is after `scripts/demo`, but for the size of its pixels."""
    folder, bbox = tmp_path_factory.mktemp("recipes"), (-11.0, 35.0, 31.0, 60.0)
    frames = scene(168, 100, bbox, date(2021, 3, 1), 120)
    stream = publish(frames, tmp_path_factory.mktemp("stream"), bbox, Encoding(lossless=True))
    with StandIn({"Synthetic Europe": stream}) as service:
        place = folder / "demo-archive"
        ended = run("convert", "Synthetic Europe", "--archive", place, variables=with_token(service))
        assert ended.code == 0, ended.err
    assert run("optimize", "Synthetic Europe", "--archive", place).code == 0
    return folder


@pytest.fixture(scope="module")
def stored(folder: Path) -> xr.Dataset:
    """The archive as it is, but below 0.05."""
    opened: xr.Dataset = xr.open_zarr(folder / GROUP, chunks=None)
    return opened.assign(ndvi=opened.ndvi.where(opened.ndvi >= 0.05))


@pytest.fixture(scope="module")
def session(folder: Path) -> xr.Dataset:
    """What the recipes of one session of Python have computed."""
    save = """
import xarray as xr
xr.Dataset(
    {
        "day": day, "difference": difference, "longitudes": ("place", box.longitude.values),
        "course": ("frame", course.values),
        "s3a": ("visit", s3a.values), "s3b": ("visit", s3b.values), "times": ("visit", s3a.time.values),
    }
).drop_encoding().to_netcdf("session.nc")
"""
    (folder / "session.py").write_text("\n".join([*SESSION, save]))
    executed([sys.executable, "session.py"], folder)
    with xr.open_dataset(folder / "session.nc") as found:
        return found.load()


def test_the_map_is_of_its_date(folder: Path, session: xr.Dataset, stored: xr.Dataset) -> None:
    wanted = stored.ndvi.sel(time="2021-05-01")

    assert wanted.sizes["time"] == 2
    np.testing.assert_allclose(session.day.values, wanted.max("time").values)
    assert (folder / "ndvi.png").read_bytes().startswith(b"\x89PNG")


def test_the_series_is_weighted_by_area_and_of_one_satellite(session: xr.Dataset, stored: xr.Dataset) -> None:
    rows = (stored.latitude.values <= 50) & (stored.latitude.values >= 45)
    columns = (stored.longitude.values >= 5) & (stored.longitude.values <= 15)
    weights = np.broadcast_to(
        np.cos(np.radians(stored.latitude.values[rows]))[:, None], (rows.sum(), columns.sum())
    )
    for name, flag in (("s3a", 1), ("s3b", 2)):
        values = stored.ndvi.values[stored.satellite.values == flag][:, rows][:, :, columns]
        wanted = [np.average(each[valid := np.isfinite(each)], weights=weights[valid]) for each in values]
        assert len(wanted) == 120
        np.testing.assert_allclose(session[name].values, wanted)
    np.testing.assert_array_equal(session.longitudes, stored.longitude.values[columns])


def test_the_difference_is_of_the_days_that_both_have(session: xr.Dataset, stored: xr.Dataset) -> None:
    may = stored.sel(time="2021-05")
    s3a, s3b = (may.ndvi.values[may.satellite.values == flag] for flag in (1, 2))
    assert s3a.shape[0] == s3b.shape[0] == 31

    paired = np.ma.masked_invalid(s3a - s3b)

    np.testing.assert_allclose(session.difference.values, paired.mean(axis=0).filled(np.nan), atol=1e-9)


def test_the_course_is_of_the_nearest_pixel_to_the_newest_frame(
    session: xr.Dataset, stored: xr.Dataset
) -> None:
    wanted = stored.ndvi.sel(longitude=11.6, latitude=48.1, method="nearest")

    assert session.sizes["frame"] == 240
    np.testing.assert_array_equal(session.course.values, wanted.values)


def test_the_script_draws_a_map_and_the_season_of_its_region_by_satellite(
    folder: Path, stored: xr.Dataset
) -> None:
    script = (ROOT / "scripts/figure.py").read_text()
    save = "np.savez('figure.npz', day=day, s3a=s3a, s3b=s3b, outline=shapely.get_coordinates(REGION.shape))"
    (folder / "figure.py").write_text(f"{script}\n{save}\n")

    told = executed([sys.executable, "-W", "error", "figure.py"], folder)

    assert "on average of 120 days" in told
    with np.load(folder / "figure.npz") as figure:
        np.testing.assert_allclose(figure["day"], stored.ndvi.sel(time="2021-06-01").max("time").values)
        places = np.meshgrid(stored.longitude.values, stored.latitude.values)
        inside = shapely.contains_xy(shapely.Polygon(figure["outline"]), *places)
        weights = np.cos(np.radians(places[1][inside]))
        for name, flag in (("s3a", 1), ("s3b", 2)):
            values = np.ma.masked_invalid(stored.ndvi.values[stored.satellite.values == flag][:, inside])
            wanted = np.ma.filled(np.ma.average(values, axis=1, weights=weights), np.nan)
            np.testing.assert_allclose(figure[name], wanted, atol=1e-9)
    picture = imread(folder / "ndvi-figure.png")
    assert picture.shape == (630, 1800, 4)
    for colour in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)):
        drawn = np.isclose(picture[..., :3] * 255, colour, atol=1).all(axis=-1)
        assert drawn[:, 900:].sum() > 500
        assert not drawn[:, :800].any()


@pytest.fixture(scope="module")
def bucket(folder: Path) -> Iterator[str]:
    """Address of a server whose bucket has the archive as an object store would hold it."""
    with s3_server() as address:
        yield address


def test_workers_of_a_cluster_read_a_bucket_for_monthly_composites(
    folder: Path, bucket: str, stored: xr.Dataset
) -> None:
    there = S3Store(
        BUCKET,
        prefix="folder",
        endpoint=bucket,
        region="eu-central-1",
        access_key_id="demo-key",
        secret_access_key="demo-secret",  # noqa: S106 - of the server in this process
        client_options={"allow_http": True},
    )
    for path in (folder / "demo-archive").rglob("*"):
        if path.is_file():
            obstore.put(there, path.relative_to(folder / "demo-archive").as_posix(), path.read_bytes())
    (folder / "monthly.py").write_text(CLUSTER.replace("s3://bucket/", f"s3://{BUCKET}/"))

    executed([sys.executable, "monthly.py"], folder, variables(bucket))

    with xr.open_dataarray(folder / "monthly.nc") as monthly:
        assert monthly.time.dt.month.values.tolist() == [3, 4, 5, 6]
        months = stored.time.dt.month.values
        for month, found in zip((3, 4, 5, 6), monthly.values, strict=True):
            wanted = np.fmax.reduce(stored.ndvi.values[months == month])
            np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_zarrita_reads_what_is_served(folder: Path, stored: xr.Dataset) -> None:
    if shutil.which("node") is None or not (NODE_MODULES / "zarrita").is_dir():
        pytest.skip("NOT TESTED WITH ZARRITA: there is no node, or scripts/build-web has not run here")
    with serving(folder / "demo-archive") as server:
        script = SCRIPT.replace("http://127.0.0.1:8000", server.url)
        told = "console.log(values.reduce((sum, each) => sum + (each || 0), 0));"
        command = ["node", "--input-type=module", "--eval", script + told]
        printed = executed(command, NODE_MODULES.parent)

    newest = stored.ndvi[-1].values
    first, second = printed.splitlines()
    assert first == f"[ 100, 168 ] {np.isfinite(newest).sum()} pixels of at least 0.05"
    assert float(second) == pytest.approx(np.nansum(newest))


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_gdal_reads_the_folder_and_what_is_served(folder: Path) -> None:
    program = shutil.which("gdalinfo")
    version = re.match(r"GDAL (\d+)\.(\d+)", executed([program, "--version"], folder)) if program else None
    if version is None or (int(version[1]), int(version[2])) < (3, 13):
        pytest.skip("NOT TESTED WITH GDAL: there is none of 3.13 or newer")
    with serving(folder / "demo-archive") as server:
        told = executed(["sh", "-ec", GDAL.replace("http://127.0.0.1:8000", server.url)], folder, os.environ)
    assert "Size is 168, 100" in told
    assert "Pixel Size = (0.250000000000000,-0.250000000000000)" in told
    with xr.open_dataset(folder / "newest.tif", engine="rasterio", mask_and_scale=False) as newest:
        stored = xr.open_zarr(folder / GROUP, chunks=None, mask_and_scale=False).ndvi[-1]
        np.testing.assert_array_equal(newest.band_data[0].values, stored.values)
