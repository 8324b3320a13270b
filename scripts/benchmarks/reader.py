"""One look into an archive, as an analyst takes it; prints its figures as JSON.

python -m benchmarks.reader map|pixel|region frames|series ARCHIVE CONTINENT

ARCHIVE is a folder or the URL of `serve`. Bytes are those of the answers' bodies, or what the process read
from files; opening, which includes one pixel, is told apart from reading, and both from the start of Python.
"""

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import xarray as xr

import etl
from etl.load.inventory import folder_of

from .serving import counts

_SIDE = 100
"""Pixels of a region's side."""


def opened(layout: str, archive: str, continent: str) -> xr.DataArray:
    """The NDVI of a continent, unmasked, by one of the archive's layouts."""
    if layout == "frames":
        dataset = xr.open_zarr(f"{archive}/{folder_of(continent)}/ndvi.zarr")
    else:
        options: dict[str, Any] = {"layout": layout}
        dataset = etl.open_archive(archive, continent, mask=False, **options)
    ndvi: xr.DataArray = dataset["ndvi"]
    return ndvi


def look(what: str, ndvi: xr.DataArray) -> xr.DataArray:
    """Read a map, the series of a pixel, or the series of a region's mean."""
    _, rows, columns = ndvi.shape
    south, east = rows // 3, columns // 3
    if what == "map":
        return ndvi.isel(time=len(ndvi.time) // 2).load()
    if what == "pixel":
        return ndvi[:, south, east].load()
    return ndvi[:, south : south + _SIDE, east : east + _SIDE].load().mean(("latitude", "longitude"))


def _taken(archive: str) -> dict[str, int]:
    if archive.startswith("http"):
        return counts(archive)
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {"bytes": int(lines["rchar"])}


def main() -> None:
    """Look, and tell how it went."""
    what, layout, archive, continent = sys.argv[1:]
    begun = perf_counter()
    ndvi = opened(layout, archive, continent)
    # What Python imports with the first chunk is not to be counted as data.
    ndvi[0, 0, 0].load()
    opening = perf_counter() - begun
    before = _taken(archive)
    begun = perf_counter()
    found = look(what, ndvi)
    reading = perf_counter() - begun
    after = _taken(archive)
    figures = {
        "opening": opening,
        "reading": reading,
        "values": float(found.size),
        "total": float(np.round(found.astype(np.float64).sum(), 2)),
        **{name: float(after[name] - before[name]) for name in after},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
