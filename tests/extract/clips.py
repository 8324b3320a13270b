"""Clips of which every pixel is known, and what a reader of them must give."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etl.demo.encoder import Codes, Encoding, encode
from etl.demo.service import StandIn, Stream
from etl.errors import StreamError
from etl.extract.http import HttpClient
from etl.extract.video import Video

COLUMNS, ROWS = 67, 43
"""Odd, so that the rows of a decoded plane are padded."""


@dataclass(frozen=True)
class Clip:
    """A stream and the frames that were put into it.

    Attributes:
        file: the file to open; its folder holds nothing else.
        frames: [row, column] codes of frame 1, 2, ….
    """

    file: Path
    frames: Sequence[Codes]

    @property
    def numbers(self) -> list[int]:
        """The numbers of all frames."""
        return list(range(1, len(self.frames) + 1))

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        rows, columns = self.frames[0].shape
        return columns, rows

    def with_file(self, file: Path, content: bytes | None = None) -> "Clip":
        """The same frames in another file, which is written when its content is given."""
        if content is not None:
            file.write_bytes(content)
        return Clip(file, self.frames)


@dataclass(frozen=True)
class Outcome:
    """How far a stream could be read.

    Attributes:
        numbers: the frames that came, each with the right picture.
        error: what ended the reading early, or None.
    """

    numbers: list[int]
    error: StreamError | None

    @property
    def why(self) -> str:
        """What the error says."""
        assert self.error is not None
        return self.error.what


def drawn(count: int, bits: int = 12, columns: int = COLUMNS, rows: int = ROWS) -> list[Codes]:
    """Frames of which no two are alike, in waves and noise over the whole range of the codes."""
    y, x = np.mgrid[:rows, :columns]
    noise = np.random.default_rng(0).random((rows, columns)) / 200
    dtype = np.uint8 if bits == 8 else np.uint16
    frames = []
    for n in range(count):
        waves = (np.sin(x / 9 + n / 4) + np.cos(y / 7 - n / 5) + 2) / 4
        field = 0.995 * waves + np.roll(noise, n, axis=1)
        frames.append(np.rint(field * (2**bits - 1)).astype(dtype))
    frames[0][0, :2] = 0, 2**bits - 1
    return frames


def made(frames: Sequence[Codes], folder: Path, encoding: Encoding) -> Clip:
    """Encode frames into a new folder."""
    folder.mkdir()
    return Clip(encode(frames, folder, encoding), frames)


def served(service: StandIn, clip: Clip) -> str:
    """Offer a clip; return its address."""
    name = clip.file.parent.name
    service.streams[name] = Stream(clip.file, *clip.size, (0.0, 0.0, 1.0, 1.0), ())
    return f"{service.url}/streams/{name}/{clip.file.name}"


def opened(source: str | Path, clip: Clip, threads: int = 0) -> Video:
    """A reader of a clip; where it has to try again it does so at once."""
    return Video(HttpClient(pause=0.0), source, clip.size, threads)


def read(video: Video, clip: Clip, numbers: Iterable[int] | None = None) -> Outcome:
    """Read frames; all that come must be the wanted ones, in order, with every pixel right.

    Where the reading ends early, the error must name the first frame that did not come.
    """
    wanted = clip.numbers if numbers is None else list(numbers)
    came: list[int] = []
    try:
        for picture in video.pictures(wanted):
            assert picture.number == wanted[len(came)]
            if picture.number > len(clip.frames):
                raise AssertionError(f"there is no frame {picture.number}")
            source = clip.frames[picture.number - 1]
            assert picture.codes.dtype == source.dtype
            np.testing.assert_array_equal(picture.codes, source, f"frame {picture.number}")
            came.append(picture.number)
    except StreamError as error:
        ended: StreamError | None = error
    else:
        ended = None
    assert (None if ended is None else ended.number) == next(iter(wanted[len(came) :]), None)
    return Outcome(came, ended)
