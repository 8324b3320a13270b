"""The streams that are measured with: made once, then kept."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from etl.demo.encoder import Container, Encoding
from etl.demo.scene import FULL_SCALE, SceneFrame, scene
from etl.demo.streams import Image, Stream, publish

BBOX = (-11.0, 35.0, 62.0, 85.0)
"""At 8176 × 5600 pixels these are the 1/112° of the service's grid."""

_VERSION = 1
"""Part of a clip's name; raised when it is made otherwise."""

_FIRST_DAY = date(2021, 6, 1)
_FIELDS, _PIXELS, _NOISE = 0.04, 0.02, 0.01


@dataclass(frozen=True)
class Clip:
    """How a stream is made.

    Attributes:
        name: its name, and that of its continent.
        columns: pixels of a row.
        rows: rows of a frame.
        frames: even, as there are two satellites.
        gop: frames between key frames.
        textured: whether neighbouring pixels differ as in real NDVI; the stand-in's own scene is smooth.
        preset: how hard the encoder tries.
        crf: quality of HEVC.
        pictures: how many pictures there are before they come again, at later times; 0 is never.
        container: `mp4`, `ts`, `hls-ts` or `hls-fmp4`.
    """

    name: str
    columns: int
    rows: int
    frames: int
    gop: int = 250
    textured: bool = True
    preset: str = "veryfast"
    crf: int = 14
    pictures: int = 0
    container: Container = "mp4"

    @property
    def pixels(self) -> int:
        """Pixels of a frame."""
        return self.columns * self.rows


@dataclass(frozen=True)
class Stored:
    """A clip on the disk.

    Attributes:
        clip: how it was made.
        folder: where it is.
        stream: the video, and what is known of its frames.
    """

    clip: Clip
    folder: Path
    stream: Stream

    @property
    def file(self) -> Path:
        """The file to open."""
        return self.stream.file

    @property
    def size(self) -> int:
        """Bytes of the video, its segments included."""
        return sum(path.stat().st_size for path in self.stream.file.parent.iterdir())

    def last_day(self, frames: int) -> str:
        """The day of the last of the first `frames` frames, for `--end`."""
        return str(self.stream.images[frames - 1].time.astype("datetime64[D]"))


def store(clip: Clip, cache: Path) -> Stored:
    """Make a clip, unless it is there already.

    Args:
        clip: how to make it.
        cache: folder for all clips.
    """
    described = json.dumps([_VERSION, _FIELDS, _PIXELS, _NOISE, BBOX, asdict(clip)])
    folder = cache / f"{clip.name}-{hashlib.sha256(described.encode()).hexdigest()[:10]}"
    if not (folder / "stream.json").exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        # In a process of its own, as it takes much memory; threads of BLAS would mostly wait for each other.
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "benchmarks.clips",
            json.dumps(asdict(clip)),
            partial,
        ]
        subprocess.run(command, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, check=True)
        partial.rename(folder)
    return load(folder)


def load(folder: Path) -> Stored:
    """A clip that was made before."""
    found = json.loads((folder / "stream.json").read_text())
    clip = Clip(**found["clip"])
    images = tuple(Image(**{**image, "time": np.datetime64(image["time"])}) for image in found["images"])
    return Stored(
        clip, folder, Stream(folder / "video" / found["file"], clip.columns, clip.rows, BBOX, images)
    )


def main() -> None:
    """Make the clip that the first argument describes, in the folder that the second one names."""
    clip, folder = Clip(**json.loads(sys.argv[1])), Path(sys.argv[2])
    encoding = Encoding(clip.container, gop=clip.gop, preset=clip.preset, crf=clip.crf)
    stream = publish(_frames(clip), folder / "video", BBOX, encoding)
    images = [{**asdict(image), "time": str(image.time)} for image in stream.images]
    (folder / "stream.json").write_text(
        json.dumps({"file": stream.file.name, "clip": asdict(clip), "images": images})
    )


def _frames(clip: Clip) -> Iterator[SceneFrame]:
    different = min(clip.frames, clip.pictures or clip.frames)
    seen = scene(clip.columns, clip.rows, BBOX, _FIRST_DAY, -(-different // 2))
    if clip.textured:
        seen = _textured(seen, clip)
    if different == clip.frames:
        return islice(seen, clip.frames)
    return _again(list(seen), clip.frames)


def _again(pictures: list[SceneFrame], frames: int) -> Iterator[SceneFrame]:
    for number, picture in enumerate(islice(cycle(pictures), frames)):
        later = np.timedelta64(number // len(pictures) * (len(pictures) // 2), "D")
        yield replace(picture, time=picture.time + later)


def _textured(frames: Iterator[SceneFrame], clip: Clip) -> Iterator[SceneFrame]:
    """Add what differs from pixel to pixel: fields that stay, and noise that does not.

    Neighbouring pixels of MODIS NDVI differ by 0.06 to 0.15 (root mean square), those of the smooth scene by
    0.0024; here it is about 0.04, which is cautious.
    """
    random = np.random.default_rng(1)
    shape = (clip.rows, clip.columns)
    fields = _normal(random, shape)
    for axis in (0, 1):
        fields = fields + np.roll(fields, 1, axis) + np.roll(fields, -1, axis)
    fields *= np.float32(_FIELDS / 3)
    fields += np.float32(_PIXELS) * _normal(random, shape)
    noise = np.float32(_NOISE) * _normal(random, shape)
    for number, frame in enumerate(frames):
        steps = np.float32(FULL_SCALE / (frame.maximum - frame.minimum))
        moved = np.roll(noise, (37 * number, 91 * number), (0, 1))
        codes = np.rint(np.clip(frame.codes + (fields + moved) * steps, 1, FULL_SCALE))
        yield replace(frame, codes=np.where(frame.codes > 0, codes, 0).astype(np.uint16))


def _normal(random: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    return random.standard_normal(shape, np.float32)


if __name__ == "__main__":
    main()
