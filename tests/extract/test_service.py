"""The service as the pipeline sees it: listing and frames, over everything that is real."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame, scene
from etl.demo.service import StandIn, Stream, publish
from etl.errors import ServiceError, StreamError, UsageError
from etl.extract.auth import TOKEN_VARIABLE, TokenSource
from etl.extract.service import ContinentService

EUROPE = (-25.0, 34.0, 45.0, 72.0)


@pytest.fixture(scope="module")
def scenes() -> list[SceneFrame]:
    """Two satellites on twenty days."""
    return list(scene(90, 52, EUROPE, date(2024, 6, 1), 20))


@pytest.fixture(scope="module", params=["mp4", "hls-ts"])
def stream(
    request: pytest.FixtureRequest, scenes: list[SceneFrame], tmp_path_factory: pytest.TempPathFactory
) -> Stream:
    encoding = Encoding(request.param, gop=10, lossless=True, segment_seconds=0.4)
    return publish(scenes, tmp_path_factory.mktemp("scenes"), EUROPE, encoding)


@pytest.fixture
def stand_in(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in with signed addresses, and a token for it in the environment."""
    with StandIn({"Europe": stream}, signed_urls=True) as service:
        monkeypatch.setenv(TOKEN_VARIABLE, service.issue_token())
        yield service


def test_frames_carry_what_the_metadata_says_of_them(stand_in: StandIn, scenes: list[SceneFrame]) -> None:
    service = ContinentService(stand_in.api_url, TokenSource())
    listing = service.listing("Europe", datetime(2024, 6, 5, tzinfo=UTC), datetime(2024, 6, 14, tzinfo=UTC))
    frames = list(service.frames(listing, listing.entries))
    assert [frame.entry.number for frame in frames] == list(range(9, 27))
    for frame in frames:
        seen = scenes[frame.entry.number - 1]
        assert frame.entry.time.replace(tzinfo=None) == seen.time.astype(datetime)
        assert frame.entry.satellite == seen.satellite
        assert (frame.entry.scale.minimum, frame.entry.scale.maximum) == (seen.minimum, seen.maximum)
        assert frame.bits == 12
        np.testing.assert_array_equal(frame.codes, seen.codes)
    assert service.bytes_received > 0


def test_only_the_given_entries_are_read(stand_in: StandIn, scenes: list[SceneFrame]) -> None:
    service = ContinentService(stand_in.api_url, TokenSource(), threads=1)
    listing = service.listing("Europe", None, None)
    entries = [entry for entry in listing.entries if entry.satellite == "S3B"][::3]
    for entry, frame in zip(entries, service.frames(listing, entries), strict=True):
        assert frame.entry is entry
        np.testing.assert_array_equal(frame.codes, scenes[entry.number - 1].codes)


def test_metadata_that_lists_more_than_the_stream_has_is_told(stand_in: StandIn, stream: Stream) -> None:
    def with_one_more(body: dict[str, object]) -> dict[str, object]:
        images = body["images"]
        assert isinstance(images, list)
        more = images[-1] | {"img_number": len(images) + 1, "img_start_date": "2024-07-01T00:00:00"}
        return body | {"images": [*images, more]}

    stand_in.faults.metadata = with_one_more
    service = ContinentService(stand_in.api_url, TokenSource())
    listing = service.listing("Europe", None, None)
    with pytest.raises(StreamError, match="ends at frame 40") as caught:
        list(service.frames(listing, listing.entries[-3:]))
    assert caught.value.number == len(stream.images) + 1
    assert caught.value.exit_code == 4


def test_metadata_of_another_size_is_told(stand_in: StandIn) -> None:
    stand_in.faults.wrong_size = (91, 52)
    service = ContinentService(stand_in.api_url, TokenSource())
    listing = service.listing("Europe", None, None)
    with pytest.raises(StreamError, match="90 × 52 pixels, the metadata says 91 × 52"):
        next(service.frames(listing, listing.entries))


def test_frames_larger_than_allowed_are_refused(stand_in: StandIn) -> None:
    service = ContinentService(stand_in.api_url, TokenSource(), max_pixels=90 * 52)
    assert service.listing("Europe", None, None).columns == 90
    service = ContinentService(stand_in.api_url, TokenSource(), max_pixels=90 * 52 - 1)
    with pytest.raises(ServiceError, match=r"90 × 52 pixels .* the limit of 4679; .* --max-pixels"):
        service.listing("Europe", None, None)


def test_an_address_of_the_service_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        ContinentService("streamer.destine.eu/api", TokenSource(tmp_path / "token"))
