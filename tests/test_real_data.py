"""Real satellite NDVI, through every real part, against an independent decode."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from etl.demo.encoder import Container, Encoding
from etl.demo.scene import SceneFrame
from etl.demo.server import ServerThread
from etl.demo.service import StandIn, publish
from tests.program import convert

DATA = Path(__file__).parents[2] / "shared" / "data"
SATELLITES = {"Terra": "S3A", "Aqua": "S3B"}


@dataclass(frozen=True)
class RealSeries:
    """One of the real series, as the service would scale it."""

    bbox: tuple[float, float, float, float]
    frames: list[SceneFrame]


def real_series(name: str, *, own_minimum: bool) -> RealSeries:
    """Read a series; with its own minimum, no data and the lowest value share code 0."""
    if not DATA.is_dir():
        pytest.skip(f"NOT TESTED on real data: there is no {DATA.name} folder beside the checkout")
    about = json.loads((DATA / f"{name}.json").read_text())
    values = np.load(DATA / f"{name}.npz")["ndvi"]
    frames = []
    for described, ndvi in zip(about["frames"], values, strict=True):
        low = float(np.nanmin(ndvi)) if own_minimum else 0.0
        high = float(np.nanmax(ndvi))
        codes = np.clip(np.rint((ndvi - low) / (high - low) * 4095), 0, 4095)
        codes = np.nan_to_num(codes, nan=0).astype(np.uint16)
        time = np.datetime64(described["date"], "s")
        frames.append(SceneFrame(time, SATELLITES[described["sensor"]], low, high, codes))
    return RealSeries(tuple(about["bbox"]), frames)


def decode_with_ffmpeg(file: Path, shape: tuple[int, int, int]) -> NDArray[np.uint16]:
    """Decode a whole stream by the `ffmpeg` program."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("NOT COMPARED with an independent decode: there is no ffmpeg program")
    command: list[str | Path] = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        file,
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray12le",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, "<u2").reshape(shape)


@pytest.fixture
def file_server(archive: Path) -> Iterator[str]:
    """The address of the archive's folder, served with ranges."""
    server = ServerThread()
    archive.mkdir()
    server.start(Starlette(routes=[Mount("/", StaticFiles(directory=archive))]))
    yield server.url
    server.stop()


@pytest.mark.parametrize(
    ("name", "own_minimum", "container"),
    [
        ("gabon_terra_aqua_1km", False, "mp4"),
        ("gabon_terra_aqua_1km", True, "hls-ts"),
        ("sinop_mod13q1_250m", False, "hls-fmp4"),
        ("sinop_mod13q1_250m", True, "mp4"),
    ],
)
def test_every_pixel_of_real_ndvi_equals_an_independent_decode_scaled_in_float64(
    name: str, own_minimum: bool, container: Container, archive: Path, file_server: str
) -> None:
    series = real_series(name, own_minimum=own_minimum)
    stream = publish(series.frames, archive.parent / "stream", series.bbox, Encoding(container, crf=4))
    with StandIn({"Europe": stream}) as service:
        ended = convert(service, archive)
    assert ended.code == 0, ended.err

    dataset = xr.open_zarr(f"{file_server}/europe/ndvi.zarr", mask_and_scale=False)
    codes = decode_with_ffmpeg(stream.file, (len(series.frames), stream.rows, stream.columns))
    for position, frame in enumerate(series.frames):
        ndvi = codes[position] / np.float64(4095) * (frame.maximum - frame.minimum) + frame.minimum
        expected = np.rint(ndvi / 0.0001).astype(np.int16)
        np.testing.assert_array_equal(dataset.ndvi[position].values, expected)
    assert dataset.time.values.astype("datetime64[s]").tolist() == [f.time.tolist() for f in series.frames]
    assert dataset.satellite.values.tolist() == [{"S3A": 1, "S3B": 2}[f.satellite] for f in series.frames]
    west, south, east, north = series.bbox
    np.testing.assert_allclose(
        [dataset.longitude[0], dataset.longitude[-1], dataset.latitude[0], dataset.latitude[-1]],
        [
            west + (east - west) / stream.columns / 2,
            east - (east - west) / stream.columns / 2,
            north - (north - south) / stream.rows / 2,
            south + (north - south) / stream.rows / 2,
        ],
    )
