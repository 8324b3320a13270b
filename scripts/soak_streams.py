"""What the stand-in offers in scripts/soak.py: one stream in every container, young and grown."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from etl.demo.encoder import Container, Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import Stream, publish

FRAMES = 160
COLUMNS, ROWS = 64, 48
BBOX = (-11.0, 35.0, 31.0, 60.0)
CONTAINERS: tuple[Container, ...] = ("mp4", "hls-ts", "hls-fmp4", "ts")


def pictures() -> Iterator[SceneFrame]:
    """Frames of which no two are alike, one in eleven without data."""
    noise = np.random.default_rng(0)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    for n in range(FRAMES):
        waves = (np.sin(x / 9 + n / 4) + np.cos(y / 7 - n / 5) + 2) / 4.1
        codes = np.rint((waves + noise.random((ROWS, COLUMNS)) / 50) * 4000).astype(np.uint16)
        low, high = (np.inf, -np.inf) if n % 11 == 7 else (-0.1 - n / 1000, 0.8 + n / 2000)
        time = np.datetime64("2021-03-01T09:57:00") + np.timedelta64(n // 2 * 86400 + n % 2 * 1800, "s")
        yield SceneFrame(time, "S3B" if n % 2 else "S3A", low, high, codes)


def streams(folder: Path) -> dict[Container, tuple[Stream, Stream]]:
    """The pictures as lossless streams below a folder: three fifths of them, and all."""
    frames = list(pictures())
    found: dict[Container, tuple[Stream, Stream]] = {}
    for container in CONTAINERS:
        encoding = Encoding(container, lossless=True, gop=10, segment_seconds=0.8)
        young, grown = (
            publish(frames[:count], folder / f"{container}-{count}", BBOX, encoding)
            for count in (FRAMES * 3 // 5, FRAMES)
        )
        found[container] = young, grown
    return found


def check_reference(archived: xr.Dataset) -> None:
    """Compare what was archived in peace with the pictures themselves."""
    for found, frame in zip(archived.ndvi.values, pictures(), strict=True):
        if np.isfinite(frame.minimum):
            ndvi = frame.codes / 4095 * (frame.maximum - frame.minimum) + frame.minimum
            np.testing.assert_array_equal(found, np.rint(ndvi / 0.0001).astype(np.int16))
        else:
            assert np.all(found == np.iinfo(np.int16).min)  # noqa: S101 - this is a test
