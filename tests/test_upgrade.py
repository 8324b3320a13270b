"""An archive that an earlier version wrote is read, verified, extended, optimized and rebuilt.

`tests/archives/NAME.tar.xz` holds the first 36 pictures as `convert --items frame --optimize` of that version
archives them, and `NAME-rebuilt.tar.xz` the same after `convert --rebuild` of one day.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, publish
from tests.program import convert, run

BBOX = (-11.0, 35.0, 31.0, 60.0)
ROWS, COLUMNS = 300, 576
ARCHIVED, LISTED = 36, 70
ARCHIVES = Path(__file__).with_name("archives")


def pictures(count: int) -> Iterator[SceneFrame]:
    """Frames of squares, two a day, one in nine without data; no two are alike."""
    y, x = np.mgrid[:ROWS, :COLUMNS] // 36
    for n in range(count):
        codes = ((x * 37 + y * 101 + n * 59) % 4096).astype(np.uint16)
        low, high = (np.inf, -np.inf) if n % 9 == 5 else (-0.1 - n / 1000, 0.8 + n / 2000)
        time = np.datetime64("2021-03-01T09:57:00") + np.timedelta64(n // 2 * 86400 + n % 2 * 1800, "s")
        yield SceneFrame(time, "S3B" if n % 2 else "S3A", low, high, codes)


def stored(frame: SceneFrame) -> NDArray[np.int16]:
    """The values of a frame as an archive keeps them, by NumPy alone."""
    if not np.isfinite(frame.minimum):
        return np.full(frame.codes.shape, -32768, np.int16)
    ndvi = frame.codes / 4095 * (frame.maximum - frame.minimum) + frame.minimum
    return np.rint(ndvi / 0.0001).astype(np.int16)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The service, which lists more frames than are archived."""
    stream = publish(pictures(LISTED), tmp_path_factory.mktemp("grown"), BBOX, Encoding(lossless=True, gop=8))
    with StandIn({"Europe": stream}) as service:
        yield service


@pytest.fixture(params=["0.1", "0.1-rebuilt"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive of an earlier version."""
    with tarfile.open(ARCHIVES / f"{request.param}.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "archive"


def found(archive: Path) -> xr.Dataset:
    """All that an archive holds, values as they are stored."""
    with xr.open_zarr(archive / "europe/ndvi.zarr", chunks=None, mask_and_scale=False) as dataset:
        arrays: xr.Dataset = dataset.load()
    return arrays


def check_values(archive: Path, count: int) -> None:
    """Compare every pixel with the pictures."""
    ndvi = found(archive).ndvi.values
    assert len(ndvi) == count
    for values, frame in zip(ndvi, pictures(count), strict=True):
        np.testing.assert_array_equal(values, stored(frame))


def check_verified(archive: Path) -> None:
    """Verify an archive, which must have no finding but notes."""
    ended = run("verify", "--archive", archive)
    assert ended.code == 0, ended.out


def test_it_is_read_and_verified(archive: Path) -> None:
    check_values(archive, ARCHIVED)
    check_verified(archive)


def test_it_is_extended_as_it_was_archived(archive: Path, grown: StandIn) -> None:
    before = found(archive)
    ended = convert(grown, archive, "--optimize")
    assert ended.code == 0, ended.err
    check_values(archive, LISTED)
    xr.testing.assert_identical(before.drop_attrs(), found(archive).isel(time=slice(ARCHIVED)).drop_attrs())
    check_verified(archive)


def test_its_days_are_rebuilt(archive: Path, grown: StandIn) -> None:
    (archive / "europe/.outdated").unlink(missing_ok=True)
    ended = convert(grown, archive, "--rebuild", "--start", "2021-03-05", "--end", "2021-03-06")
    assert ended.code == 0, ended.err
    check_values(archive, ARCHIVED)
    check_verified(archive)
