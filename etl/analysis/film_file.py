"""A film as a file that browsers play: H.264 in MP4, or an animated GIF that plays endlessly."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from etl.analysis.picture import INK, NO_DATA, PAPER, Rgb
from etl.analysis.whole_files import whole_file
from etl.catalog.colormap import TABLE
from etl.errors import StorageError, UsageError

_FASTSTART = {"movflags": "+faststart"}
"""The index comes first, so that a browser need not load the whole film to begin."""

_QUALITY = {"crf": "18", "preset": "fast", "rc-lookahead": "10"}
"""Hardly any loss; few pictures wait in the encoder."""

_BT709, _LIMITED_RANGE = 1, 1
"""FFmpeg's numbers of the colours that players expect, and of samples from 16 to 235."""

_GREYS = 31
"""Colours of a GIF that are for text; one is for no data, and NDVI has the others of 256."""


@contextmanager
def film_file(path: Path, fps: float, columns: int, rows: int) -> Iterator[Callable[[Rgb], None]]:
    """Write a film, one picture at a time; it is under its name only once it is whole.

    Args:
        path: the file, which is replaced where there is one; its suffix, `.mp4` or `.gif`, tells the format.
        fps: pictures a second.
        columns: width of the pictures in pixels, even.
        rows: height of the pictures in pixels, even.

    Yields:
        What adds a picture, sRGB, uint8 of shape (rows, columns, 3).

    Raises:
        StorageError: It cannot be written.
        UsageError: There is no encoder for it.
    """
    is_gif = path.suffix.lower() == ".gif"
    encoder = "gif" if is_gif else "libx264"
    if encoder not in av.codecs_available:
        raise UsageError(
            f"this installation of PyAV has no encoder {encoder}", "run pip install av, or name a .gif"
        )
    container: OutputContainer | None = None
    with whole_file(path) as partial:
        try:
            with _refusals_told(path):
                # Python's reasons are clearer than FFmpeg's, to which a relative path with a colon were a
                # protocol.
                partial.touch()
                container = av.open(
                    str(partial), "w", format="gif" if is_gif else "mp4", options={} if is_gif else _FASTSTART
                )
                rate = Fraction(fps).limit_denominator(1000)
                stream = container.add_stream(encoder, rate=rate, options={} if is_gif else _QUALITY)
            assert isinstance(stream, VideoStream)  # noqa: S101 - for the type checker
            stream.width, stream.height = columns, rows
            frame_of = _in_palette(stream) if is_gif else _in_yuv(stream)
            count = 0

            def add(picture: Rgb) -> None:
                nonlocal count
                with _refusals_told(path):
                    frame = frame_of(picture)
                    frame.pts = count
                    container.mux(stream.encode(frame))
                count += 1

            yield add
            with _refusals_told(path):
                container.mux(stream.encode(None))
                container.close()
        finally:
            with suppress(av.FFmpegError, OSError):
                if container is not None:
                    container.close()


def _in_yuv(stream: VideoStream) -> Callable[[Rgb], av.VideoFrame]:
    """What makes frames of pictures, of the pixel format that every player knows."""
    stream.pix_fmt = "yuv420p"
    codec = stream.codec_context
    codec.color_range, codec.colorspace = _LIMITED_RANGE, _BT709
    codec.color_primaries = codec.color_trc = _BT709

    def frame_of(picture: Rgb) -> av.VideoFrame:
        return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )

    return frame_of


def _in_palette(stream: VideoStream) -> Callable[[Rgb], av.VideoFrame]:
    """What makes frames of pictures, of 256 colours that are the same in all of them.

    FFmpeg's own choice of a palette would hold all pictures in memory first.
    """
    stream.pix_fmt = "pal8"
    colours = _palette()
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.tobytes())
    opaque = np.insert(colours, 0, 255, axis=1)

    def frame_of(picture: Rgb) -> av.VideoFrame:
        indices = Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        paletted: Any = np.asarray(indices), opaque
        return av.VideoFrame.from_ndarray(paletted, format="pal8")

    return frame_of


def _palette() -> NDArray[np.uint8]:
    """256 sRGB colours, shape (256, 3)."""
    greys = np.linspace(PAPER, INK, _GREYS)
    of_ndvi = TABLE[np.linspace(0, len(TABLE) - 1, 256 - 1 - _GREYS).round().astype(np.intp)]
    return np.concatenate([of_ndvi, [NO_DATA], greys]).round().astype(np.uint8)


@contextmanager
def _refusals_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}",
            "check --out, its permissions and the free space",
        ) from error
