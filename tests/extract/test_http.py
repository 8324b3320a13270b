"""Bytes over HTTP: exact ranges, bounded patience, no secrets in messages."""

import io
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from etl.demo.encoder import Container, Encoding
from etl.demo.service import StandIn, Stream
from etl.errors import ServiceError
from etl.extract.http import RETRIES, HttpClient, without_query
from etl.extract.remote import RemoteFile

from .clips import opened, read, served
from .conftest import Clips, Traffic
from .scripted import Answer, scripted

BLOB = np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture
def blob(server: StandIn, tmp_path: Path) -> str:
    """The address of a file of three million bytes."""
    (tmp_path / "blob.bin").write_bytes(BLOB)
    server.streams["blob"] = Stream(tmp_path / "blob.bin", 1, 1, (0.0, 0.0, 1.0, 1.0), ())
    return f"{server.url}/streams/blob/blob.bin"


def remote(url: str, offset: int = 0, length: int | None = None, pause: float = 0.0) -> RemoteFile:
    return RemoteFile(HttpClient(pause), url, offset, length)


def content(file: RemoteFile, size: int = 100_000) -> bytes:
    """All there is from the present position on."""
    with io.BytesIO() as received:
        while data := file.read(size):
            received.write(data)
        file.close()
        return received.getvalue()


@pytest.mark.parametrize("size", [9_999, 1 << 18, 5_000_000])
def test_a_file_is_read_to_its_end(blob: str, size: int) -> None:
    assert content(remote(blob), size) == BLOB


@pytest.mark.parametrize(
    ("offset", "whence", "position"),
    [
        (0, io.SEEK_SET, 0),
        (12_345, io.SEEK_SET, 12_345),
        (-10, io.SEEK_END, len(BLOB) - 10),
        (0, io.SEEK_END, len(BLOB)),
        (500, io.SEEK_CUR, 600),
        (len(BLOB) + 5, io.SEEK_SET, len(BLOB) + 5),
    ],
)
def test_reading_goes_on_where_it_is_told_to(blob: str, offset: int, whence: int, position: int) -> None:
    file = remote(blob)
    assert file.read(100) == BLOB[:100]
    assert file.seek(offset, whence) == file.tell() == position
    assert content(file) == BLOB[position:]


def test_a_part_of_a_file_is_a_file(blob: str) -> None:
    part = remote(blob, 1000, 500)
    assert content(part) == BLOB[1000:1500]
    assert part.seek(-20, io.SEEK_END) == 480
    assert content(part) == BLOB[1480:1500]
    assert part.seek(10) == 10
    assert part.read(5) == BLOB[1010:1015]
    part.close()


def test_a_part_that_is_longer_than_the_file_is_told(blob: str) -> None:
    with pytest.raises(ServiceError, match="ends at byte 3000000"):
        content(remote(blob, 2_999_000, 5000))


def test_the_end_of_a_file_is_no_error(blob: str, tmp_path: Path) -> None:
    (tmp_path / "blob.bin").write_bytes(b"")
    assert content(remote(blob)) == b""


def test_little_more_than_what_is_read_is_asked_for(traffic: Traffic, blob: str) -> None:
    file = remote(blob)
    file.seek(1_500_000)
    assert file.read(100) == BLOB[1_500_000:1_500_100]
    file.close()
    assert sum(request.sent for request in traffic()) < 400_000


@pytest.mark.parametrize("cut", [1, 999, 262_143, 262_144, 262_145, 2_999_999])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", ["", "ignore_range", "unknown_length"])
def test_a_broken_connection_is_resumed_at_the_exact_byte(
    server: StandIn, blob: str, cut: int, times: int, fault: str
) -> None:
    server.faults.cut_after, server.faults.cut_times = cut, times
    if fault:
        setattr(server.faults, fault, True)
    client = HttpClient(pause=0.0)
    assert content(RemoteFile(client, blob)) == BLOB
    assert client.bytes_received >= len(BLOB)


@pytest.mark.parametrize("ignore_range", [False, True])
def test_a_connection_that_always_breaks_is_given_up(
    server: StandIn, traffic: Traffic, blob: str, ignore_range: bool
) -> None:
    server.faults.cut_after, server.faults.cut_times = 1_000_000, -1
    server.faults.ignore_range = ignore_range
    file = remote(blob)
    with pytest.raises(ServiceError, match="breaks off at byte 1000000"):
        content(file)
    assert file.tell() == 1_000_000
    file.close()
    assert len(traffic()) <= 5 + RETRIES


@pytest.mark.parametrize("fault", ["ignore_range", "unknown_length", "unannounced_close"])
def test_a_server_may_be_simpler(server: StandIn, blob: str, fault: str) -> None:
    setattr(server.faults, fault, True)
    file = remote(blob)
    assert content(file) == BLOB
    file = remote(blob)
    file.seek(1_234_567)
    assert content(file) == BLOB[1_234_567:]


@pytest.mark.parametrize("failures", [1, RETRIES])
def test_a_server_may_fail_for_a_while(server: StandIn, traffic: Traffic, blob: str, failures: int) -> None:
    server.faults.unavailable_stream = failures
    assert content(remote(blob)) == BLOB
    answers = [request.status for request in traffic()]
    assert answers[: failures + 1] == [503] * failures + [206]


def test_a_server_that_keeps_failing_is_given_up(server: StandIn, traffic: Traffic, blob: str) -> None:
    server.faults.unavailable_stream = -1
    with pytest.raises(ServiceError, match="answered 503"):
        content(remote(blob))
    assert [request.status for request in traffic()] == [503] * (RETRIES + 1)


def test_retries_wait_longer_and_longer(server: StandIn, blob: str) -> None:
    server.faults.unavailable_stream = 3
    started = time.monotonic()
    content(remote(blob, pause=0.05))
    # At once, then 0.1 s, then 0.2 s.
    assert time.monotonic() - started >= 0.3


def test_a_missing_file_is_told_at_once(traffic: Traffic, blob: str) -> None:
    with pytest.raises(ServiceError, match=r"other\.bin answered 404"):
        content(remote(blob.replace("blob.bin", "other.bin")))
    assert len(traffic()) == 1


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/stream.mp4"
    with pytest.raises(ServiceError, match=r"stream\.mp4 cannot be reached: Connection refused"):
        remote(url).read(1)


@pytest.mark.parametrize("change", ["other bytes", "longer", "shorter"])
def test_a_file_that_changes_while_it_is_read_is_refused(blob: str, tmp_path: Path, change: str) -> None:
    file = remote(blob)
    file.read(100)
    changed = {"other bytes": BLOB[::-1], "longer": BLOB + BLOB, "shorter": BLOB[:1000]}[change]
    (tmp_path / "blob.bin").write_bytes(changed)
    os.utime(tmp_path / "blob.bin", (0, 0))
    with pytest.raises(ServiceError, match=r"changed while it was read|ends at byte"):
        content(file)
    file.close()


def test_a_redirection_to_another_host_does_not_take_the_token_along(server: StandIn) -> None:
    there = f"{server.api_url}/streaming/s3/data/metadata/Europe"
    with scripted(lambda path, bytes_asked: Answer(302, {"Location": there})) as url:
        response = HttpClient(pause=0.0).get(url, headers={"Authorization": "Bearer secret"})
        response.close()
    assert response.url == there
    assert not server.requests[-1].authorized


def ranged(total: str = "1000", first: int = 0, last: int = 999) -> dict[str, str]:
    return {"Content-Range": f"bytes {first}-{last}/{total}", "Content-Length": "1000"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(206, ranged(first=5), BLOB[:1000]), "another range"),
        (Answer(206, ranged(first=100, last=50), BLOB[:1000]), "another range"),
        (Answer(206, {"Content-Length": "1000"}, BLOB[:1000]), "another range"),
        (Answer(206, {"Content-Range": "bytes */1000"}, BLOB[:1000]), "another range"),
        (Answer(204), "answered 204"),
        (Answer(302, {"Location": "file:///etc/hostname"}), "cannot be reached"),
        (Answer(302, {"Location": "ftp://127.0.0.1/x"}), "cannot be reached"),
        (Answer(302, {"Location": "/again"}), "cannot be reached: too many redirects"),
        (Answer(429, {"Retry-After": "soon"}), "cannot be reached: invalid header"),
    ],
    ids=[
        "it begins later",
        "it ends before it begins",
        "no range",
        "no range, but a length",
        "nothing",
        "a local file",
        "another protocol",
        "in circles",
        "a senseless pause",
    ],
)
def test_a_senseless_answer_is_refused(answer: Answer, error: str) -> None:
    with scripted(lambda path, bytes_asked: answer) as url:
        file = remote(f"{url}/stream.mp4")
        file.seek(100)
        with pytest.raises(ServiceError, match=error):
            file.read(100)
        file.close()


@pytest.mark.parametrize("headers", [{"Content-Length": "many"}, {}, {"Content-Length": "1000"}])
def test_a_server_may_tell_nothing_but_the_bytes(headers: dict[str, str]) -> None:
    with scripted(lambda path, bytes_asked: Answer(200, headers, BLOB[:1000])) as url:
        assert content(remote(url)) == BLOB[:1000]


def test_the_total_length_may_be_unknown() -> None:
    def script(path: str, bytes_asked: str | None) -> Answer:
        assert bytes_asked is not None
        first, last = map(int, bytes_asked.removeprefix("bytes=").split("-"))
        body = BLOB[first : last + 1]
        if not body:
            return Answer(416, {"Content-Length": "0"})
        headers = {"Content-Range": f"bytes {first}-{first + len(body) - 1}/*"}
        return Answer(206, headers | {"Content-Length": str(len(body))}, body)

    with scripted(script) as url:
        assert content(remote(url)) == BLOB


def test_a_pause_that_the_server_asks_for_is_kept(server: StandIn, traffic: Traffic) -> None:
    server.faults.too_many_requests = 1
    url = f"{server.api_url}/streaming/s3/data/metadata/Europe"
    started = time.monotonic()
    response = HttpClient(pause=0.0).get(url)
    response.close()
    assert time.monotonic() - started >= 1
    assert [request.status for request in traffic()] == [429, 401]


def test_an_answer_can_be_too_long(blob: str) -> None:
    client = HttpClient(pause=0.0)
    with pytest.raises(ServiceError, match="more than 1000000 bytes"):
        client.whole(lambda: client.get(blob), 1_000_000)


def test_an_answer_that_breaks_off_is_asked_for_again(server: StandIn, blob: str) -> None:
    server.faults.cut_after, server.faults.cut_times = 5000, RETRIES
    client = HttpClient(pause=0.0)
    assert client.whole(lambda: client.get(blob), 1 << 30)[1] == BLOB
    assert client.retries == RETRIES


def test_an_answer_that_always_breaks_off_is_told(server: StandIn, blob: str) -> None:
    server.faults.cut_after, server.faults.cut_times = 5000, -1
    client = HttpClient(pause=0.0)
    with pytest.raises(ServiceError, match=r"blob\.bin ended early"):
        client.whole(lambda: client.get(blob), 1 << 30)


def test_all_bytes_are_counted(blob: str) -> None:
    client = HttpClient(pause=0.0)
    assert client.whole(lambda: client.get(blob), 1 << 30)[1] == BLOB
    file = RemoteFile(client, blob)
    file.read(1000)
    file.close()
    assert client.bytes_received == len(BLOB) + 1000


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a/b.mp4?token=secret", "https://host/a/b.mp4"),
        ("https://user:secret@host:8443/b#secret", "https://host:8443/b"),
        ("http://host", "http://host"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, shown: str) -> None:
    assert without_query(url) == shown


def breaks_off(server: StandIn) -> None:
    server.faults.cut_after, server.faults.cut_times = 10_000, -1


def is_unavailable(server: StandIn) -> None:
    server.faults.unavailable_stream = -1


def expires(server: StandIn) -> None:
    server.expire_urls()


def is_cut(server: StandIn) -> None:
    server.faults.truncate_to = 10_000


@pytest.mark.parametrize("fault", [breaks_off, is_unavailable, expires, is_cut])
@pytest.mark.parametrize("container", ["mp4", "hls-ts"])
def test_nothing_tells_the_signature_of_an_address(
    clips: Clips,
    caplog: pytest.LogCaptureFixture,
    container: Container,
    fault: Callable[[StandIn], None],
) -> None:
    clip = clips(Encoding(container, gop=12, lossless=True))
    caplog.set_level(logging.DEBUG, logger="etl")
    with StandIn({}, signed_urls=True) as service:
        bare = served(service, clip)
        service.streams["Europe"] = service.streams.pop("stream")
        body = HttpClient().get(
            f"{service.api_url}/streaming/s3/data/metadata/Europe",
            headers={"Authorization": f"Bearer {service.issue_token()}"},
        )
        url = body.json()["stream_path"]
        body.close()
        assert "signature=" in url
        assert url.partition("?")[0] == bare.replace("/stream/", "/Europe/")
        fault(service)
        outcome = read(opened(url, clip), clip)
    assert outcome.error is not None
    assert "signature" not in f"{outcome.error} {caplog.text}"
    assert "expires" not in f"{outcome.error} {caplog.text}"


@pytest.mark.parametrize("container", ["mp4", "ts", "hls-ts", "hls-fmp4"])
@pytest.mark.parametrize("cut", [100, 300, 20_000])
def test_a_stream_survives_a_broken_connection(
    server: StandIn, clips: Clips, container: Container, cut: int
) -> None:
    clip = clips(Encoding(container, gop=12, lossless=True))
    server.faults.cut_after, server.faults.cut_times = cut, 2
    server.faults.files = "*[0-9m].[mt4]*"
    assert read(opened(served(server, clip), clip), clip).numbers == clip.numbers
    assert server.faults.cut_times == 0


@pytest.mark.parametrize("container", ["mp4", "ts", "hls-ts", "hls-fmp4"])
@pytest.mark.parametrize("fault", ["ignore_range", "unknown_length", "unannounced_close"])
def test_a_stream_comes_from_a_simpler_server(
    server: StandIn, clips: Clips, container: Container, fault: str
) -> None:
    clip = clips(Encoding(container, gop=12, lossless=True))
    setattr(server.faults, fault, True)
    url = served(server, clip)
    assert read(opened(url, clip), clip).numbers == clip.numbers
    assert read(opened(url, clip), clip, [33, 34]).numbers == [33, 34]


@pytest.mark.parametrize("container", ["mp4", "ts", "hls-ts", "hls-fmp4"])
def test_a_stream_whose_connection_always_breaks_is_read_up_to_there(
    server: StandIn, clips: Clips, container: Container
) -> None:
    clip = clips(Encoding(container, gop=12, lossless=True))
    largest = max(clip.file.parent.iterdir(), key=lambda file: file.stat().st_size)
    server.faults.cut_after, server.faults.cut_times = largest.stat().st_size * 4 // 5, -1
    server.faults.files = largest.name
    outcome = read(opened(served(server, clip), clip), clip)
    assert len(outcome.numbers) < 40
    assert f"{largest.name} breaks off at byte" in outcome.why
