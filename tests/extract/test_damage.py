"""Whatever is wrong with a stream: what comes is right and without a hole, and the error names the rest."""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import pytest

from etl.demo.encoder import Container, Encoding, PictureHashKind
from etl.demo.service import StandIn
from etl.extract.transport import PACKET

from .clips import Clip, drawn, made, opened, read, served
from .conftest import Clips

EVERY_CONTAINER: Sequence[Container] = ("mp4", "ts", "hls-ts", "hls-fmp4")

Timing = Callable[[int], int | None]
"""Frame number to the number whose time the frame gets; None leaves it out."""


def retimed(clip: Clip, name: str, timing: Timing, *, ticks: int = 3600) -> Clip:
    """The packets of a clip of key frames in an MPEG-TS of `ticks`/90000 s a frame."""
    file = clip.file.with_name(name)
    with av.open(str(clip.file)) as source, av.open(str(file), "w", options={"mpegts_copyts": "1"}) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for number, packet in enumerate(packets, start=1):
            shown = timing(number)
            if shown is not None:
                packet.pts, packet.dts = 126_000 + ticks * shown, ticks * number
                packet.time_base = Fraction(1, 90_000)
                packet.stream = stream
                out.mux(packet)
    return clip.with_file(file)


def spread(size: int, count: int = 40) -> list[int]:
    """Positions all over a file, at no regular distance, some of them at the borders of packets."""
    positions = np.random.default_rng(1).integers(1, size, count)
    positions[::4] -= positions[::4] % PACKET
    return sorted(int(position) for position in positions)


@pytest.mark.parametrize("container", EVERY_CONTAINER)
def test_a_stream_may_have_fewer_frames_than_wanted(
    server: StandIn, clips: Clips, container: Container
) -> None:
    clip = clips(Encoding(container, gop=12, lossless=True))
    outcome = read(opened(served(server, clip), clip), clip, range(30, 50))
    assert outcome.numbers == list(range(30, 41))
    assert "ends at frame 40" in outcome.why


@pytest.mark.parametrize("container", EVERY_CONTAINER)
def test_a_frame_far_behind_the_end_is_told(server: StandIn, clips: Clips, container: Container) -> None:
    clip = clips(Encoding(container, gop=12, lossless=True))
    outcome = read(opened(served(server, clip), clip), clip, [30, 5000])
    assert outcome.numbers == [30]
    assert outcome.error is not None
    assert outcome.error.number == 5000


@pytest.mark.parametrize("b_frames", [4, 0])
@pytest.mark.parametrize("container", ["mp4", "ts"])
def test_a_file_may_be_cut_anywhere(
    server: StandIn, clips: Clips, container: Container, b_frames: int
) -> None:
    clip = clips(Encoding(container, gop=12, lossless=True, b_frames=b_frames))
    url = served(server, clip)
    came = []
    for position in spread(clip.file.stat().st_size):
        server.faults.truncate_to = position
        outcome = read(opened(url, clip), clip)
        assert outcome.error is not None
        came.append(len(outcome.numbers))
    assert came == sorted(came)
    assert came[-1] > 30


@pytest.mark.parametrize("b_frames", [4, 0])
def test_a_transport_stream_may_be_cut_in_any_packet_of_its_last_frames(
    clips: Clips, tmp_path: Path, b_frames: int
) -> None:
    clip = clips(Encoding("ts", gop=12, lossless=True, b_frames=b_frames))
    content = clip.file.read_bytes()
    for packets in range(1, 80, 2):
        cut = clip.with_file(tmp_path / "cut.ts", content[: -packets * PACKET])
        outcome = read(opened(cut.file, cut), cut)
        assert outcome.error is not None
        assert len(outcome.numbers) >= 30


@pytest.mark.parametrize(
    ("container", "segment_index"), [("hls-ts", False), ("hls-fmp4", False), ("hls-fmp4", True)]
)
def test_a_segment_may_be_cut_anywhere(
    server: StandIn, clips: Clips, container: Container, segment_index: bool
) -> None:
    clip = clips(segmented(container, segment_index=segment_index), 90)
    url = served(server, clip)
    [segment] = clip.file.parent.glob("stream0001.*")
    size = segment.stat().st_size
    server.faults.files = segment.name
    came = []
    for position in spread(size):
        if (size - position) % (16 * PACKET) == 0:
            continue  # Packets are counted modulo 16: the loss of that many cannot be seen.
        server.faults.truncate_to = position
        outcome = read(opened(url, clip), clip)
        assert outcome.error is not None
        came.append(len(outcome.numbers))
    assert min(came) >= 20
    assert 30 < max(came) < 60


def segmented(container: Container, *, segment_index: bool = False) -> Encoding:
    """Segments of 30 frames, each of which begins with four that are shown before its key frame."""
    return Encoding(container, gop=30, segment_seconds=1.2, lossless=True, segment_index=segment_index)


@pytest.mark.parametrize("container", ["hls-ts", "hls-fmp4"])
def test_a_missing_segment_is_told(server: StandIn, clips: Clips, container: Container) -> None:
    clip = clips(segmented(container), 120)
    [segment] = clip.file.parent.glob("stream0002.*")
    server.faults.missing = frozenset({segment.name})
    outcome = read(opened(served(server, clip), clip), clip)
    # The last frames before it may be whole or not.
    assert 50 <= len(outcome.numbers) < 60
    assert f"{segment.name} answered 404" in outcome.why


@pytest.mark.parametrize("container", ["hls-ts", "hls-fmp4"])
def test_frames_behind_a_missing_segment_can_be_read(
    server: StandIn, clips: Clips, container: Container
) -> None:
    clip = clips(segmented(container), 120)
    [segment] = clip.file.parent.glob("stream0001.*")
    server.faults.missing = frozenset({segment.name})
    wanted = list(range(100, 121))
    assert read(opened(served(server, clip), clip), clip, wanted).numbers == wanted


@pytest.mark.parametrize("container", ["hls-ts", "hls-fmp4"])
@pytest.mark.parametrize("change", ["left out", "twice", "swapped"])
def test_a_playlist_may_be_wrong_about_its_segments(
    server: StandIn, clips: Clips, container: Container, change: str
) -> None:
    clip = clips(segmented(container), 120)
    lines = clip.file.read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("stream0001")) - 1
    second, third = lines[begin : begin + 2], lines[begin + 2 : begin + 4]
    lines[begin : begin + 4] = {
        "left out": third,
        "twice": second + second + third,
        "swapped": third + second,
    }[change]
    changed = clip.with_file(clip.file.with_name(f"{change}.m3u8"), "\n".join(lines).encode())
    outcome = read(opened(served(server, changed), changed), changed)
    assert 20 <= len(outcome.numbers) <= 60
    assert outcome.error is not None


def frame_bytes(clip: Clip, count: int) -> list[int]:
    """Positions in the frames of an MP4, at random and none twice."""
    with av.open(str(clip.file)) as container:
        spans = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
    positions = np.concatenate([np.arange(begin, begin + size) for begin, size in spans])
    return [int(position) for position in np.random.default_rng(2).choice(positions, count, replace=False)]


def with_changes(clip: Clip, folder: Path, changes: dict[int, int]) -> Clip:
    """The same stream with other bytes at some positions: each is combined with a value by exclusive or."""
    content = bytearray(clip.file.read_bytes())
    for position, value in changes.items():
        content[position] ^= value
    return clip.with_file(folder / f"changed{clip.file.suffix}", bytes(content))


@pytest.mark.parametrize("kind", ["md5", "crc", "checksum"])
def test_no_change_inside_a_frame_gives_other_pixels_where_pictures_carry_hashes(
    tmp_path: Path, kind: PictureHashKind
) -> None:
    encoding = Encoding(gop=8, lossless=True, picture_hash=kind)
    clip = made(drawn(16, 12, 80, 48), tmp_path / "stream", encoding)
    assert read(opened(clip.file, clip), clip).numbers == clip.numbers
    noticed = unaffected = 0
    for n, position in enumerate(frame_bytes(clip, 400)):
        changed = with_changes(clip, tmp_path, {position: n % 255 + 1})
        # `read` compares every pixel of every frame that comes.
        if read(opened(changed.file, changed, n % 2), changed).error:
            noticed += 1
        else:
            unaffected += 1
    assert noticed + unaffected == 400
    assert noticed > 380


@pytest.mark.parametrize(
    ("pixel_format", "bits", "size"),
    [
        ("gray12le", 12, (67, 43)),
        ("gray", 8, (67, 43)),
        ("gray10le", 10, (80, 48)),
        ("yuv420p12le", 12, (66, 42)),
    ],
)
def test_md5_hashes_are_compared_at_every_depth_and_width(
    tmp_path: Path, pixel_format: str, bits: int, size: tuple[int, int]
) -> None:
    encoding = Encoding(pixel_format=pixel_format, gop=8, lossless=True, picture_hash="md5")
    clip = made(drawn(16, bits, *size), tmp_path / "stream", encoding)
    noticed = 0
    for position in frame_bytes(clip, 40):
        changed = with_changes(clip, tmp_path, {position: 0x55})
        noticed += read(opened(changed.file, changed), changed).error is not None
    assert noticed > 35


@pytest.mark.parametrize("container", ["mp4", "ts"])
@pytest.mark.parametrize("kind", ["md5", "crc", "checksum"])
def test_a_damaged_picture_is_noticed_though_its_hash_is_lost_as_well(
    tmp_path: Path, container: Container, kind: PictureHashKind
) -> None:
    encoding = Encoding(container, gop=8, lossless=True, picture_hash=kind, first_seconds=1.4)
    clip = made(drawn(16, 12, 80, 48), tmp_path / "stream", encoding)
    content = clip.file.read_bytes()
    messages = [found.start() for found in re.finditer(rb"\x50\x01\x84", content)]
    assert len(messages) == 16
    for number, message in enumerate(messages[1:8], start=2):
        changed = with_changes(clip, tmp_path, {message - 20: 0x55, message + 2: 1})
        outcome = read(opened(changed.file, changed), changed)
        assert outcome.error is not None, f"packet {number}"


def test_hashes_may_begin_or_end_at_a_key_frame(tmp_path: Path) -> None:
    frames = drawn(16, 12, 80, 48)
    plain = made(frames[:8], tmp_path / "plain", Encoding("ts", gop=8, lossless=True, open_gop=False))
    encoding = Encoding("ts", gop=8, lossless=True, open_gop=False, picture_hash="crc", first_seconds=1.72)
    hashed = made(frames[8:], tmp_path / "hashed", encoding)
    joined = Clip(tmp_path / "joined.ts", frames)
    with (
        av.open(str(joined.file), "w", options={"mpegts_copyts": "1"}) as out,
        av.open(str(plain.file)) as first,
        av.open(str(hashed.file)) as second,
    ):
        stream = out.add_stream_from_template(first.streams.video[0])
        for packet in chain(first.demux(video=0), second.demux(video=0)):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    assert read(opened(joined.file, joined), joined).numbers == joined.numbers


def test_the_measurement_of_damaged_bytes_can_be_repeated() -> None:
    script = Path(__file__).parents[2] / "scripts/damage.py"
    done = subprocess.run(
        [sys.executable, script, "2"], capture_output=True, text=True, check=True, timeout=300
    )
    assert len(done.stdout.splitlines()) == 8
    assert re.search(r"^MP4, MD5: 2 noticed, 0 without effect, 0 wrong$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("timing", "came", "why"),
    [
        (lambda number: None if number == 17 else number, 16, "goes on with frame 18"),
        (lambda number: None if 17 <= number < 30 else number, 16, "goes on with frame 30"),
        (lambda number: None if number >= 17 else number, 16, "ends at frame 16"),
        (lambda number: 16 if number == 17 else number, 16, "frame 16 comes again"),
        (lambda number: number - 10 * (number > 20), 20, "frame 11 comes again after frame 20"),
        (lambda number: number + (number > 16), 16, "goes on with frame 18"),
    ],
    ids=["a hole", "a long hole", "an early end", "a frame twice", "a step back", "a shift"],
)
def test_times_that_do_not_number_the_frames_are_noticed(
    server: StandIn, clips: Clips, timing: Timing, came: int, why: str
) -> None:
    clip = retimed(clips(Encoding(gop=1, lossless=True)), "retimed.ts", timing)
    outcome = read(opened(served(server, clip), clip), clip)
    assert len(outcome.numbers) == came
    assert why in outcome.why


def test_frames_behind_a_hole_can_be_read(clips: Clips) -> None:
    clip = retimed(
        clips(Encoding(gop=1, lossless=True)), "hole.ts", lambda number: None if number == 17 else number
    )
    assert read(opened(clip.file, clip), clip, [15, 16, 18, 19]).numbers == [15, 16, 18, 19]


@pytest.mark.parametrize("rate", [24, 23.976, 30, 50])
@pytest.mark.parametrize("first", [1, 26])
def test_another_frame_rate_is_refused(clips: Clips, rate: float, first: int) -> None:
    clip = retimed(
        clips(Encoding(gop=1, lossless=True)), "rate.ts", lambda number: number, ticks=round(90_000 / rate)
    )
    outcome = read(opened(clip.file, clip), clip, range(first, 35))
    assert set(outcome.numbers) <= {1}
    assert "25 a second" in outcome.why


@pytest.mark.parametrize("container", EVERY_CONTAINER)
def test_another_size_than_the_metadata_says_is_refused(
    server: StandIn, clips: Clips, container: Container
) -> None:
    clip = clips(Encoding(container, gop=12, lossless=True))
    other = Clip(clip.file, drawn(40, columns=90, rows=60))
    outcome = read(opened(served(server, other), other), other, [3, 4])
    assert outcome.numbers == []
    assert "67 × 43 pixels, the metadata says 90 × 60" in outcome.why


@pytest.mark.parametrize(
    ("size", "why"), [((80, 60), "80 × 60"), ((400, 300), "it is damaged")], ids=["a little", "much"]
)
def test_a_size_that_changes_on_the_way_is_refused(tmp_path: Path, size: tuple[int, int], why: str) -> None:
    small = made(drawn(20), tmp_path / "small", Encoding("ts", gop=10, lossless=True))
    large = made(
        drawn(20, columns=size[0], rows=size[1]),
        tmp_path / "large",
        Encoding("ts", gop=10, lossless=True, first_seconds=2.2),
    )
    file = tmp_path / "joined.ts"
    with av.open(str(file), "w", options={"mpegts_copyts": "1"}) as out:
        stream = None
        for clip in (small, large):
            with av.open(str(clip.file)) as source:
                stream = stream or out.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.stream = stream
                        out.mux(packet)
    joined = Clip(file, [*small.frames, *small.frames])
    outcome = read(opened(file, joined), joined)
    assert outcome.numbers == list(range(1, 21))
    # The size of much larger frames is not told: they are not decoded at all.
    assert why in outcome.why


@pytest.mark.parametrize("b_frames", [4, 0])
@pytest.mark.parametrize("container", ["mp4", "ts"])
def test_a_frame_whose_reference_is_lost_is_never_made_up(
    clips: Clips, tmp_path: Path, container: Container, b_frames: int
) -> None:
    clip = clips(Encoding(container, gop=12, lossless=True, b_frames=b_frames))
    refused = 0
    for lost in (1, 3, 5, 8, 13, 20):
        file = tmp_path / f"lost.{container}"
        options = {"mpegts_copyts": "1"} if container == "ts" else {}
        with av.open(str(clip.file)) as source, av.open(str(file), "w", options=options) as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            for n, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
                packet.stream = stream
                if n != lost:
                    out.mux(packet)
        broken = clip.with_file(file)
        for number in range(2, 30, 3):
            refused += not read(opened(file, broken), broken, [number]).numbers
    assert refused > 6


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"G",
        b"<!DOCTYPE html><html><body>maintenance</body></html>" * 20,
        np.random.default_rng(0).bytes(5000),
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 1234 RTP/AVP 96\n",
        b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42",
        b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42" + np.random.default_rng(0).bytes(5000),
        (b"G" + bytes(PACKET - 1)) * 50,
        (b"G" + np.random.default_rng(0).bytes(PACKET - 1)) * 50,
        b"#EXTM3U\n",
    ],
    ids=[
        "nothing",
        "one byte",
        "HTML",
        "noise",
        "a list of files",
        "a session description",
        "a head of MP4",
        "noise behind a head of MP4",
        "empty packets",
        "noise in packets",
        "an empty playlist",
    ],
)
def test_what_is_no_video_is_refused(server: StandIn, tmp_path: Path, content: bytes) -> None:
    clip = Clip(tmp_path / "stream.mp4", drawn(3)).with_file(tmp_path / "stream.mp4", content)
    for source in (served(server, clip), clip.file):
        outcome = read(opened(source, clip), clip, [2, 3])
        assert outcome.numbers == []
        assert "frame 2" in outcome.why


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    clip = Clip(tmp_path / "sound.mp4", drawn(3))
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=1", clip.file], check=True, timeout=60
    )
    assert "holds no video" in read(opened(clip.file, clip), clip, [1]).why


def test_a_stream_that_is_not_there_is_told(server: StandIn, clips: Clips) -> None:
    clip = clips(Encoding(lossless=True))
    url = served(server, clip).replace("stream.mp4", "other.mp4")
    assert "other.mp4 answered 404" in read(opened(url, clip), clip, [1]).why


def test_a_local_playlist_is_not_followed(clips: Clips) -> None:
    clip = clips(Encoding("hls-ts", lossless=True))
    assert "neither MP4, MPEG-TS nor HLS" in read(opened(clip.file, clip), clip, [1]).why
