"""A stand-in that serves any clip, and clips that are encoded once."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from etl.demo.encoder import Encoding
from etl.demo.faults import Faults
from etl.demo.service import Request, StandIn

from .clips import COLUMNS, ROWS, Clip, drawn, made

Clips = Callable[..., Clip]
Traffic = Callable[[], list[Request]]


@pytest.fixture(scope="session")
def _server() -> Iterator[StandIn]:
    with StandIn({}) as service:
        yield service


@pytest.fixture
def server(_server: StandIn) -> Iterator[StandIn]:
    """The stand-in without streams and without faults."""
    yield _server
    vars(_server.faults).update(vars(Faults()))
    _server.streams.clear()


@pytest.fixture
def traffic(server: StandIn) -> Traffic:
    """Gives the requests of this test so far."""
    earlier = len(server.requests)
    return lambda: server.requests[earlier:]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Gives the clip of an encoding, a number of frames, and (columns, rows)."""

    @cache
    def clip(encoding: Encoding, count: int = 40, size: tuple[int, int] = (COLUMNS, ROWS)) -> Clip:
        return made(drawn(count, 12, *size), tmp_path_factory.mktemp("clip") / "stream", encoding)

    return clip
