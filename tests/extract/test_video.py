"""Every frame asked for, and only those, with every pixel right."""

import subprocess
from dataclasses import replace
from itertools import chain
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from etl.demo.encoder import Codec, Container, Encoding
from etl.demo.service import StandIn
from etl.extract.http import HttpClient
from etl.extract.video import Video, runs

from .clips import Clip, drawn, made, opened, read, served
from .conftest import Clips, Traffic

STARTS = (1, 2, 3, 10, *range(48, 55), 101, 150, 199, *range(248, 255), 276, 297, 298, 299)
"""The first and the last frames, those around key frames of groups of 50 and 250, and some between."""

CONTAINERS = {
    "mp4": Encoding("mp4"),
    "ts": Encoding("ts"),
    "hls-ts": Encoding("hls-ts"),
    "hls-fmp4": Encoding("hls-fmp4"),
    "hls-fmp4 with an index in each segment": Encoding("hls-fmp4", segment_index=True),
}
GROUPS = {
    "a key frame every 250": Encoding(gop=250),
    "a key frame every 50": Encoding(gop=50),
    "a key frame every 50 and closed groups": Encoding(gop=50, open_gop=False),
    "one key frame": Encoding(gop=1000),
    "key frames only": Encoding(gop=1),
}


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True, timeout=60)


def copied(clip: Clip, name: str, *options: str) -> Clip:
    """The same packets in another container, or with other options, beside the clip."""
    file = clip.file.with_name(name)
    ffmpeg("-i", clip.file, "-c", "copy", *options, file)
    return clip.with_file(file)


def test_there_are_25_starts() -> None:
    assert len(set(STARTS)) == 25


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_is_read_right_from_every_start(
    server: StandIn, clips: Clips, container: str, groups: str
) -> None:
    group = GROUPS[groups]
    encoding = replace(CONTAINERS[container], gop=group.gop, open_gop=group.open_gop, lossless=True)
    clip = clips(encoding, 299)
    video = opened(served(server, clip), clip)
    for start in STARTS:
        wanted = range(start, min(start + 3, 300))
        assert read(video, clip, wanted).numbers == list(wanted)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_whole_stream_is_read_right(server: StandIn, clips: Clips, container: str) -> None:
    clip = clips(replace(CONTAINERS[container], gop=50, lossless=True), 299)
    assert len(read(opened(served(server, clip), clip), clip).numbers) == 299


@pytest.mark.parametrize("container", ["mp4", "ts"])
@pytest.mark.parametrize("threads", [1, 4])
def test_the_number_of_threads_does_not_matter(clips: Clips, container: Container, threads: int) -> None:
    clip = clips(Encoding(container, gop=50, lossless=True), 299)
    assert len(read(opened(clip.file, clip, threads), clip).numbers) == 299


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("last.mp4", ()),
        ("fragments.mp4", ("-movflags", "frag_keyframe+empty_moov")),
        ("indexed.mp4", ("-movflags", "frag_keyframe+dash+global_sidx")),
        (
            "small.mp4",
            ("-movflags", "frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "200000"),
        ),
        ("late.mp4", ("-output_ts_offset", "1.48")),
        ("late.ts", ("-output_ts_offset", "3600", "-mpegts_copyts", "1")),
        ("early.ts", ("-muxdelay", "0", "-muxpreload", "0")),
        ("scale.mp4", ("-video_track_timescale", "600")),
    ],
)
def test_other_ways_to_write_a_container_are_read_right(
    server: StandIn, clips: Clips, name: str, options: tuple[str, ...]
) -> None:
    clip = copied(clips(Encoding(gop=50, lossless=True), 299), name, *options)
    url = served(server, clip)
    for start in STARTS[::4]:
        wanted = range(start, min(start + 3, 300))
        assert read(opened(url, clip), clip, wanted).numbers == list(wanted)


def test_an_edit_list_may_begin_late(clips: Clips) -> None:
    clip = copied(clips(Encoding(gop=50, lossless=True), 299), "edited.mp4", "-output_ts_offset", "2")
    with av.open(str(clip.file)) as container:
        assert container.streams.video[0].start_time not in (None, 0)
    assert len(read(opened(clip.file, clip), clip).numbers) == 299


def test_the_index_may_come_last(server: StandIn, clips: Clips) -> None:
    clip = clips(Encoding(gop=50, lossless=True, index_first=False), 299)
    content = clip.file.read_bytes()
    assert content.index(b"mdat") < content.index(b"moov")
    assert read(opened(served(server, clip), clip), clip, [120, 121]).numbers == [120, 121]


@pytest.mark.parametrize("container", ["ts", "hls-ts", "hls-fmp4", "mp4"])
@pytest.mark.parametrize("first_seconds", [0.4, 1.4, 100.04])
def test_a_stream_may_start_at_any_time(
    server: StandIn, clips: Clips, container: Container, first_seconds: float
) -> None:
    encoding = Encoding(container, gop=25, lossless=True, first_seconds=first_seconds, segment_seconds=1.0)
    clip = clips(encoding, 80)
    url = served(server, clip)
    for start in (1, 27, 80):
        assert read(opened(url, clip), clip, [start]).numbers == [start]


@pytest.mark.parametrize(
    ("pixel_format", "bits", "codec"),
    [
        ("gray", 8, "libx265"),
        ("gray10le", 10, "libx265"),
        ("gray12le", 12, "libx265"),
        ("gray16le", 16, "ffv1"),
        ("yuv420p", 8, "libx265"),
        ("yuvj420p", 8, "libx265"),
        ("yuv420p10le", 10, "libx265"),
        ("yuv420p12le", 12, "libx265"),
    ],
)
@pytest.mark.parametrize("size", [(67, 43), (203, 131), (66, 42), (64, 64)])
def test_every_depth_and_width_keeps_its_codes(
    tmp_path: Path, pixel_format: str, bits: int, codec: Codec, size: tuple[int, int]
) -> None:
    if pixel_format.startswith("yuv"):
        size = (size[0] & ~1, size[1] & ~1)  # 4:2:0 has pairs of columns and rows
    frames = drawn(12, bits, *size)
    clip = made(frames, tmp_path / "stream", Encoding(codec=codec, pixel_format=pixel_format, lossless=True))
    pictures = list(opened(clip.file, clip).pictures(clip.numbers))
    assert {picture.bits for picture in pictures} == {bits}
    assert max(picture.codes.max() for picture in pictures) == 2**bits - 1
    assert read(opened(clip.file, clip), clip).numbers == clip.numbers


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv420p12le"])
@pytest.mark.parametrize("container", ["mp4", "ts"])
def test_colour_of_limited_range_is_refused(tmp_path: Path, pixel_format: str, container: Container) -> None:
    bits = 8 if pixel_format == "yuv420p" else int(pixel_format[7:9])
    encoding = Encoding(container, pixel_format=pixel_format, lossless=True, full_range=False)
    clip = made(drawn(3, bits, 66, 42), tmp_path / "stream", encoding)
    outcome = read(opened(clip.file, clip), clip)
    assert outcome.numbers == []
    assert f"{pixel_format} of limited or unnamed range" in outcome.why


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p12le"])
def test_gray_that_ffmpeg_makes_into_colour_is_refused(tmp_path: Path, pixel_format: str) -> None:
    frames = drawn(3, 12, 66, 42)
    raw = tmp_path / "gray.raw"
    raw.write_bytes(np.stack(frames).tobytes())
    source = ("-f", "rawvideo", "-pix_fmt", "gray12le", "-s", "66x42", "-r", "25", "-i")
    lossless = ("-c:v", "libx265", "-x265-params", "lossless=1:log-level=none")
    ffmpeg(*source, raw, "-pix_fmt", pixel_format, *lossless, tmp_path / "colour.mp4")
    clip = Clip(tmp_path / "colour.mp4", frames)
    assert "of limited or unnamed range" in read(opened(clip.file, clip), clip).why


@pytest.mark.parametrize(("pixel_format", "bits"), [("gray", 8), ("gray10le", 10), ("gray12le", 12)])
def test_gray_keeps_its_codes_whatever_range_it_is_flagged_with(
    tmp_path: Path, pixel_format: str, bits: int
) -> None:
    encoding = Encoding(pixel_format=pixel_format, lossless=True, full_range=False)
    clip = made(drawn(12, bits), tmp_path / "stream", encoding)
    with av.open(str(clip.file)) as container:
        assert next(container.decode(video=0)).color_range == ColorRange.MPEG
    assert read(opened(clip.file, clip), clip).numbers == clip.numbers


@pytest.mark.parametrize("pixel_format", ["yuv444p12le", "gbrp12le"])
def test_a_pixel_format_without_a_plane_of_codes_is_refused(tmp_path: Path, pixel_format: str) -> None:
    clip = made(drawn(3), tmp_path / "stream", Encoding(pixel_format=pixel_format, lossless=True))
    outcome = read(opened(clip.file, clip), clip, [1])
    assert outcome.numbers == []
    assert pixel_format in outcome.why


@pytest.mark.parametrize(
    "numbers",
    [
        [5, 7, 11, 40, 41, 90],
        [90, 5, 6, 41, 1],
        [299, 298, 1],
        [51, 251, 52, 252],
        [7, 7],
        [1, 299],
    ],
    ids=str,
)
@pytest.mark.parametrize("container", ["mp4", "hls-fmp4"])
def test_frames_come_with_holes_and_in_any_order(
    server: StandIn, clips: Clips, container: Container, numbers: list[int]
) -> None:
    clip = clips(Encoding(container, gop=50, lossless=True), 299)
    assert read(opened(served(server, clip), clip), clip, numbers).numbers == numbers


def test_nothing_is_requested_for_no_frames(server: StandIn, traffic: Traffic, clips: Clips) -> None:
    clip = clips(Encoding(lossless=True))
    assert list(opened(served(server, clip), clip).pictures([])) == []
    assert traffic() == []


@pytest.mark.parametrize(
    ("container", "share"), [("mp4", 0.3), ("ts", 0.95), ("hls-ts", 0.3), ("hls-fmp4", 0.3)]
)
def test_a_long_gap_is_sought_over(server: StandIn, clips: Clips, container: Container, share: float) -> None:
    clip = clips(Encoding(container, gop=50, lossless=True), 1200)
    client = HttpClient()
    video = Video(client, served(server, clip), clip.size)
    assert read(video, clip, [3, 1150, 1151]).numbers == [3, 1150, 1151]
    assert client.bytes_received < share * size_of(clip)


@pytest.mark.parametrize(
    ("numbers", "cut"),
    [
        ([], []),
        ([4], [[4]]),
        ([1, 2, 501], [[1, 2, 501]]),
        ([1, 2, 503], [[1, 2], [503]]),
        ([3, 2, 2], [[3], [2], [2]]),
    ],
)
def test_numbers_are_cut_at_long_gaps_and_steps_back(numbers: list[int], cut: list[list[int]]) -> None:
    assert runs(numbers) == cut
    assert list(chain.from_iterable(runs(numbers))) == numbers


def size_of(clip: Clip) -> int:
    return sum(file.stat().st_size for file in clip.file.parent.iterdir())


@pytest.mark.parametrize(("container", "share"), [("mp4", 0.2), ("ts", 0.6)])
def test_only_the_needed_part_of_a_file_is_downloaded(
    server: StandIn, traffic: Traffic, clips: Clips, container: Container, share: float
) -> None:
    clip = clips(Encoding(container, gop=25, lossless=True), 450, size=(203, 131))
    assert size_of(clip) > 10_000_000
    read(opened(served(server, clip), clip), clip, [230, 231, 232])
    assert sum(request.sent for request in traffic()) < share * size_of(clip)


@pytest.mark.parametrize("container", ["hls-ts", "hls-fmp4"])
def test_only_the_needed_segments_are_requested(
    server: StandIn, traffic: Traffic, clips: Clips, container: Container
) -> None:
    clip = clips(Encoding(container, gop=50, lossless=True), 299)
    read(opened(served(server, clip), clip), clip, [160, 161])
    asked = {request.path.rpartition("/")[2] for request in traffic()}
    segments = {name.partition(".")[0] for name in asked if name.endswith((".ts", ".m4s"))}
    # The first tells when the stream starts.
    assert segments <= {"stream0000", "stream0002", "stream0003"}


def test_pictures_stay_as_they_are_while_others_are_decoded(clips: Clips) -> None:
    clip = clips(Encoding(gop=50, lossless=True), 299)
    pictures = list(opened(clip.file, clip).pictures(clip.numbers))
    np.testing.assert_array_equal([picture.codes for picture in pictures], clip.frames)


def test_a_reader_may_stop_early_and_start_again(server: StandIn, clips: Clips) -> None:
    clip = clips(Encoding("ts", gop=50, lossless=True), 299)
    video = opened(served(server, clip), clip)
    pictures = iter(video.pictures(clip.numbers))
    assert next(pictures).number == 1
    del pictures
    assert read(video, clip, [120]).numbers == [120]
