"""Playlists: what they may say, and what is refused before anything is opened."""

import subprocess
from pathlib import Path

import pytest

from etl.demo.encoder import Container, Encoding
from etl.demo.service import StandIn
from etl.errors import ServiceError
from etl.extract.hls import Part, Segment, read_playlist
from etl.extract.http import HttpClient

from .clips import Clip, drawn, made, opened, read, served
from .conftest import Clips, Traffic
from .scripted import Answer, scripted

STARTS = (1, 2, 29, 30, 31, 32, 60, 61, 89, 90)
SEGMENTED = {
    container: Encoding(container, gop=30, segment_seconds=1.2, lossless=True)
    for container in ("hls-ts", "hls-fmp4")
}

# A playlist of one segment and the lines before it.
ONE = "#EXTM3U\n{}\n#EXTINF:1.0,\n{}\n#EXT-X-ENDLIST\n"


def playlist(text: str, status: int = 200) -> list[Segment]:
    """What is read of a playlist at http://127.0.0.1:…/video/list.m3u8?key=secret."""
    with scripted(lambda path, bytes_asked: Answer(status, {}, text.encode())) as url:
        return read_playlist(HttpClient(pause=0.0), f"{url}/video/list.m3u8?key=secret", (67, 43))


def refused(text: str, status: int = 200) -> str:
    """Why a playlist is refused."""
    with pytest.raises(ServiceError) as caught:
        playlist(text, status)
    assert "secret" not in str(caught.value)
    return caught.value.what


def test_segments_begin_where_those_before_them_end() -> None:
    text = (
        "#EXTM3U\n#EXTINF:2.0,\nhttp://a/1.ts\n#EXTINF:1.5,\nhttp://a/2.ts?k=1\n#EXTINF:2,\nhttps://b/3.ts\n"
    )
    assert playlist(text) == [
        Segment(0.0, Part("http://a/1.ts"), None),
        Segment(2.0, Part("http://a/2.ts?k=1"), None),
        Segment(3.5, Part("https://b/3.ts"), None),
    ]


def test_addresses_are_relative_to_the_playlist() -> None:
    segments = playlist("#EXTM3U\n#EXTINF:1,\n1.ts\n#EXTINF:1,\n/2.ts\n#EXTINF:1,\n../3.ts\n")
    assert [segment.media.url.partition("127.0.0.1")[2].partition("/")[2] for segment in segments] == [
        "video/1.ts",
        "2.ts",
        "3.ts",
    ]


def test_ranges_go_on_where_the_one_before_ends() -> None:
    text = (
        '#EXTM3U\n#EXT-X-MAP:URI="http://a/x.mp4",BYTERANGE="100@0"\n'
        "#EXTINF:1,\n#EXT-X-BYTERANGE:50@100\nhttp://a/x.mp4\n"
        "#EXTINF:1,\n#EXT-X-BYTERANGE:30\nhttp://a/x.mp4\n"
        "#EXTINF:1,\n#EXT-X-BYTERANGE:20\nhttp://a/y.mp4\n"
    )
    header = Part("http://a/x.mp4", 0, 100)
    assert playlist(text) == [
        Segment(0.0, Part("http://a/x.mp4", 100, 50), header),
        Segment(1.0, Part("http://a/x.mp4", 150, 30), header),
        Segment(2.0, Part("http://a/y.mp4", 0, 20), header),
    ]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("#EXTM3U\n" + "#EXTINF:1,\na\n" * 290_000, "65536 lines"),
        ("#EXTM3U\n" + "#EXT-X-DISCONTINUITY\u2028" * 70_000, "65536 lines"),
        ("#EXTM3U\n" + "#EXT-X-STREAM-INF:BANDWIDTH=1\na\n" * 1001, "1000 variants"),
        ("#EXTM3U\n" + '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="b"\n' * 1001, "1000 variants"),
    ],
    ids=["segments", "other lines", "variants", "renditions"],
)
def test_a_playlist_that_is_too_long_is_refused(text: str, limit: str) -> None:
    assert f"/video/list.m3u8 has more than {limit}" in refused(text)


def test_a_playlist_that_has_too_many_bytes_is_refused() -> None:
    assert "/video/list.m3u8 answered more than 4194304 bytes" in refused("#" * (1 << 22 | 1))


def test_a_playlist_may_have_twenty_years_of_segments() -> None:
    lines = "#EXTINF:0.04,\n#EXT-X-BYTERANGE:1000@0\n#EXT-X-PROGRAM-DATE-TIME:2021-03-01T00:00:00Z\n1.ts\n"
    assert len(playlist("#EXTM3U\n" + lines * 14_600)) == 14_600


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/hostname",
        "FILE:///etc/hostname",
        "data:video/mp2t;base64,RwAA",
        "ftp://127.0.0.1/1.ts",
        "rtmp://127.0.0.1/1",
        "concat:/etc/hostname|/etc/passwd",
        "crypto+http://127.0.0.1/1.ts",
        "pipe:0",
    ],
)
@pytest.mark.parametrize(
    "lines",
    [
        ONE.format("", "{}"),
        ONE.format('#EXT-X-MAP:URI="{}"', "http://127.0.0.1:1/1.m4s"),
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{}\n",
    ],
    ids=["segment", "header", "variant"],
)
def test_an_address_that_leads_elsewhere_is_refused(lines: str, address: str) -> None:
    scheme = address.partition(":")[0].lower()
    assert f"points to {scheme}: instead of http or https" in refused(lines.format(address))


def test_a_local_file_is_not_read_although_it_would_be_a_good_segment(
    server: StandIn, traffic: Traffic, clips: Clips, tmp_path: Path
) -> None:
    good = clips(Encoding("ts", gop=12, lossless=True))
    text = ONE.format("", good.file.as_uri())
    clip = good.with_file(tmp_path / "list.m3u8", text.encode())
    outcome = read(opened(served(server, clip), clip), clip)
    assert outcome.numbers == []
    assert "points to file:" in outcome.why
    assert {request.path.rpartition("/")[2] for request in traffic()} == {"list.m3u8"}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:1/key"', "is encrypted"),
        ('#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://1"', "is encrypted"),
        ("#EXT-X-DISCONTINUITY", "pieces with separate times"),
        ("#EXT-X-MEDIA-SEQUENCE:7", "only the last part"),
        ("#EXT-X-MEDIA-SEQUENCE:1", "only the last part"),
    ],
)
def test_a_stream_whose_frames_cannot_be_numbered_is_refused(lines: str, why: str) -> None:
    assert why in refused(ONE.format(lines, "http://127.0.0.1:1/1.ts"))


@pytest.mark.parametrize(
    "lines",
    [
        "#EXT-X-KEY:METHOD=NONE",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:7",
        "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA-SEQUENCE:1",
        "#EXT-X-PROGRAM-DATE-TIME:2021-01-01T00:00:00Z",
        "#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-SOMETHING-NEW:1\n# a comment",
    ],
)
def test_what_does_no_harm_is_accepted(lines: str) -> None:
    text = ONE.format(lines, "http://127.0.0.1:1/1.ts")
    assert playlist(text) == [Segment(0.0, Part("http://127.0.0.1:1/1.ts"), None)]


def test_only_an_encrypted_part_is_enough_to_refuse() -> None:
    text = '#EXTM3U\n#EXTINF:1,\n1.ts\n#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXTINF:1,\n2.ts\n'
    assert "is encrypted" in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#EXTM3U\n",
        "#EXTM3U\n1.ts\n",
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO\n",
        '#EXTM3U\n#EXT-X-I-FRAME-STREAM-INF:URI="x",BANDWIDTH=1\n',
        "<html>maintenance</html>",
    ],
)
def test_a_playlist_without_segments_is_refused(text: str) -> None:
    assert "lists no segments" in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:secret,\n1.ts\n",
        "#EXTM3U\n#EXTINF:\n1.ts\n",
        "#EXTM3U\n#EXTINF:1,\nhttp://[secret/1.ts\n",
        ONE.format("#EXT-X-BYTERANGE:secret", "1.ts"),
        ONE.format("#EXT-X-BYTERANGE:5@-3", "1.ts"),
        ONE.format("#EXT-X-BYTERANGE:-5@3", "1.ts"),
        ONE.format("#EXT-X-MAP:SECRET=secret", "1.ts"),
        ONE.format("#EXT-X-KEY:secret", "1.ts"),
        ONE.format("#EXT-X-MEDIA-SEQUENCE:secret", "1.ts"),
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:\nx.m3u8\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=secret\nx.m3u8\n",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://[secret/x.m3u8\n",
    ],
)
def test_a_malformed_playlist_is_refused_without_quoting_it(text: str) -> None:
    assert "is malformed" in refused(text)


def test_a_playlist_that_is_not_text_is_refused() -> None:
    with (
        scripted(lambda path, bytes_asked: Answer(200, {}, b"#EXTM3U\n\xff\xfe")) as url,
        pytest.raises(ServiceError, match="is malformed"),
    ):
        read_playlist(HttpClient(pause=0.0), f"{url}/list.m3u8", (67, 43))


def test_a_refused_playlist_is_told() -> None:
    assert "answered 403" in refused("", 403)


@pytest.mark.parametrize(
    ("variants", "chosen"),
    [
        ([("BANDWIDTH=900,RESOLUTION=640x480", "a"), ("BANDWIDTH=100,RESOLUTION=67x43", "b")], "b"),
        ([("BANDWIDTH=900", "a"), ("BANDWIDTH=1000", "b"), ("BANDWIDTH=100", "c")], "b"),
        ([("BANDWIDTH=1,RESOLUTION=67x43", "a"), ("BANDWIDTH=2,RESOLUTION=67x43", "b")], "b"),
    ],
)
def test_the_variant_of_the_right_size_is_chosen(variants: list[tuple[str, str]], chosen: str) -> None:
    main = "#EXTM3U\n" + "".join(f"#EXT-X-STREAM-INF:{what}\n{name}.m3u8\n" for what, name in variants)

    def script(path: str, bytes_asked: str | None) -> Answer:
        name = path.rpartition("/")[2].removesuffix(".m3u8")
        text = main if name == "main" else ONE.format("", f"{name}.ts")
        return Answer(200, {}, text.encode())

    with scripted(script) as url:
        [segment] = read_playlist(HttpClient(pause=0.0), f"{url}/main.m3u8", (67, 43))
    assert segment.media.url.endswith(f"/{chosen}.ts")


def test_variants_of_variants_are_not_followed() -> None:
    assert "lists no segments" in refused("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8\n")


@pytest.mark.parametrize("container", SEGMENTED)
def test_a_stream_is_read_through_its_variant(server: StandIn, clips: Clips, container: Container) -> None:
    clip = clips(SEGMENTED[container], 90)
    text = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{clip.file.name}\n"
    main = clip.with_file(clip.file.with_name("main.m3u8"), text.encode())
    assert read(opened(served(server, main), main), main, STARTS).numbers == list(STARTS)


@pytest.mark.parametrize("container", SEGMENTED)
def test_durations_may_be_wrong(server: StandIn, clips: Clips, container: Container) -> None:
    clip = clips(SEGMENTED[container], 90)
    for duration in ("0.0", "99", "-1"):
        lines = clip.file.read_text().splitlines()
        text = "\n".join(f"#EXTINF:{duration}," if line.startswith("#EXTINF") else line for line in lines)
        wrong = clip.with_file(clip.file.with_name("wrong.m3u8"), text.encode())
        video = opened(served(server, wrong), wrong)
        for start in STARTS[::2]:
            assert read(video, wrong, [start]).numbers == [start]


@pytest.mark.parametrize("kind", ["mpegts", "fmp4"])
def test_segments_may_be_parts_of_one_file(server: StandIn, clips: Clips, tmp_path: Path, kind: str) -> None:
    whole = clips(Encoding(gop=30, lossless=True), 90)
    clip = whole.with_file(tmp_path / "one.m3u8")
    options = ["-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod", "-hls_flags", "single_file"]
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            whole.file,
            "-c",
            "copy",
            *options,
            "-hls_segment_type",
            kind,
            clip.file,
        ],
        check=True,
        timeout=60,
    )
    assert "#EXT-X-BYTERANGE" in clip.file.read_text()
    url = served(server, clip)
    for start in STARTS:
        assert read(opened(url, clip), clip, [start]).numbers == [start]
    assert read(opened(url, clip), clip).numbers == clip.numbers


@pytest.mark.parametrize("container", SEGMENTED)
def test_addresses_may_be_signed(clips: Clips, container: Container) -> None:
    clip = clips(SEGMENTED[container], 90)
    with StandIn({}, signed_urls=True) as service:
        bare = served(service, clip)
        answer = HttpClient().get(
            f"{service.api_url}/streaming/s3/data/metadata/stream",
            headers={"Authorization": f"Bearer {service.issue_token()}"},
        )
        url = answer.json()["stream_path"]
        answer.close()
        assert url.startswith(f"{bare}?")
        assert read(opened(url, clip), clip).numbers == clip.numbers


def test_a_stream_may_grow_between_two_runs(server: StandIn, tmp_path: Path) -> None:
    frames = drawn(60)
    made(frames, tmp_path / "long", SEGMENTED["hls-ts"])
    clip = Clip(tmp_path / "long" / "stream.m3u8", frames)
    text = clip.file.read_text()
    shorter = text[: text.index("#EXTINF", text.index("stream0000"))]
    clip.file.write_text(shorter.replace("VOD", "EVENT"))
    assert len(read(opened(served(server, clip), clip), clip).numbers) < 35
    clip.file.write_text(text)
    assert read(opened(served(server, clip), clip), clip).numbers == clip.numbers
