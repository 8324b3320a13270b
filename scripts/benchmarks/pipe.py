"""Frames as the service's public notebook gets them: raw video out of a pipe from `ffmpeg`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from .clips import BBOX, Stored


def ndvi_frames(clip: Stored) -> Iterator[xr.DataArray]:
    """The codes of each frame, with coordinates; its scale, time and satellite are attributes."""
    columns, rows = clip.clip.columns, clip.clip.rows
    west, south, east, north = BBOX
    x = west + (np.arange(columns) + 0.5) * (east - west) / columns
    y = north - (np.arange(rows) + 0.5) * (north - south) / rows
    command: list[str | Path] = ["ffmpeg", "-v", "error", "-i", clip.file]
    command += ["-f", "rawvideo", "-pix_fmt", "gray12le", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as ffmpeg:
        assert ffmpeg.stdout  # noqa: S101 - for the type checker
        for image in clip.stream.images:
            codes = np.frombuffer(ffmpeg.stdout.read(columns * rows * 2), "<u2").reshape(rows, columns)
            about = {
                "time": str(image.time.astype("datetime64[s]")),
                "satellite": image.satellite,
                "minimum": image.minimum,
                "maximum": image.maximum,
            }
            yield xr.DataArray(codes, coords={"y": y, "x": x}, dims=("y", "x"), attrs=about)


def to_ndvi(frame: xr.DataArray) -> xr.DataArray:
    """NDVI as float32, by the service's formula."""
    low, high = frame.attrs["minimum"], frame.attrs["maximum"]
    values = frame.values.astype(np.float32) * np.float32((high - low) / 4095) + np.float32(low)
    return frame.copy(data=values)
