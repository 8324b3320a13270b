"""Streams that would pass for something else: each must end with an error, never with a wrong picture."""

import subprocess
from pathlib import Path

import av
import pytest

from etl.demo.encoder import Encoding
from etl.demo.service import StandIn
from etl.errors import StreamError

from .clips import drawn, made, opened, read, served
from .conftest import Clips


def test_a_stream_that_is_replaced_between_two_openings_is_told(
    server: StandIn, clips: Clips, tmp_path: Path
) -> None:
    clip = clips(Encoding(lossless=True))
    other = made(list(reversed(drawn(40))), tmp_path / clip.file.parent.name, Encoding(lossless=True))
    video = opened(served(server, clip), clip)
    pictures = video.pictures([1, 2, 1])
    assert [next(pictures).number, next(pictures).number] == [1, 2]
    served(server, other)

    with pytest.raises(StreamError, match=r"frame 1 of .* changed while it was read"):
        next(pictures)


def test_a_key_frame_that_comes_again_does_not_pass_for_the_next(
    server: StandIn, clips: Clips, tmp_path: Path
) -> None:
    clip = clips(Encoding(lossless=True, gop=250), 8)
    file = tmp_path / "again.mp4"
    with av.open(str(clip.file)) as source, av.open(str(file), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        last = max(packet.pts or 0 for packet in packets)
        dts = max(packet.dts or 0 for packet in packets)
        frame = (last - (packets[0].pts or 0)) // 7
        for packet in packets:
            packet.stream = copy
            target.mux(packet)
        again = av.Packet(bytes(packets[0]))
        again.stream, again.time_base, again.is_keyframe = copy, packets[0].time_base, True
        again.pts, again.dts = last, dts + frame
        target.mux(again)

    ended = read(opened(file, clip), clip, range(1, 10))

    assert ended.numbers == list(range(1, 9))
    assert "comes again" in ended.why


@pytest.mark.parametrize("rate", ["1", "5", "12.5", "50"])
def test_another_frame_rate_is_told_even_where_the_number_fits(
    clips: Clips, tmp_path: Path, rate: str
) -> None:
    clip = clips(Encoding(lossless=True, gop=1, b_frames=0))
    file = tmp_path / "slow.mp4"
    slower = ["ffmpeg", "-v", "error", "-i", str(clip.file), "-c", "copy", "-bsf:v"]
    retimed = f"setts=ts=N/({rate}*TB)"
    if subprocess.run([*slower, retimed, str(file)], check=False).returncode:
        pytest.skip("NOT TESTED: there is no ffmpeg program to change the times of a stream")

    with pytest.raises(StreamError, match="25"):
        list(opened(file, clip).pictures([int(2 * 25 / float(rate)) + 1]))


def test_a_playlist_that_changes_its_settings_on_the_way_is_refused(server: StandIn, tmp_path: Path) -> None:
    clip = made(
        drawn(40), tmp_path / "stream", Encoding("hls-fmp4", lossless=True, gop=10, segment_seconds=0.4)
    )
    lines = clip.file.read_text().splitlines()
    init = next(line for line in lines if line.startswith("#EXT-X-MAP"))
    name = init.split('"')[1]
    (clip.file.parent / "other.mp4").write_bytes((clip.file.parent / name).read_bytes())
    second = [index for index, line in enumerate(lines) if line.startswith("#EXTINF")][2]
    lines.insert(second, init.replace(name, "other.mp4"))
    clip.file.write_text("\n".join(lines) + "\n")

    ended = read(opened(served(server, clip), clip), clip)

    assert ended.numbers == []
    assert "changes its settings on the way" in ended.why
