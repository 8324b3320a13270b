"""`convert --overviews` and `--no-overviews`: what an archive is given, and that it remembers."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame, scene
from etl.demo.service import StandIn, publish
from etl.transform.overview import levels_of
from tests.cli.test_convert import expected_values
from tests.conftest import BBOX
from tests.program import convert, run


@pytest.fixture(scope="module")
def wide() -> list[SceneFrame]:
    """Two days of two satellites: frames of 600 × 40 pixels."""
    return list(scene(600, 40, BBOX, date(2021, 3, 1), 2))


@pytest.fixture(scope="module")
def service(wide: list[SceneFrame], tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    stream = publish(wide, tmp_path_factory.mktemp("wide"), BBOX, Encoding(lossless=True, gop=4))
    with StandIn({"Europe": stream}) as standing_in:
        yield standing_in


def assert_has_levels(archive: Path, wide: list[SceneFrame]) -> None:
    with xr.open_zarr(
        archive / "europe/ndvi.zarr", group="overviews/2", mask_and_scale=False, chunks=None
    ) as level:
        wanted = np.stack([levels_of(expected_values(frame), (2,))[2] for frame in wide])
        np.testing.assert_array_equal(level.ndvi, wanted)
        assert level.time.values.tolist() == [frame.time.astype("datetime64[ns]").item() for frame in wide]


def test_large_frames_are_given_levels_that_all_commands_know(
    service: StandIn, wide: list[SceneFrame], archive: Path
) -> None:
    assert convert(service, archive, "--end", "2021-03-01").code == 0
    assert convert(service, archive).code == 0

    assert_has_levels(archive, wide)
    assert run("verify", "--archive", archive).code == 0
    assert "; overviews 1/2\n" in run("info", "--archive", archive).out
    collection = json.loads((archive / "europe/collection.json").read_text())
    assert "`overviews/2`" in collection["assets"]["ndvi"]["description"]
    assert not [name for name in collection["cube:variables"] if "overviews" in name]


def test_an_archive_without_goes_on_without_until_a_rebuild_adds_them(
    service: StandIn, wide: list[SceneFrame], archive: Path
) -> None:
    assert convert(service, archive, "--no-overviews", "--end", "2021-03-01").code == 0

    ended = convert(service, archive, "--overviews")

    assert ended.code == 0
    assert "the archive has no overviews and goes on without; --rebuild --overviews adds them" in ended.err
    assert "overviews" not in run("info", "--archive", archive).out
    assert convert(service, archive, "--rebuild", "--end", "2021-03-01").code == 0
    assert not (archive / "europe/ndvi.zarr/overviews").exists()
    assert run("verify", "--archive", archive).code == 0

    (archive / "europe/.outdated").unlink()
    ended = convert(service, archive, "--rebuild", "--overviews", "--start", "2021-03-02")

    assert ended.code == 0
    assert_has_levels(archive, wide)
    assert run("verify", "--archive", archive).code == 0


def test_an_archive_with_levels_keeps_them_and_says_so(
    service: StandIn, wide: list[SceneFrame], archive: Path
) -> None:
    assert convert(service, archive, "--end", "2021-03-01").code == 0

    ended = convert(service, archive, "--no-overviews")

    assert ended.code == 0
    assert "the archive has overviews and goes on with them; --rebuild --no-overviews drops them" in ended.err
    assert_has_levels(archive, wide)
