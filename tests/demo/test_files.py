import http.client
import threading
import time
from urllib.parse import urlsplit

import av
import pytest
import requests

from etl.demo.files import requested_bytes
from etl.demo.service import StandIn, Stream

from .client import content_of, get_stream, stream_url


def received(answer: requests.Response) -> bytes:
    """Return what arrives before the connection breaks off."""
    content = bytearray()

    def read() -> None:
        for part in answer.iter_content(1):
            content.extend(part)

    with answer, pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        read()
    return bytes(content)


def frames_in(url: str) -> int:
    with av.open(url) as container:
        return sum(1 for _ in container.decode(video=0))


def test_the_stream_of_the_metadata_decodes(stand_in: StandIn) -> None:
    assert frames_in(stream_url(stand_in)) == 8


def test_a_whole_file_is_sent(stand_in: StandIn, stream: Stream) -> None:
    answer = get_stream(stand_in)
    assert answer.content == content_of(stream)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    request = stand_in.requests[-1]
    assert (request.status, request.sent, request.range, request.authorized) == (
        200,
        len(answer.content),
        None,
        False,
    )


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("0-0", slice(0, 1)),
        ("10-19", slice(10, 20)),
        ("100-", slice(100, None)),
        ("-7", slice(-7, None)),
        ("5-99999999", slice(5, None)),
        ("-99999999", slice(None)),
    ],
)
def test_a_part_of_a_file_is_sent(stand_in: StandIn, stream: Stream, header: str, part: slice) -> None:
    content = content_of(stream)
    answer = get_stream(stand_in, header)
    start, stop, _ = part.indices(len(content))
    assert answer.status_code == 206
    assert answer.content == content[part]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(content)}"


def test_bytes_behind_the_end_are_refused(stand_in: StandIn, stream: Stream) -> None:
    size = len(content_of(stream))
    answer = get_stream(stand_in, f"{size}-")
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{size}"


@pytest.mark.parametrize("header", [None, "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "lines=1-2"])
def test_ranges_that_cannot_be_read_mean_the_whole_file(header: str | None) -> None:
    assert requested_bytes(header, 10) is None


def test_a_part_of_another_version_is_not_sent(stand_in: StandIn, stream: Stream) -> None:
    headers = {"Range": "bytes=0-9", "If-Range": '"older"'}
    answer = requests.get(stream_url(stand_in), headers=headers, timeout=10)
    assert (answer.status_code, answer.content) == (200, content_of(stream))


def test_head_tells_the_size_without_the_content(stand_in: StandIn, stream: Stream) -> None:
    answer = requests.head(stream_url(stand_in), timeout=10)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) == len(content_of(stream))


def test_files_cannot_be_written(stand_in: StandIn) -> None:
    assert requests.put(stream_url(stand_in), data=b"", timeout=10).status_code == 405


@pytest.mark.parametrize(
    "path", ["/streams/Europe/other.mp4", "/streams/Asia/stream.mp4", "/streams/Europe/.."]
)
def test_unknown_files_are_not_found(stand_in: StandIn, path: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(stand_in.url).netloc, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 404


def test_signed_urls_open_the_stream_and_nothing_else(stream: Stream) -> None:
    with StandIn({"Europe": stream}, signed_urls=True) as service:
        url = stream_url(service)
        assert get_stream(service, url=url).status_code == 200
        assert get_stream(service, url=url.partition("?")[0]).status_code == 403
        assert get_stream(service, url=url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 403
        service.expire_urls()
        assert get_stream(service, url=url).status_code == 403
        assert get_stream(service).status_code == 200


def test_signed_urls_expire(stream: Stream) -> None:
    with StandIn({"Europe": stream}, signed_urls=True, url_seconds=-1) as service:
        answer = get_stream(service)
    assert (answer.status_code, answer.json()["detail"]) == (403, "The URL has expired")


def test_signed_urls_can_expire_half_way(stream: Stream) -> None:
    with StandIn({"Europe": stream}, signed_urls=True) as service:
        service.faults.urls_expire_after = 1
        url = stream_url(service)
        assert [get_stream(service, url=url).status_code for _ in range(3)] == [200, 403, 403]
        assert get_stream(service).status_code == 200


@pytest.mark.parametrize("signed", [False, True])
def test_playlists_lead_to_their_segments(playlist: Stream, signed: bool) -> None:
    with StandIn({"Europe": playlist}, signed_urls=signed) as service:
        assert frames_in(stream_url(service)) == 24
        segments = [request for request in service.requests if request.path.endswith(".m4s")]
    assert len({request.path for request in segments}) == 3
    assert {request.status for request in segments} <= {200, 206}


def test_a_missing_segment_is_not_found(playlist: Stream) -> None:
    with StandIn({"Europe": playlist}) as service:
        service.faults.missing = frozenset({"stream0001.m4s"})
        url = stream_url(service).replace("stream.m3u8", "stream0001.m4s")
        assert get_stream(service, url=url).status_code == 404


def test_an_unavailable_stream_comes_back(stand_in: StandIn) -> None:
    stand_in.faults.unavailable_stream = 2
    assert [get_stream(stand_in).status_code for _ in range(3)] == [503, 503, 200]


def test_faults_can_concern_some_files_only(stand_in: StandIn) -> None:
    stand_in.faults.files = "*.ts"
    stand_in.faults.unavailable_stream = -1
    assert get_stream(stand_in).status_code == 200


def test_ranges_can_be_ignored(stand_in: StandIn, stream: Stream) -> None:
    stand_in.faults.ignore_range = True
    answer = get_stream(stand_in, "10-19")
    assert (answer.status_code, answer.content) == (200, content_of(stream))
    assert "Accept-Ranges" not in answer.headers


def test_the_length_can_be_kept_back(stand_in: StandIn, stream: Stream) -> None:
    stand_in.faults.unknown_length = True
    answer = get_stream(stand_in)
    assert "Content-Length" not in answer.headers
    assert answer.content == content_of(stream)


def test_a_file_can_be_shorter(stand_in: StandIn, stream: Stream) -> None:
    stand_in.faults.truncate_to = 100
    assert get_stream(stand_in).content == content_of(stream)[:100]
    assert get_stream(stand_in, "-10").headers["Content-Range"] == "bytes 90-99/100"


@pytest.mark.parametrize("unknown_length", [False, True])
def test_a_cut_answer_ends_right_before_the_byte(
    stand_in: StandIn, stream: Stream, unknown_length: bool
) -> None:
    stand_in.faults.cut_after = 1000
    stand_in.faults.unknown_length = unknown_length
    assert received(get_stream(stand_in, stream=True)) == content_of(stream)[:1000]
    assert stand_in.requests[-1].sent == 1000
    assert get_stream(stand_in).content == content_of(stream)


@pytest.mark.parametrize("cut_times", [1, -1])
def test_a_video_reader_meets_the_cut(stand_in: StandIn, stream: Stream, cut_times: int) -> None:
    stand_in.faults.cut_after = len(content_of(stream)) * 2 // 3
    stand_in.faults.cut_times = cut_times
    with pytest.raises(av.FFmpegError):
        frames_in(stream_url(stand_in))


def test_cuts_count_from_the_start_of_the_file(stand_in: StandIn, stream: Stream) -> None:
    stand_in.faults.cut_after = 1000
    stand_in.faults.cut_times = -1
    content = content_of(stream)
    assert received(get_stream(stand_in, "900-", stream=True)) == content[900:1000]
    assert received(get_stream(stand_in, "1000-", stream=True)) == b""
    assert get_stream(stand_in, "1001-").content == content[1001:]
    assert get_stream(stand_in, "0-999").content == content[:1000]


def test_a_stalled_answer_stops_right_before_the_byte(stand_in: StandIn, stream: Stream) -> None:
    stand_in.faults.stall_after = 1000
    assert received(get_stream(stand_in, stream=True, timeout=0.2)) == content_of(stream)[:1000]
    assert get_stream(stand_in).content == content_of(stream)


@pytest.mark.parametrize("fault", ["slow_seconds", "bytes_per_second"])
def test_answers_can_take_their_time(stand_in: StandIn, stream: Stream, fault: str) -> None:
    content, url = content_of(stream), stream_url(stand_in)
    setattr(stand_in.faults, fault, 0.2 if fault == "slow_seconds" else len(content) / 0.2)
    started = time.monotonic()
    assert get_stream(stand_in, url=url).content == content
    assert time.monotonic() - started >= 0.2


def test_kept_connections_can_close_unannounced(stand_in: StandIn) -> None:
    url = urlsplit(stream_url(stand_in))
    stand_in.faults.unannounced_close = True
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    connection.request("GET", url.path)
    answer = connection.getresponse()
    assert answer.getheader("Connection") is None
    answer.read()
    assert connection.sock.recv(1) == b""
    connection.close()


def test_the_stand_in_stops_while_answers_are_stalled(stream: Stream) -> None:
    before = set(threading.enumerate())
    with StandIn({"Europe": stream}) as service:
        service.faults.stall_after = 10
        answer = get_stream(service, stream=True)
    assert received(answer) == content_of(stream)[:10]
    assert set(threading.enumerate()) <= before
