"""A continent small enough to be archived many times, and the order of the tests."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame, scene
from etl.demo.service import StandIn, Stream, publish

BBOX = (-11.0, 35.0, 31.0, 60.0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that test the whole program: one that takes long should not come last."""
    items.sort(key=lambda item: len(item.path.parts))


@pytest.fixture(scope="session")
def scenes() -> list[SceneFrame]:
    """Ten days of two satellites from 2021-03-01 on: twenty frames of 84 × 50 pixels."""
    return list(scene(84, 50, BBOX, date(2021, 3, 1), 10))


@pytest.fixture(scope="session")
def europe(scenes: list[SceneFrame], tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """The scenes as lossless 12-bit HEVC in MP4, one key frame every 8 frames."""
    return publish(scenes, tmp_path_factory.mktemp("europe"), BBOX, Encoding(lossless=True, gop=8))


@pytest.fixture
def service(europe: Stream) -> Iterator[StandIn]:
    """The stand-in, without faults."""
    with StandIn({"Europe": europe}) as standing_in:
        yield standing_in


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Where an archive will be."""
    return tmp_path / "archive"
