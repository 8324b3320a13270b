from fractions import Fraction
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from etl.demo.encoder import Codec, Container, Encoding, encode
from etl.errors import UsageError


def moving_frames(count: int, rows: int, columns: int, bits: int) -> list[NDArray[np.uint16]]:
    """Frames that differ from each other, in rows whose length no padding suits."""
    y, x = np.mgrid[:rows, :columns]
    wave = [(np.sin(x / 9 + n / 4) + np.cos(y / 7 - n / 5) + 2) / 4 for n in range(count)]
    return [np.rint(field * (2**bits - 1)).astype(np.uint16) for field in wave]


def decoded(file: Path) -> tuple[list[Fraction], list[NDArray[np.uint16]]]:
    """Times and luma of all frames, in the order the decoder shows them."""
    times, pictures = [], []
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            assert frame.pts is not None
            assert frame.time_base is not None
            dtype = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else "<u2")
            luma = frame.planes[0]
            lines = np.frombuffer(memoryview(luma), dtype).reshape(luma.height, -1)
            times.append(frame.pts * frame.time_base)
            pictures.append(lines[:, : luma.width].astype(np.uint16))
    return times, pictures


@pytest.mark.parametrize("open_gop", [True, False])
@pytest.mark.parametrize("container", get_args(Container))
def test_every_container_shows_all_frames_unchanged_at_their_times(
    tmp_path: Path, container: Container, open_gop: bool
) -> None:
    frames = moving_frames(70, 67, 101, bits=12)
    encoding = Encoding(container, lossless=True, gop=20, open_gop=open_gop, segment_seconds=0.8)
    times, pictures = decoded(encode(frames, tmp_path, encoding))
    start = Fraction(0 if container == "mp4" else 35, 25)
    assert times == [start + Fraction(n, 25) for n in range(70)]
    np.testing.assert_array_equal(pictures, frames)


@pytest.mark.parametrize("container", get_args(Container))
def test_the_first_frame_is_shown_when_asked(tmp_path: Path, container: Container) -> None:
    file = encode(moving_frames(12, 64, 64, bits=12), tmp_path, Encoding(container, first_seconds=1.48))
    assert decoded(file)[0] == [Fraction(37 + n, 25) for n in range(12)]


@pytest.mark.parametrize(
    ("pixel_format", "bits", "codec"),
    [
        ("gray", 8, "libx265"),
        ("gray10le", 10, "libx265"),
        ("gray12le", 12, "libx265"),
        ("gray16le", 16, "ffv1"),
        ("yuv420p", 8, "libx265"),
        ("yuv420p10le", 10, "libx265"),
        ("yuv420p12le", 12, "libx265"),
    ],
)
def test_every_depth_keeps_its_full_range(tmp_path: Path, pixel_format: str, bits: int, codec: Codec) -> None:
    frames = moving_frames(6, 66, 102, bits)
    given = [frame.astype(np.uint8) for frame in frames] if bits == 8 else frames
    file = encode(given, tmp_path, Encoding(codec=codec, pixel_format=pixel_format, lossless=True))
    np.testing.assert_array_equal(decoded(file)[1], frames)


def test_hevc_is_tagged_as_full_range(tmp_path: Path) -> None:
    with av.open(str(encode(moving_frames(1, 64, 64, bits=12), tmp_path))) as container:
        assert container.streams.video[0].codec_context.color_range == 2


def test_lossy_frames_stay_close(tmp_path: Path) -> None:
    frames = moving_frames(6, 64, 64, bits=12)
    pictures = decoded(encode(frames, tmp_path))[1]
    assert np.abs(np.subtract(pictures, frames, dtype=np.int32)).max() < 0.02 * 4095


def test_hls_is_a_finished_playlist_of_segments_beside_it(tmp_path: Path) -> None:
    frames = moving_frames(50, 64, 64, bits=12)
    file = encode(frames, tmp_path, Encoding("hls-ts", gop=10, segment_seconds=0.8))
    lines = file.read_text().splitlines()
    assert lines[-1] == "#EXT-X-ENDLIST"
    segments = [line for line in lines if not line.startswith("#")]
    assert len(segments) == 3
    assert all((tmp_path / segment).is_file() for segment in segments)


@pytest.mark.parametrize("index_first", [True, False])
def test_the_index_of_mp4_comes_first_or_last(tmp_path: Path, index_first: bool) -> None:
    content = encode(
        moving_frames(3, 64, 64, bits=12), tmp_path, Encoding(index_first=index_first)
    ).read_bytes()
    assert (content.index(b"moov") < content.index(b"mdat")) == index_first


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        encode(moving_frames(1, 64, 64, bits=12), tmp_path / "missing")


def test_frames_may_come_from_a_generator(tmp_path: Path) -> None:
    file = encode((frame for frame in moving_frames(5, 64, 64, bits=12)), tmp_path, name="other")
    assert file.name == "other.mp4"
    assert len(decoded(file)[0]) == 5


@pytest.mark.parametrize(
    ("frames", "encoding"),
    [
        ([], Encoding()),
        ([np.zeros((64, 64), np.uint16), np.zeros((64, 65), np.uint16)], Encoding()),
        ([np.zeros((64, 64), np.uint16)], Encoding(pixel_format="gray")),
        ([np.zeros((64, 64), np.uint16)], Encoding(pixel_format="gray16le")),
        ([np.zeros((64, 64), np.uint16)], Encoding(pixel_format="gray13")),
        ([np.zeros((64, 64), np.uint16)] * 9, Encoding("ts", first_seconds=0)),
    ],
    ids=["none", "two shapes", "too deep", "not for this codec", "unknown format", "no time for B-frames"],
)
def test_frames_that_cannot_be_encoded_are_refused(
    tmp_path: Path, frames: list[NDArray[np.uint16]], encoding: Encoding
) -> None:
    with pytest.raises(UsageError):
        encode(frames, tmp_path, encoding)
