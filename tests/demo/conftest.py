"""A small stream and the stand-in that serves it."""

from collections.abc import Iterator
from datetime import date

import pytest

from etl.demo.encoder import Encoding
from etl.demo.scene import scene
from etl.demo.service import StandIn, Stream, publish

EUROPE = (-25.0, 34.0, 45.0, 72.0)


@pytest.fixture(scope="session")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """Four days of two satellites: eight frames of 96 × 64 pixels."""
    frames = scene(96, 64, EUROPE, date(2024, 6, 1), 4)
    return publish(frames, tmp_path_factory.mktemp("mp4"), EUROPE, Encoding(lossless=True))


@pytest.fixture(scope="session")
def playlist(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """Twelve days of the same scene, as HLS in three segments."""
    frames = scene(96, 64, EUROPE, date(2024, 6, 1), 12)
    encoding = Encoding(container="hls-fmp4", gop=8, segment_seconds=0.3)
    return publish(frames, tmp_path_factory.mktemp("hls"), EUROPE, encoding)


@pytest.fixture
def stand_in(stream: Stream) -> Iterator[StandIn]:
    with StandIn({"Europe": stream}) as service:
        yield service
