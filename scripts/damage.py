"""Bytes changed in place inside frames: how many the decoder notices, with and without picture hashes.

Each of the changes gives one byte of an undamaged stream another value; all frames are then decoded, and
compared with those of the undamaged stream. It ends with 1 where a stream with hashes gave a wrong picture.

Run it with the project's environment: .venv/bin/python scripts/damage.py [CHANGES]
"""

import sys
import tempfile
from collections import Counter
from datetime import date
from pathlib import Path

import av
import numpy as np

from etl.demo.encoder import Codes, Encoding, encode
from etl.demo.scene import scene
from etl.errors import StreamError
from etl.extract.http import HttpClient
from etl.extract.video import Video

BBOX = (-11.0, 35.0, 31.0, 60.0)
COLUMNS, ROWS = 336, 208
CHANGES = 400

STREAMS = {
    "MP4": Encoding(),
    "MP4, no B-frames": Encoding(b_frames=0),
    "MP4, lossless": Encoding(lossless=True),
    "TS": Encoding("ts"),
    "MP4, MD5": Encoding(picture_hash="md5"),
    "MP4, CRC": Encoding(picture_hash="crc"),
    "MP4, checksum": Encoding(picture_hash="checksum"),
    "TS, MD5": Encoding("ts", picture_hash="md5"),
}


def decoded(file: Path, count: int) -> tuple[list[Codes], bool]:
    """The frames that can be read, and whether an error ended the reading."""
    frames: list[Codes] = []
    try:
        video = Video(HttpClient(pause=0.0), file, (COLUMNS, ROWS))
        frames += (picture.codes.copy() for picture in video.pictures(range(1, count + 1)))
    except StreamError:
        return frames, True
    return frames, False


def measured(frames: list[Codes], encoding: Encoding, changes: int, folder: Path) -> Counter[str]:
    """How many changes were noticed, had no effect or gave wrong pictures."""
    file = encode(frames, folder, encoding)
    expected, _ = decoded(file, len(frames))
    content = file.read_bytes()
    with av.open(str(file)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size and packet.pos is not None]
    # The packets of a transport stream lie in pieces: all behind the start of the first frame is taken.
    spans = [(packet.pos or 0, packet.size) for packet in packets]
    if encoding.container == "ts":
        spans = [(spans[0][0], len(content) - spans[0][0])]
    positions = np.concatenate([np.arange(begin, begin + size) for begin, size in spans])
    random = np.random.default_rng(0)
    found: Counter[str] = Counter()
    for position in random.choice(positions, changes, replace=False):
        changed = bytearray(content)
        changed[position] ^= int(random.integers(1, 256))
        copy = folder / f"changed{file.suffix}"
        copy.write_bytes(changed)
        came, failed = decoded(copy, len(frames))
        if not all(map(np.array_equal, came, expected)):
            found["wrong"] += 1
        else:
            found["noticed" if failed else "without effect"] += 1
    return found


def main() -> None:
    """Print a line a stream."""
    changes = int(sys.argv[1]) if len(sys.argv) > 1 else CHANGES
    frames: list[Codes] = [frame.codes for frame in scene(COLUMNS, ROWS, BBOX, date(2021, 3, 1), 6)]
    lost = 0
    for name, encoding in STREAMS.items():
        with tempfile.TemporaryDirectory() as folder:
            found = measured(frames, encoding, changes, Path(folder))
        figures = ", ".join(f"{found[kind]} {kind}" for kind in ("noticed", "without effect", "wrong"))
        print(f"{name}: {figures}", flush=True)
        lost += found["wrong"] if encoding.picture_hash else 0
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
