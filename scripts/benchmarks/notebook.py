"""The notebook's way: every frame a GeoTIFF, written by as many processes as there are cores.

python -m benchmarks.notebook CLIP-FOLDER OUTPUT-FOLDER
"""

import multiprocessing
import os
import sys
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore

import rioxarray  # noqa: F401 - adds .rio
import xarray as xr

from .clips import load
from .pipe import ndvi_frames, to_ndvi


def save(frame: xr.DataArray, path: Path) -> None:
    """One frame as float32 GeoTIFF."""
    to_ndvi(frame).rio.write_crs("EPSG:4326").rio.to_raster(path)


def _release(free: BoundedSemaphore, _: object) -> None:
    free.release()


def main() -> None:
    """Convert all frames; no more than two a core are held at a time."""
    clip, output = load(Path(sys.argv[1])), Path(sys.argv[2])
    cores = len(os.sched_getaffinity(0))
    free = BoundedSemaphore(2 * cores)
    with multiprocessing.Pool(cores) as pool:
        results = []
        for frame in ndvi_frames(clip):
            free.acquire()
            path = output / f"{frame.attrs['satellite']}_{frame.attrs['time'].replace(':', '')}.tif"
            done = partial(_release, free)
            results.append(pool.apply_async(save, (frame, path), callback=done, error_callback=done))
        for result in results:
            result.get()
        pool.close()
        pool.join()


if __name__ == "__main__":
    main()
