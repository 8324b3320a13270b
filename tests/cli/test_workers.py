"""Frames shared among many processes: the archive is the same, whatever happens to them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from tests.cli.test_convert import assert_holds
from tests.conftest import BBOX
from tests.program import contents, convert, run


@pytest.fixture(scope="module")
def short_groups(scenes: list[SceneFrame], tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """The twenty frames of Europe in groups of four."""
    return publish(scenes, tmp_path_factory.mktemp("groups"), BBOX, Encoding(lossless=True, gop=4))


@pytest.fixture
def service(short_groups: Stream) -> Iterator[StandIn]:
    with StandIn({"Europe": short_groups}) as standing_in:
        yield standing_in


def frame_objects(archive: Path) -> dict[str, bytes]:
    return {key: data for key, data in contents(archive).items() if "ndvi.zarr/ndvi/c/" in key}


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_two_workers_write_the_same_bytes_as_one_process(
    service: StandIn, archive: Path, scenes: list[SceneFrame], layout: str
) -> None:
    alone = archive.with_name("alone")
    assert convert(service, alone, "--layout", layout).code == 0

    ended = convert(service, archive, "--layout", layout, "--workers", "2")

    assert ended.code == 0, ended.err
    assert_holds(archive, scenes)
    assert frame_objects(archive) == frame_objects(alone)
    assert run("verify", "--archive", archive).code == 0
