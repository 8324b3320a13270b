"""Servers that are too slow, or never come to an end: given up after a while, however they do it."""

import gzip
import signal
import threading
from collections.abc import Iterator
from itertools import count, repeat
from pathlib import Path

import numpy as np
import pytest

from etl.demo.encoder import Container, Encoding
from etl.demo.service import StandIn, Stream
from etl.errors import DeadlineError, ServiceError
from etl.extract.address import Address
from etl.extract.careful import CarefulReader
from etl.extract.http import RETRIES, HttpClient
from etl.extract.patience import Patience
from etl.extract.remote import RemoteFile
from etl.extract.video import Video
from etl.signals import Interrupted, ending_on_signals

from .clips import read, served
from .conftest import Clips
from .scripted import Answer, scripted, talking

BLOB = np.random.default_rng(0).bytes(300_000)
HURRY = Patience(connect=10.0, silence=0.5, portion=0.5)


@pytest.fixture
def blob(server: StandIn, tmp_path: Path) -> str:
    (tmp_path / "blob.bin").write_bytes(BLOB)
    server.streams["blob"] = Stream(tmp_path / "blob.bin", 1, 1, (0.0, 0.0, 1.0, 1.0), ())
    return f"{server.url}/streams/blob/blob.bin"


def content(file: RemoteFile) -> bytes:
    received = b""
    while data := file.read(50_000):
        received += data
    file.close()
    return received


def test_a_file_that_drips_is_given_up(server: StandIn, blob: str) -> None:
    server.faults.bytes_per_second = 100
    client = HttpClient(0.0, HURRY)
    file = RemoteFile(client, blob)
    with pytest.raises(ServiceError, match=rf"{RETRIES + 1} times in a row: only \d+ bytes came in"):
        content(file)
    assert 0 < file.tell() < 1000
    assert client.retries >= RETRIES


def test_bytes_that_came_before_it_became_too_slow_are_kept(server: StandIn, blob: str) -> None:
    server.faults.stall_after, server.faults.stall_times = 100_001, 2
    client = HttpClient(0.0, HURRY)
    assert content(RemoteFile(client, blob)) == BLOB
    assert client.retries >= 2
    assert client.bytes_received == len(BLOB)


def test_a_server_may_be_slow(server: StandIn, blob: str) -> None:
    server.faults.bytes_per_second = 300_000
    client = HttpClient(0.0, Patience(portion=10.0))
    assert content(RemoteFile(client, blob)) == BLOB
    assert client.retries == 0


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n"


@pytest.mark.parametrize(
    ("begin", "error"),
    [
        (b"", "cannot be reached: only"),
        (HEAD + b"X: ", "cannot be reached: only"),
        (HEAD + b"\r\n", "ended early: only"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n", "ended early: only"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "ended early: only"),
    ],
    ids=["status", "headers", "body", "chunks", "body without length"],
)
def test_an_answer_that_drips_is_given_up(begin: bytes, error: str) -> None:
    client = HttpClient(0.0, Patience(silence=5.0, portion=0.1))
    with talking(begin, lambda: repeat(b"H"), 0.02) as url, pytest.raises(ServiceError, match=error):
        client.whole(lambda: client.get(url), 1 << 20)
    assert client.retries >= RETRIES


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"X: " + b"x" * 60_000 + b"\r\n"


@pytest.mark.parametrize(
    ("begin", "part", "error"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "reached: only"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, "reached: more than 65536 bytes"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000, "reached: more than 65536 bytes"),
        (b"", b"HTTP/1.1 100 Continue\r\n" + LONG + b"\r\n", "reached: more than 65536 bytes"),
        (HEAD, LONG, "reached: more than 65536 bytes"),
        (CHUNKED + b"4\r\nbody\r\n0\r\n", b"X: y\r\n" * 1000, "ended early: more than 65536 bytes"),
        (CHUNKED, b"1;" + b"x" * 40_000 + b"\r\nH\r\n", "ended early: only"),
    ],
    ids=["slow interim", "interim", "hints", "long interim", "headers", "trailers", "chunk extensions"],
)
def test_what_is_no_content_is_no_progress(begin: bytes, part: bytes, error: str) -> None:
    client = HttpClient(0.0, Patience(silence=5.0, portion=0.5))
    with talking(begin, lambda: repeat(part), 0.001) as url, pytest.raises(ServiceError, match=error):
        client.whole(lambda: client.get(url), 1 << 20)
    assert client.retries >= RETRIES


def test_a_proxy_may_not_talk_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    client = HttpClient(0.0, Patience(silence=5.0, portion=0.5))
    with talking(b"HTTP/1.1 200 OK\r\n", lambda: repeat(b"X: y\r\n" * 100), 0.001) as url:
        monkeypatch.setenv("https_proxy", url)
        with pytest.raises(ServiceError, match="reached: more than 65536 bytes"):
            client.get("https://service.invalid/")
    assert client.retries == RETRIES


def test_interim_answers_before_an_answer_are_passed_over(server: StandIn, blob: str) -> None:
    server.faults.interim_before = 100
    client = HttpClient(0.0, HURRY)
    assert content(RemoteFile(client, blob)) == BLOB
    assert client.retries == 0


def test_a_request_with_nothing_but_interim_answers_is_sent_again(server: StandIn, blob: str) -> None:
    server.faults.interim_answers = RETRIES
    client = HttpClient(0.0, HURRY)
    assert content(RemoteFile(client, blob)) == BLOB
    assert client.retries == RETRIES


@pytest.mark.parametrize("status", ["302 Found", "503 Sorry"])
def test_the_body_of_an_answer_that_is_not_used_is_not_read(status: str) -> None:
    sent = count()

    def endless() -> Iterator[bytes]:
        while True:
            next(sent)
            yield bytes(1 << 16)

    head = f"HTTP/1.1 {status}\r\nLocation: /again\r\n\r\n".encode()
    client = HttpClient(0.0)
    with talking(head, endless, 0.0) as url, pytest.raises(ServiceError, match=r"reached|more than 1000"):
        client.whole(lambda: client.get(url), 1000)
    # Of each answer no more than what the sockets hold.
    assert next(sent) < 64 * 32


def test_a_compressed_answer_may_not_become_too_long() -> None:
    bomb = gzip.compress(bytes(1 << 26))
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(bomb))}
    client = HttpClient(0.0)
    with (
        scripted(lambda path, bytes_asked: Answer(200, headers, bomb)) as url,
        pytest.raises(ServiceError, match="more than 1000000 bytes"),
    ):
        client.whole(lambda: client.get(url), 1_000_000)
    assert client.bytes_received < 2_000_000


@pytest.mark.parametrize(("container", "byte", "times"), [("mp4", 150_000, 5), ("hls-ts", 20_000, 2)])
def test_a_stream_survives_stalls(
    server: StandIn, clips: Clips, container: Container, byte: int, times: int
) -> None:
    clip = clips(Encoding(container, gop=12, lossless=True))
    server.faults.stall_after, server.faults.stall_times = byte, times
    server.faults.files = "*[0-9m].[mt][ps4]*"
    client = HttpClient(0.0, HURRY)
    video = Video(client, Address(client, served(server, clip)), clip.size)
    assert read(video, clip).numbers == clip.numbers
    assert server.faults.stall_times == 0
    # Before it is read in sequence, MP4 is jumped in: an answer that stalls then is left without a retry.
    assert client.retries >= 1


class Endless:
    """A transport stream of nothing but filling packets."""

    def read(self, size: int) -> bytes:
        return (b"\x47\x1f\xff\x10" + b"\xff" * 184) * (size // 188)

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError

    def tell(self) -> int:
        return 0

    def close(self) -> None:
        pass


def test_a_stream_that_never_comes_to_a_frame_is_left() -> None:
    reader = CarefulReader(Endless(), 1_000_000)
    received = 0
    while data := reader.read(50_000):
        received += len(data)
    assert 900_000 < received <= 1_000_000
    with pytest.raises(ServiceError, match="1000000 bytes without a frame"):
        reader.check()


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGALRM, DeadlineError), (signal.SIGTERM, Interrupted)]
)
def test_what_ends_a_run_is_not_taken_for_a_fault_of_the_stream(
    server: StandIn, clips: Clips, number: signal.Signals, error: type[BaseException]
) -> None:
    clip = clips(Encoding("hls-ts", gop=12, lossless=True, segment_seconds=0.4), 120)
    video = Video(HttpClient(0.0), served(server, clip), clip.size)
    server.faults.stall_after, server.faults.files = 1000, "*[5-9].ts"
    main = threading.get_ident()

    def tell() -> None:
        if server.faults.stalled.wait(30):
            signal.pthread_kill(main, number)

    waiting = threading.Thread(target=tell)
    waiting.start()
    with pytest.raises(error), ending_on_signals(1000):
        list(video.pictures(clip.numbers))
    waiting.join()
