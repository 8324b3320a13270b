"""A part of the Earth, and the pixels that belong to it."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from etl.analysis.geojson import read_shape
from etl.errors import UsageError

_BLOCK_PIXELS = 1 << 20
"""Pixels that are looked at in one go."""


@dataclass(frozen=True)
class Region:
    """A point, a box or polygons, in degrees of longitude and latitude (WGS 84).

    Attributes:
        shape: the geometry, not empty.
        name: what it is called in messages and titles.
    """

    shape: BaseGeometry
    name: str


def point(longitude: float, latitude: float) -> Region:
    """The place of one pixel.

    Raises:
        UsageError: It is not on the Earth.
    """
    return _checked(shapely.Point(longitude, latitude), f"{_degrees(longitude, latitude)}")


def box(west: float, south: float, east: float, north: float) -> Region:
    """What lies between two meridians and two parallels.

    Raises:
        UsageError: It is not on the Earth, or it is empty.
    """
    if not (west < east and south < north):
        raise UsageError(
            f"the box {west:g},{south:g},{east:g},{north:g} is empty",
            "give west, south, east, north in degrees; cut it in two where it crosses the 180° meridian",
        )
    name = f"{_degrees(west, south)} to {_degrees(east, north)}"
    return _checked(shapely.box(west, south, east, north), name)


def read_geojson(path: str | PathLike[str]) -> Region:
    """The polygons, or the one point, of a GeoJSON file (RFC 7946): a geometry, a feature or a collection.

    Raises:
        UsageError: It cannot be read, or holds something else.
    """
    path = Path(path)
    shape = read_shape(path)
    try:
        return _checked(shape, path.stem)
    except UsageError as error:
        raise UsageError(f"{path} reaches beyond the Earth", error.remedy) from None


def cut(dataset: xr.Dataset, region: Region) -> xr.Dataset:
    """Cut out a region.

    Pixels whose centre lies in it belong to it; if there is none, as it is so small, the pixel around a point
    within it does.

    Args:
        dataset: with `ndvi` of dimensions (time, latitude, longitude) and coordinates of evenly spaced
            pixel centres, as `etl.open_archive` returns.
        region: what to cut out.

    Returns:
        The smallest window around these pixels; `ndvi` of all others in it is NaN.

    Raises:
        UsageError: It lies outside of the dataset.
    """
    lines = {name: np.asarray(dataset[name].values) for name in ("longitude", "latitude")}
    west, south, east, north = region.shape.bounds
    first, last = (west, east), (south, north)
    inside_window = {
        name: np.flatnonzero((line >= low) & (line <= high))
        for (name, line), (low, high) in zip(lines.items(), (first, last), strict=True)
    }
    if all(len(found) for found in inside_window.values()):
        window = dataset.isel({name: slice(found[0], found[-1] + 1) for name, found in inside_window.items()})
        inside = _inside(region.shape, window.longitude.values, window.latitude.values)
        if inside.all():
            return window
        if inside.any():
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            window = window.isel(latitude=part[0], longitude=part[1])
            belongs = xr.DataArray(inside[part], dims=("latitude", "longitude"))
            return window.assign(ndvi=window.ndvi.where(belongs).assign_attrs(window.ndvi.attrs))
    (west, east), (north, south) = (_edges(line) for line in lines.values())
    # A hair more than the grid: its edges lie within, though centres are rounded.
    hair = (east - west) * 1e-9
    within = region.shape.intersection(
        shapely.box(west - hair, south - hair, east + hair, north + hair)
    ).point_on_surface()
    if within.is_empty:
        raise UsageError(
            f"{region.name} lies outside of the archive",
            f"choose a place within {west:g} to {east:g} °E, {south:g} to {north:g} °N",
        )
    at = {
        name: int(np.abs(lines[name] - place).argmin())
        for name, place in (("longitude", within.x), ("latitude", within.y))
    }
    # As slices: dask then reads nothing else of their blocks.
    return dataset.isel({name: slice(place, place + 1) for name, place in at.items()})


def _inside(
    shape: BaseGeometry, longitudes: NDArray[np.float64], latitudes: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which pixel centres a shape covers: bool of shape (latitude, longitude)."""
    inside = np.empty((len(latitudes), len(longitudes)), np.bool_)
    shapely.prepare(shape)
    rows = max(1, _BLOCK_PIXELS // len(longitudes))
    for top in range(0, len(latitudes), rows):
        block = latitudes[top : top + rows]
        inside[top : top + rows] = shapely.intersects_xy(shape, *np.meshgrid(longitudes, block))
    return inside


def _edges(centres: NDArray[np.float64]) -> tuple[float, float]:
    """The outer edges of a line of pixels, in its order."""
    half = (centres[-1] - centres[0]) / max(1, len(centres) - 1) / 2
    return float(centres[0] - half), float(centres[-1] + half)


def _checked(shape: BaseGeometry, name: str) -> Region:
    bounds = np.array(shape.bounds)
    if not (np.abs(bounds) <= (180, 90, 180, 90)).all():
        raise UsageError(f"{name} is not on the Earth", "give degrees of longitude (±180) and latitude (±90)")
    return Region(shape, name)


def _degrees(longitude: float, latitude: float) -> str:
    return (
        f"{abs(latitude):g}°{'S' if latitude < 0 else 'N'} {abs(longitude):g}°{'W' if longitude < 0 else 'E'}"
    )
