"""Some frames of an archive, and the part of them that is of interest."""

from dataclasses import dataclass
from datetime import date, datetime
from os import PathLike
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from etl.analysis.region import Region, cut
from etl.dates import moment
from etl.errors import UsageError
from etl.reading import open_archive


@dataclass(frozen=True)
class Selection:
    """What to take from an archive.

    Attributes:
        archive: its address, as of `etl.open_archive`.
        continent: name of the continent.
        start: earliest sensing time, such as `2021-03`, a date or a datetime; None is the first frame.
        end: latest sensing time, the same; None is the newest frame.
        satellite: `S3A` or `S3B`; None is both.
        region: made by `etl.read_geojson`, `etl.box` or `etl.point`; None is the whole grid.
        mask: as of `etl.open_archive`.
    """

    archive: str | PathLike[str]
    continent: str
    start: str | date | None = None
    end: str | date | None = None
    satellite: str | None = None
    region: Region | None = None
    mask: bool | float = True

    def open(self, layout: Literal["frames", "series"] = "frames", level: int = 1) -> xr.Dataset:
        """Open it, lazily.

        Args:
            layout: as of `etl.open_archive`.
            level: as of `etl.open_archive`.

        Returns:
            As `etl.open_archive`; at least one frame, and at least one pixel. Pixels outside of the region
            are NaN.

        Raises:
            UsageError: There is no such frame, or the region lies outside; or as `etl.open_archive`.
            IncompatibleError: As `etl.open_archive`.
            StorageError: As `etl.open_archive`.
        """
        dataset = open_archive(self.archive, self.continent, mask=self.mask, layout=layout, level=level)
        positions = self.positions(dataset.time.values, dataset.satellite.values)
        # The region first: dask then plans the reading of few chunks, not of thousands of whole frames.
        part = cut(dataset, self.region) if self.region else dataset
        return part if len(positions) == dataset.sizes["time"] else part.isel(time=positions)

    def positions(self, times: NDArray[np.datetime64], satellites: NDArray[np.str_]) -> NDArray[np.intp]:
        """Which frames are wanted.

        Args:
            times: sensing start of every frame of the continent, UTC.
            satellites: satellite of every frame.

        Returns:
            Their positions, ascending, at least one.

        Raises:
            UsageError: There is no such frame.
        """
        start = None if self.start is None else moment(self.start)
        end = None if self.end is None else moment(self.end, end=True)
        if start and end and start > end:
            raise UsageError(
                f"the start {start:%Y-%m-%d %H:%M} is after the end {end:%Y-%m-%d %H:%M} UTC", "exchange them"
            )
        wanted = np.ones(len(times), np.bool_)
        # Of whole seconds, as archived: the unit of nanoseconds ends in 2262, silently.
        seconds = times.astype("datetime64[s]")
        if start:
            wanted &= seconds >= _utc(start)
        if end:
            wanted &= seconds <= _utc(end)
        if self.satellite is not None:
            wanted &= satellites == self.satellite
        if not wanted.any():
            held = _held(times, satellites)
            raise UsageError(f"{self.continent} has no such frames: it has {held}", "choose others")
        return np.flatnonzero(wanted)


def _utc(time: datetime) -> np.datetime64:
    return np.datetime64(time.replace(tzinfo=None))


def _held(times: NDArray[np.datetime64], satellites: NDArray[np.str_]) -> str:
    if not len(times):
        return "none yet"
    first, last = (np.datetime_as_string(times[at], "D") for at in (0, -1))
    names = " and ".join(sorted(set(satellites.tolist())))
    return f"{len(times)} of {names}, {first} to {last}"
