"""Windows around the parts of a region: what lies between them need not be read."""

import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray

from etl.analysis.region import Region

Window = tuple[slice, slice]
"""Rows and columns."""

WHOLE: Window = (slice(None), slice(None))

_MOST = 16
"""Each window costs time of its own to plan."""

_NEAR = 32
"""Pixels between parts that are read as one: chunks are not smaller."""


def windows(part: xr.Dataset, region: Region | None) -> list[Window]:
    """Disjoint windows that hold all pixels of a region.

    Args:
        part: the region as `cut` returns it.
        region: None is the whole grid.
    """
    bounds = shapely.bounds(shapely.get_parts(region.shape)) if region else np.empty((0, 4))
    if len(bounds) < 2 or min(part.sizes["latitude"], part.sizes["longitude"]) < 2:
        return [WHOLE]
    latitude, longitude = part.latitude.values, part.longitude.values
    step_x, step_y = longitude[1] - longitude[0], latitude[0] - latitude[1]
    margin = _NEAR / 2 * np.array([-step_x, -step_y, step_x, step_y])
    while len(apart := _merged(bounds + margin)) > _MOST:
        margin *= 2
    spans = [
        (_span(latitude, south, north), _span(longitude, west, east)) for west, south, east, north in apart
    ]
    return [(rows, columns) for rows, columns in spans if rows and columns] or [WHOLE]


def _merged(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes around those that overlap, until none do: (west, south, east, north) each."""
    while True:
        joined = shapely.bounds(shapely.get_parts(shapely.union_all(shapely.box(*bounds.T))))
        if len(joined) == len(bounds):
            return np.asarray(joined)
        bounds = joined


def _span(centres: NDArray[np.float64], low: float, high: float) -> slice | None:
    """The pixels from one place to before the other: boxes that touch do not share any."""
    found = np.flatnonzero((centres >= low) & (centres < high))
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else None
