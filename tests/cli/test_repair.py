"""Where a rebuild has to wait for readers, damaged frames are repaired at once, byte by byte as they were."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame, scene
from etl.demo.service import StandIn, Stream, publish
from tests.cli.test_convert import stored
from tests.conftest import BBOX
from tests.program import Ended, contents, convert, run

ENCODING = Encoding(lossless=True, gop=4)


@pytest.fixture(scope="module")
def wide() -> list[SceneFrame]:
    """Five days of two satellites: frames of 600 × 40 pixels, so with overviews of 1/2."""
    return list(scene(600, 40, BBOX, date(2021, 3, 1), 5))


@pytest.fixture(scope="module")
def stream(wide: list[SceneFrame], tmp_path_factory: pytest.TempPathFactory) -> Stream:
    return publish(wide, tmp_path_factory.mktemp("wide"), BBOX, ENCODING)


@pytest.fixture
def service(stream: Stream) -> Iterator[StandIn]:
    """The third image has no scale: its frame holds no data."""
    with StandIn({"Europe": stream}) as standing_in:
        standing_in.faults.nonfinite_scales = {3: ("inf", None)}
        yield standing_in


def rebuilt(service: StandIn, archive: Path, *options: str) -> Path:
    """An archive that has just been rebuilt; its group."""
    assert convert(service, archive, *options).code == 0
    assert convert(service, archive, "--rebuild").code == 0
    return archive / "europe/ndvi.zarr"


def damage(group: Path, layout: str) -> None:
    """Of frames 1 to 4 the first chunk or all: swapped, missing, missing, cut off; overviews of 5 and 6."""
    name = "0/0" if layout == "sharded" else "0/1"
    ndvi, level = group / "ndvi", group / "overviews/2/ndvi"
    (ndvi / f"0/{name}").write_bytes((ndvi / f"7/{name}").read_bytes())
    (ndvi / f"1/{name}").unlink()
    (ndvi / f"2/{name}").unlink()
    (ndvi / f"3/{name}").write_bytes((ndvi / f"3/{name}").read_bytes()[:-9])
    (level / "4/0/0").unlink()
    (level / "5/0/0").write_bytes((level / "6/0/0").read_bytes())


def report_of(ended: Ended, path: Path) -> dict[str, Any]:
    assert "Traceback" not in ended.err
    report: dict[str, Any] = json.loads(path.read_text())
    return report


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_damaged_frames_are_written_again_as_they_were_and_readers_are_not_disturbed(
    service: StandIn, archive: Path, tmp_path: Path, layout: str
) -> None:
    assert convert(service, archive, "--layout", layout).code == 0
    opened = xr.open_zarr(archive / "europe/ndvi.zarr", mask_and_scale=False)
    values = opened.copy().load()
    assert convert(service, archive, "--rebuild").code == 0
    group = archive / "europe/ndvi.zarr"
    before = contents(group)
    damage(group, layout)
    assert run("verify", "--archive", archive).code == 6

    ended = convert(service, archive, "--rebuild", "--report", tmp_path / "report")

    assert ended.code == 0, ended.err
    report = report_of(ended, tmp_path / "report")
    assert sorted(int(name.split()[1]) for name in report["repaired"]) == [1, 2, 3, 4, 5, 6]
    assert (report["rebuild"], report["replaced"], report["archived"]) == (False, False, 0)
    assert "6 frames damaged, repaired: frame 3 (" in ended.out
    assert "frame 6 (2021-03-03T" in ended.err
    assert contents(group) == before
    assert run("verify", "--archive", archive).code == 0
    xr.testing.assert_identical(opened.load(), values)


def test_frames_of_other_dates_stay_damaged_and_new_ones_are_appended(
    service: StandIn, stream: Stream, archive: Path
) -> None:
    service.streams["Europe"] = replace(stream, images=stream.images[:8])
    group = rebuilt(service, archive)
    service.streams["Europe"] = stream
    (group / "ndvi/0/0/0").unlink()
    (group / "ndvi/6/0/0").unlink()

    ended = convert(service, archive, "--rebuild", "--start", "2021-03-03")

    assert ended.code == 0, ended.err
    assert ended.out.startswith(
        "Europe: 2 frames archived, 4 there before\n  1 frame damaged, repaired: frame 7 ("
    )
    assert (group / "ndvi/6/0/0").exists()
    assert not (group / "ndvi/0/0/0").exists()
    assert stored(archive).sizes["time"] == 10


def test_what_only_a_rebuild_can_do_still_has_to_wait_after_the_repair(
    service: StandIn, stream: Stream, archive: Path
) -> None:
    service.streams["Europe"] = replace(stream, images=(*stream.images[:4], *stream.images[5:]))
    group = rebuilt(service, archive)
    service.streams["Europe"] = stream
    before = contents(group)
    (group / "ndvi/6/0/0").unlink()

    ended = convert(service, archive, "--rebuild")

    assert ended.code == 5
    assert "run it again after 20" in ended.error
    assert "frame 8 (2021-03-04T" in ended.err
    assert contents(group) == before


def test_frames_that_the_service_shows_otherwise_or_no_longer_lists_are_named_and_not_touched(
    service: StandIn, stream: Stream, wide: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    group = rebuilt(service, archive)
    (group / "ndvi/0/0/0").unlink()
    (group / "ndvi/6/0/0").unlink()
    (group / "overviews/2/ndvi/1/0/0").unlink()
    damaged = contents(group)
    others = [replace(frame, codes=np.flip(frame.codes).copy()) for frame in wide]
    service.streams["Europe"] = publish(others, tmp_path / "others", BBOX, ENCODING)
    images = service.streams["Europe"].images[2:]
    service.streams["Europe"] = replace(service.streams["Europe"], images=images)

    ended = convert(service, archive, "--rebuild")

    assert ended.code == 5
    assert "run it again after 20" in ended.error
    assert ended.err.count("it is not repaired") == 2
    assert "frame 1 (2021-03-01" in ended.err
    assert "frame 7 (2021-03-04" in ended.err
    after = contents(group)
    assert after.keys() - damaged.keys() == {"overviews/2/ndvi/1/0/0"}
    assert {key: after[key] for key in damaged} == damaged
