"""Addresses and tokens that expire while a stream is read: renewed, and nothing is lost or read twice."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from etl.demo.encoder import Codes, Container, Encoding, encode
from etl.demo.service import Image, StandIn, Stream
from etl.errors import LoginError, StreamError
from etl.extract.api import Listing
from etl.extract.auth import TokenSource
from etl.extract.frame import Frame
from etl.extract.http import RETRIES, HttpClient
from etl.extract.service import ContinentService

from .clips import drawn

CONTAINERS: Sequence[Container] = ("mp4", "ts", "hls-ts", "hls-fmp4")
BBOX = (0.0, 0.0, 3.0, 2.0)


@pytest.fixture(scope="module")
def pictures() -> list[Codes]:
    """Forty frames that take so many bytes that no stream comes in one answer."""
    return drawn(40, columns=300, rows=200)


@pytest.fixture(scope="module")
def streams(pictures: list[Codes], tmp_path_factory: pytest.TempPathFactory) -> dict[Container, Stream]:
    """These frames in every container."""
    images = tuple(
        Image(n, np.datetime64("2021-03-01T10:00:00") + np.timedelta64(n, "D"), "S3A", -0.1, 0.9)
        for n in range(1, len(pictures) + 1)
    )
    made: dict[Container, Stream] = {}
    for container in CONTAINERS:
        encoding = Encoding(container, gop=10, lossless=True, segment_seconds=0.4)
        file = encode(pictures, tmp_path_factory.mktemp(container), encoding)
        made[container] = Stream(file, 300, 200, BBOX, images)
    return made


@pytest.fixture
def signing() -> Iterator[StandIn]:
    """A stand-in with signed addresses; it has no streams yet."""
    with StandIn({}, signed_urls=True) as service:
        yield service


@pytest.fixture
def token(signing: StandIn, tmp_path: Path) -> Path:
    """A file with a token."""
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(signing.issue_token())
    return file


Opened = tuple[ContinentService, Listing]


def opened(signing: StandIn, token: Path, stream: Stream) -> Opened:
    """The service, and what it lists of a stream."""
    signing.streams["Europe"] = stream
    service = ContinentService(signing.api_url, TokenSource(token), client=HttpClient(pause=0.0))
    return service, service.listing("Europe", None, None)


def read(opened: Opened, came: list[Frame], pictures: list[Codes]) -> None:
    """Read all frames; each that comes must be right."""
    service, listing = opened
    for frame in service.frames(listing, listing.entries):
        np.testing.assert_array_equal(frame.codes, pictures[frame.entry.number - 1])
        came.append(frame)


def metadata_requests(signing: StandIn) -> int:
    return sum("/metadata/" in request.path for request in signing.requests)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("every", [1, 3])
def test_addresses_that_expire_again_and_again_are_renewed(  # noqa: PLR0917 - pytest passes them
    signing: StandIn,
    token: Path,
    streams: dict[Container, Stream],
    pictures: list[Codes],
    container: Container,
    every: int,
) -> None:
    service, listing = opened(signing, token, streams[container])
    signing.faults.urls_expire_every = every
    came: list[Frame] = []

    read((service, listing), came, pictures)

    assert [frame.entry for frame in came] == list(listing.entries)
    refused = sum(request.status == 403 for request in signing.requests)
    assert refused >= (3 if every == 1 else 1)
    assert service.retries == refused
    assert metadata_requests(signing) == 1 + refused
    # What had been read is not read again.
    size = sum(file.stat().st_size for file in streams[container].file.parent.iterdir())
    assert service.bytes_received < 2 * size


@pytest.mark.parametrize("status", [400, 401, 404, 410])
@pytest.mark.parametrize("container", ["mp4", "hls-ts"])
def test_servers_tell_in_several_ways_that_an_address_has_expired(  # noqa: PLR0917 - pytest passes them
    signing: StandIn,
    token: Path,
    streams: dict[Container, Stream],
    pictures: list[Codes],
    container: Container,
    status: int,
) -> None:
    read_on = opened(signing, token, streams[container])
    signing.faults.urls_expire_after, signing.faults.expired_status = 2, status
    came: list[Frame] = []
    read(read_on, came, pictures)
    assert len(came) == 40
    assert sum(request.status == status for request in signing.requests) == 1


@pytest.mark.parametrize("container", CONTAINERS)
def test_an_address_that_is_refused_from_the_start_is_given_up(
    token: Path, streams: dict[Container, Stream], pictures: list[Codes], container: Container
) -> None:
    with StandIn({}, signed_urls=True, url_seconds=-1) as signing:
        token.write_text(signing.issue_token())
        read_on = opened(signing, token, streams[container])
        with pytest.raises(StreamError, match=r"frame 1 of .* answered 403 Forbidden") as caught:
            read(read_on, [], pictures)
        assert metadata_requests(signing) == 1 + RETRIES
    assert "signature" not in str(caught.value)


def test_a_missing_segment_does_not_become_better_by_renewals(
    signing: StandIn, token: Path, streams: dict[Container, Stream], pictures: list[Codes]
) -> None:
    read_on = opened(signing, token, streams["hls-ts"])
    signing.faults.missing = frozenset({"stream0002.ts"})
    came: list[Frame] = []
    with pytest.raises(StreamError, match=r"stream0002\.ts answered 404"):
        read(read_on, came, pictures)
    assert len(came) > 10
    # Once more where decoding is tried again.
    assert metadata_requests(signing) <= 1 + 2 * RETRIES


def test_an_address_without_a_signature_is_asked_for_again_but_once(
    token: Path, streams: dict[Container, Stream], pictures: list[Codes]
) -> None:
    with StandIn({}) as plain:
        token.write_text(plain.issue_token())
        read_on = opened(plain, token, streams["mp4"])
        plain.faults.missing = frozenset({"stream.mp4"})
        with pytest.raises(StreamError, match=r"stream\.mp4 answered 404"):
            read(read_on, [], pictures)
        assert metadata_requests(plain) == 2


Edit = Callable[[dict[str, Any]], None]


def rescaled(body: dict[str, Any]) -> None:
    body["images"][-1]["img_max_value"] = 0.8


def moved(body: dict[str, Any]) -> None:
    body["images"][-1]["img_start_date"] = "2021-04-10T09:00:00"


def of_another_satellite(body: dict[str, Any]) -> None:
    body["images"][-1]["satellite"] = "S3B"


def renumbered(body: dict[str, Any]) -> None:
    for image in body["images"]:
        image["img_number"] += 1


def shorter(body: dict[str, Any]) -> None:
    body["images"].pop()


def regridded(body: dict[str, Any]) -> None:
    body["bbox"][0] -= 1.0


def resized(body: dict[str, Any]) -> None:
    body["nx"] += 1


@pytest.mark.parametrize(
    "edit", [rescaled, moved, of_another_satellite, renumbered, shorter, regridded, resized]
)
def test_a_stream_that_has_become_another_is_not_gone_on_with(
    signing: StandIn, token: Path, streams: dict[Container, Stream], pictures: list[Codes], edit: Edit
) -> None:
    def edited(body: dict[str, Any]) -> dict[str, Any]:
        edit(body)
        return body

    read_on = opened(signing, token, streams["hls-ts"])
    signing.faults.metadata = edited
    signing.faults.urls_expire_after = 4
    came: list[Frame] = []
    with pytest.raises(StreamError, match="the stream changed while it was read") as caught:
        read(read_on, came, pictures)
    assert 0 < len(came) < 40
    assert caught.value.number == len(came) + 1
    assert caught.value.exit_code == 4


def test_a_stream_that_has_grown_meanwhile_is_gone_on_with(
    signing: StandIn, token: Path, streams: dict[Container, Stream], pictures: list[Codes]
) -> None:
    service, listing = opened(signing, token, streams["mp4"])
    signing.faults.urls_expire_after = 3
    frames = service.frames(listing, listing.entries[:30])
    assert [frame.entry.number for frame in frames] == list(range(1, 31))


def test_a_file_that_changed_with_its_address_is_noticed(
    signing: StandIn, token: Path, streams: dict[Container, Stream]
) -> None:
    stream = streams["mp4"]
    copy = token.parent / "copy" / "stream.mp4"
    copy.parent.mkdir()
    copy.write_bytes(stream.file.read_bytes())
    service, listing = opened(signing, token, Stream(copy, 300, 200, BBOX, stream.images))
    frames = service.frames(listing, listing.entries)
    assert next(frames).entry.number == 1
    copy.write_bytes(stream.file.read_bytes()[::-1])
    os.utime(copy, (0, 0))
    signing.expire_urls()
    with pytest.raises(StreamError, match=r"stream\.mp4 changed while it was read"):
        list(frames)


@pytest.mark.parametrize("change", ["renamed", "shorter", "other durations"])
def test_a_playlist_that_changed_with_its_address_is_noticed(
    signing: StandIn, token: Path, streams: dict[Container, Stream], change: str
) -> None:
    stream = streams["hls-ts"]
    folder = token.parent / "changed"
    shutil.copytree(stream.file.parent, folder)
    playlist = folder / stream.file.name
    service, listing = opened(signing, token, Stream(playlist, 300, 200, BBOX, stream.images))
    frames = service.frames(listing, listing.entries)
    assert next(frames).entry.number == 1
    text = playlist.read_text()
    playlist.write_text(
        {
            "renamed": text.replace("stream0003", "other0003"),
            "shorter": text[: text.rindex("#EXTINF")],
            "other durations": text.replace("#EXTINF:0.4", "#EXTINF:0.8"),
        }[change]
    )
    signing.expire_urls()
    with pytest.raises(StreamError, match=r"the playlist .* changed while it was read"):
        list(frames)


def test_a_token_that_has_expired_too_is_read_again(
    signing: StandIn, token: Path, streams: dict[Container, Stream], pictures: list[Codes]
) -> None:
    read_on = opened(signing, token, streams["mp4"])
    signing.faults.urls_expire_after = 3
    signing.revoke_tokens()
    token.write_text(signing.issue_token())
    came: list[Frame] = []
    read(read_on, came, pictures)
    assert len(came) == 40
    assert [request.status for request in signing.requests if "/metadata/" in request.path] == [200, 401, 200]


def test_a_token_that_has_expired_too_is_had_by_another_login(
    signing: StandIn,
    streams: dict[Container, Stream],
    pictures: list[Codes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NDVI_ARCHIVE_TOKEN", raising=False)
    for name, value in signing.environment.items():
        monkeypatch.setenv(name, value)
    signing.streams["Europe"] = streams["hls-fmp4"]
    service = ContinentService(signing.api_url, TokenSource(), client=HttpClient(pause=0.0))
    listing = service.listing("Europe", None, None)
    signing.faults.urls_expire_after = 3
    signing.revoke_tokens()
    came: list[Frame] = []
    read((service, listing), came, pictures)
    assert len(came) == 40


def test_a_token_that_is_not_renewed_is_told(
    signing: StandIn, token: Path, streams: dict[Container, Stream], pictures: list[Codes]
) -> None:
    read_on = opened(signing, token, streams["hls-ts"])
    signing.faults.urls_expire_after = 4
    signing.revoke_tokens()
    came: list[Frame] = []
    with pytest.raises(LoginError, match="refuses the access token"):
        read(read_on, came, pictures)
    assert 0 < len(came) < 40
