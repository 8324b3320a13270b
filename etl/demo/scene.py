"""A synthetic land seen by two satellites a day: vegetation with seasons, coasts, drifting clouds."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 4095
"""Highest code of the service's 12-bit video."""

Field = NDArray[np.float32]

_OVERPASSES = {"S3A": 9 * 3600 + 57 * 60, "S3B": 10 * 3600 + 36 * 60}
"""Mean time a satellite passes, in seconds after midnight UTC."""

_BIAS = {"S3A": 0.0, "S3B": 0.008}
"""How much higher a satellite reads NDVI."""

_ORBIT_CYCLE = 27
"""Days after which a satellite's track repeats."""


@dataclass(frozen=True)
class SceneFrame:
    """What one satellite saw in one pass."""

    time: np.datetime64
    """UTC, whole seconds."""
    satellite: str
    minimum: float
    """NDVI of code 0, at most 0; infinite when the frame holds no data."""
    maximum: float
    """NDVI of code 4095; minus infinite when the frame holds no data."""
    codes: NDArray[np.uint16]
    """Rows × columns, row 0 northernmost; 0 where there is no data (sea or cloud)."""


def scene(
    columns: int,
    rows: int,
    bbox: tuple[float, float, float, float],
    first_day: date,
    days: int,
    *,
    seed: int = 0,
) -> Iterator[SceneFrame]:
    """Yield two frames a day, S3A before S3B.

    The land depends on the seed alone and a frame on the seed and its day: a scene that begins
    later, or lasts longer, has the same frames on the days both have.

    Args:
        columns: Columns of a frame.
        rows: Rows of a frame.
        bbox: West, south, east, north in degrees; latitude sets seasons and deserts.
        first_day: Day of the first two frames, UTC.
        days: Number of days.
        seed: Chooses the land and its weather.
    """
    land = _Land.grow(columns, rows, bbox, seed)
    for day in (first_day + timedelta(n) for n in range(days)):
        for satellite, overpass in _OVERPASSES.items():
            wander = 480 * np.sin(2 * np.pi * (day.toordinal() % _ORBIT_CYCLE) / _ORBIT_CYCLE)
            seconds = round(overpass + wander)
            ndvi, seen = land.view(day, seconds / 86400)
            minimum, maximum, codes = _quantise(ndvi + np.float32(_BIAS[satellite]), seen)
            time = np.datetime64(day, "s") + np.timedelta64(seconds, "s")
            yield SceneFrame(time, satellite, minimum, maximum, codes)


@dataclass(frozen=True)
class _Noise:
    """Smooth random field: octaves of B-splines over periodic lattices, deviation about 1."""

    lattices: tuple[Field, ...]

    @classmethod
    def draw(cls, random: np.random.Generator, cells: int, octaves: int) -> "_Noise":
        """Draw a field with `cells` blobs across in its coarsest octave."""
        sizes = [round(cells * 2.03**octave) for octave in range(octaves)]
        scales = [1.9 * 0.55**octave for octave in range(octaves)]
        pairs = zip(sizes, scales, strict=True)
        return cls(tuple((k * random.standard_normal((n, n))).astype(np.float32) for n, k in pairs))

    def sample(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Field:
        """Return y × x values; both axes repeat after 1."""
        total: Field = np.zeros((len(y), len(x)), np.float32)
        for lattice in self.lattices:
            total += _spline(y, len(lattice)) @ lattice @ _spline(x, len(lattice)).T
        return total


def _spline(position: NDArray[np.float64], size: int) -> Field:
    """Return the cubic B-spline weights, positions × size, of points on a periodic line of length 1."""
    cell, t = np.divmod(position * size, 1)
    taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3)
    weights = np.zeros((len(position), size), np.float32)
    for step, tap in enumerate(taps):
        np.add.at(weights, (np.arange(len(position)), (cell.astype(int) + step) % size), tap / 6)
    return weights


@dataclass(frozen=True)
class _Land:
    """What stays the same from frame to frame; arrays are rows × columns, or rows × 1 by latitude."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    dry_land: NDArray[np.bool_]
    summer_ndvi: Field
    seasonality: Field
    hemisphere: Field
    clouds: tuple[_Noise, _Noise]

    @classmethod
    def grow(cls, columns: int, rows: int, bbox: tuple[float, float, float, float], seed: int) -> "_Land":
        west, south, east, north = bbox
        extent = max(east - west, north - south)
        x = (np.arange(columns) + 0.5) / columns * (east - west) / extent
        y = (np.arange(rows) + 0.5) / rows * (north - south) / extent
        latitude = (north - (np.arange(rows) + 0.5) / rows * (north - south)).astype(np.float32)[
            :, np.newaxis
        ]
        distance = np.abs(latitude)

        random = np.random.default_rng(seed)
        height = _Noise.draw(random, 4, 8).sample(x, y)
        patches = _Noise.draw(random, 7, 8).sample(x, y)
        height -= np.quantile(height, 0.42)
        desert = np.exp(-(((distance - 23) / 9) ** 2))
        cold = np.clip((distance - 58) / 20, 0, 1)
        summer = 0.62 + 0.16 * patches - 0.5 * desert - 0.35 * cold - 0.08 * np.maximum(height - 0.8, 0)
        return cls(
            x=x,
            y=y,
            dry_land=height > 0,
            summer_ndvi=np.clip(summer, 0.03, 0.93).astype(np.float32),
            seasonality=(0.1 + 0.55 * np.clip((distance - 8) / 45, 0, 1)).astype(np.float32),
            hemisphere=np.clip(latitude / 10, -1, 1),
            clouds=(_Noise.draw(random, 8, 6), _Noise.draw(random, 11, 6)),
        )

    def view(self, day: date, day_fraction: float) -> tuple[Field, NDArray[np.bool_]]:
        """Return NDVI and where it can be seen, rows × columns."""
        season = np.cos(2 * np.pi * (day.timetuple().tm_yday - 200) / 365.25)
        winter = (1 - self.hemisphere * np.float32(season)) / 2
        clouds = self._clouds(day.toordinal() + day_fraction)
        haze = 0.12 * np.clip(clouds + 0.4, 0, 0.5)
        ndvi = self.summer_ndvi * (1 - self.seasonality * winter) - haze
        return ndvi.astype(np.float32), self.dry_land & (clouds < 0)

    def _clouds(self, days: float) -> Field:
        """Return cloudiness, above 0 where nothing is seen; two layers drift past each other."""
        low, high = self.clouds
        return (
            low.sample(self.x - 0.37 * days, self.y + 0.11 * days)
            + high.sample(self.x - 0.61 * days, self.y - 0.17 * days)
            - np.float32(1.0)
        )


def _quantise(ndvi: Field, seen: NDArray[np.bool_]) -> tuple[float, float, NDArray[np.uint16]]:
    if not seen.any():
        return np.inf, -np.inf, np.zeros(ndvi.shape, np.uint16)
    # The margin keeps code 0 for what is not seen.
    minimum = round(min(float(ndvi.min(initial=0, where=seen)), 0) - 0.02, 4)
    maximum = round(float(ndvi.max(initial=minimum, where=seen)) + 1e-4, 4)
    codes = np.rint((ndvi - minimum) * (FULL_SCALE / (maximum - minimum)))
    return minimum, maximum, np.where(seen, np.clip(codes, 0, FULL_SCALE), 0).astype(np.uint16)
