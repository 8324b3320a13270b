"""Video as the streaming service sends it: gray frames at 25 a second, in MP4, MPEG-TS or HLS."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from etl.errors import UsageError

RATE = 25
"""Frames a second."""

Container = Literal["mp4", "ts", "hls-ts", "hls-fmp4"]
Codec = Literal["libx265", "ffv1"]
PictureHashKind = Literal["md5", "crc", "checksum"]
Codes = NDArray[np.uint8] | NDArray[np.uint16]

_LIMITED_RANGE, _FULL_RANGE = 1, 2
"""FFmpeg's numbers for samples that leave out codes at both ends, and that use every code (AVCOL_RANGE_…)."""

_PICTURE_HASHES = {None: 0, "md5": 1, "crc": 2, "checksum": 3}
"""Kinds of hashes that HEVC pictures can carry, as x265 numbers them."""

_TRANSPORT_START = 1.4
"""Where FFmpeg's MPEG-TS muxer starts its clock, in seconds."""


@dataclass(frozen=True)
class Encoding:
    """How frames become a stream."""

    container: Container = "mp4"
    codec: Codec = "libx265"
    """`ffv1` is for 16-bit gray in MP4: lossless, every frame a key frame."""
    pixel_format: str = "gray12le"
    """FFmpeg's name of a gray or planar 4:2:0 format; codes go to the first plane."""
    gop: int = 250
    """Frames between key frames; HLS segments begin at key frames only."""
    open_gop: bool = True
    """Frames shown before a key frame may need the group before it."""
    b_frames: int = 4
    crf: int = 8
    """Quality of HEVC, 0 (best) to 51."""
    preset: str = "ultrafast"
    """How hard HEVC's encoder tries, as x265 names it."""
    lossless: bool = False
    full_range: bool = True
    """The range that the stream names; the codes are the same either way."""
    picture_hash: PictureHashKind | None = None
    """HEVC only: every picture carries such a hash of its samples."""
    segment_seconds: float = 2.0
    """Shortest HLS segment."""
    first_seconds: float | None = None
    """Presentation time of the first frame, a multiple of 1/25 s; by default 0 in MP4 and 1.4 elsewhere."""
    index_first: bool = True
    """MP4 only: the index comes before the frames ("faststart")."""
    segment_index: bool = False
    """HLS fMP4 only: segments carry a `sidx` box, as FFmpeg writes by default.

    With open groups FFmpeg then reads a segment's first key frame as shown at the segment's earliest time.
    """


def encode(
    frames: Iterable[Codes], folder: Path, encoding: Encoding | None = None, name: str = "stream"
) -> Path:
    """Encode frames into a folder, one at a time.

    Frame i (from 0) is presented at exactly `first_seconds` + i/25 s.

    Args:
        frames: Arrays of rows × columns, all of one shape, uint8 or uint16, in the range of the pixel format.
        folder: Existing folder for the file, or for the playlist and its segments.
        encoding: Container, codec and their settings.
        name: Start of all file names.

    Returns:
        The file to open: `.mp4`, `.ts` or `.m3u8`.

    Raises:
        UsageError: There are no frames, their shape changes, they do not fit the pixel format,
            or the encoder refuses the settings.
        OSError: The folder cannot be written to.
    """
    encoding = encoding or Encoding()
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise UsageError("there are no frames to encode", "give at least one")
    rows, columns = first.shape
    suffix = {"mp4": "mp4", "ts": "ts"}.get(encoding.container, "m3u8")
    path = folder / f"{name}.{suffix}"
    try:
        with av.open(
            str(path), "w", format=_muxer(encoding), options=_muxer_options(encoding, folder, name)
        ) as out:
            stream = _add_stream(out, encoding, columns, rows)
            for frame in chain(_video_frames(chain([first], remaining), encoding, (rows, columns)), [None]):
                packets = stream.encode(frame)
                if encoding.container != "mp4" and any((packet.dts or 0) < 0 for packet in packets):
                    # The muxer would move all times up; only MP4 can say that decoding begins before zero.
                    raise ValueError("first_seconds leaves no time to decode B-frames")
                out.mux(packets)
    except OSError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise UsageError(
            f"cannot encode {columns} × {rows} pixels as {encoding.pixel_format} {encoding.codec}"
            f" in {encoding.container}: {error}",
            "choose another encoding",
        ) from error
    return path


def _muxer(encoding: Encoding) -> str:
    return {"mp4": "mp4", "ts": "mpegts"}.get(encoding.container, "hls")


def _muxer_options(encoding: Encoding, folder: Path, name: str) -> dict[str, str]:
    if encoding.container == "mp4":
        return {"movflags": "+faststart"} if encoding.index_first else {}
    if encoding.container == "ts":
        return {"mpegts_copyts": "1"}
    kind, suffix, segment_options = "mpegts", "ts", "mpegts_copyts=1"
    if encoding.container == "hls-fmp4":
        kind, suffix = "fmp4", "m4s"
        segment_options = "" if encoding.segment_index else "movflags=+skip_sidx"
    return {
        "hls_time": str(encoding.segment_seconds),
        "hls_playlist_type": "vod",
        "hls_list_size": "0",
        "hls_segment_type": kind,
        "hls_segment_filename": str(folder / f"{name}%04d.{suffix}"),
        "hls_fmp4_init_filename": f"{name}_init.mp4",
        "hls_segment_options": segment_options,
    }


def _add_stream(out: OutputContainer, encoding: Encoding, columns: int, rows: int) -> VideoStream:
    options = {"g": "1"}
    if encoding.codec == "libx265":
        settings = {
            "keyint": encoding.gop,
            "min-keyint": encoding.gop,
            "open-gop": int(encoding.open_gop),
            "bframes": encoding.b_frames,
            "b-adapt": 0,
            "scenecut": 0,
            "lossless": int(encoding.lossless),
            "hash": _PICTURE_HASHES[encoding.picture_hash],
            "log-level": "none",
        }
        parameters = ":".join(f"{key}={value}" for key, value in settings.items())
        options = {"preset": encoding.preset, "crf": str(encoding.crf), "x265-params": parameters}
    stream = out.add_stream(encoding.codec, rate=RATE, options=options)
    stream.width, stream.height, stream.pix_fmt = columns, rows, encoding.pixel_format
    stream.codec_context.color_range = _FULL_RANGE if encoding.full_range else _LIMITED_RANGE
    if encoding.codec == "libx265" and encoding.container != "ts":
        stream.codec_tag = "hvc1"
    return stream


def _video_frames(
    frames: Iterable[Codes], encoding: Encoding, shape: tuple[int, int]
) -> Iterator[av.VideoFrame]:
    bits = av.VideoFormat(encoding.pixel_format).components[0].bits
    dtype = np.dtype(np.uint8 if bits == 8 else "<u2")
    start = encoding.first_seconds
    if start is None:
        start = 0.0 if encoding.container == "mp4" else _TRANSPORT_START
    for number, codes in enumerate(frames, start=round(start * RATE)):
        if codes.shape != shape or not np.can_cast(codes.dtype, dtype):
            raise ValueError(f"a frame of {codes.shape} {codes.dtype} does not fit {shape} {dtype}")
        frame = av.VideoFrame(shape[1], shape[0], encoding.pixel_format)
        frame.color_range = _FULL_RANGE if encoding.full_range else _LIMITED_RANGE
        luma, *chroma = frame.planes
        # Rows of a plane are padded: its line is longer than the picture is wide.
        padded = np.frombuffer(memoryview(luma), dtype).reshape(luma.height, luma.line_size // dtype.itemsize)
        padded[:, : shape[1]] = codes
        for plane in chroma:
            np.frombuffer(memoryview(plane), dtype)[:] = 1 << (bits - 1)
        frame.pts = number
        yield frame
