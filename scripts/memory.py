"""Peak memory of `ndvi-archive convert` on a short and on a long stream: it must not grow with the length.

Run it with the project's environment: .venv/bin/python scripts/memory.py
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame, scene
from etl.demo.service import StandIn, Stream, publish

BBOX = (-11.0, 35.0, 31.0, 60.0)
FRAMES = (50, 2000)
RUNS = 3
TOLERANCE = 0.15

PROGRAM = """
import atexit, pathlib
from etl.cli import main
atexit.register(lambda: print(pathlib.Path("/proc/self/status").read_text()))
main()
"""


def stream(frames: int, folder: Path) -> Stream:
    """A stream of small frames; a few pictures come again and again, at later and later times."""
    pictures = list(scene(336, 200, BBOX, date(2021, 3, 1), 5))

    def again() -> Iterator[SceneFrame]:
        for number in range(frames):
            days = np.timedelta64(number // len(pictures) * 5, "D")
            picture = pictures[number % len(pictures)]
            yield replace(picture, time=picture.time + days)

    return publish(again(), folder, BBOX, Encoding(crf=20))


def peak(service: StandIn, continent: str, archive: Path) -> float:
    """Peak resident memory, in megabytes, of one conversion in a process of its own.

    The process reads it itself, at its end: what its parent could ask for counts the parent's memory too.
    """
    arguments = ["-q", "convert", continent, "--archive", str(archive), "--api-url", service.api_url]
    environment = {**os.environ, "NDVI_ARCHIVE_TOKEN": service.issue_token()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    (kilobytes,) = re.findall(r"^VmHWM:\s*(\d+) kB$", done.stdout, re.MULTILINE)
    return int(kilobytes) * 1024 / 1e6


def main() -> None:
    """Measure, print, and end with 1 where the long stream needs more than the tolerance allows."""
    with tempfile.TemporaryDirectory() as folder:
        names = dict(zip(FRAMES, ("Short", "Long"), strict=True))
        streams = {name: stream(frames, Path(folder, name)) for frames, name in names.items()}
        with StandIn(streams, token_seconds=3600) as service:
            peaks = {
                frames: [peak(service, name, Path(folder, f"archive-{name}-{run}")) for run in range(RUNS)]
                for frames, name in names.items()
            }
    short, long = (median(peaks[frames]) for frames in FRAMES)
    for frames in FRAMES:
        each = ", ".join(f"{megabytes:.1f}" for megabytes in peaks[frames])
        print(f"{frames:5d} frames: {median(peaks[frames]):6.1f} MB  (runs: {each})")
    print(f"ratio {long / short:.3f}, allowed {1 - TOLERANCE:.2f} to {1 + TOLERANCE:.2f}")
    sys.exit(abs(long / short - 1) > TOLERANCE)


if __name__ == "__main__":
    main()
