"""Some frames of an archive, and the part of them that is of interest."""

from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from typing import Literal

import numpy as np
import xarray as xr

from etl.analysis.region import Region, cut
from etl.errors import UsageError
from etl.reading import open_archive


@dataclass(frozen=True)
class Selection:
    """What to take from an archive.

    Attributes:
        archive: its address, as of `etl.open_archive`.
        continent: name of the continent.
        start: earliest sensing time, with its time zone; None is the first frame.
        end: latest sensing time, with its time zone; None is the newest frame.
        satellite: `S3A` or `S3B`; None is both.
        region: None is the whole grid.
        mask: as of `etl.open_archive`.
    """

    archive: str | PathLike[str]
    continent: str
    start: datetime | None = None
    end: datetime | None = None
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
        wanted = np.ones(dataset.sizes["time"], np.bool_)
        if self.start is not None:
            wanted &= dataset.time.values >= _utc(self.start)
        if self.end is not None:
            wanted &= dataset.time.values <= _utc(self.end)
        if self.satellite is not None:
            wanted &= dataset.satellite.values == self.satellite
        if not wanted.any():
            raise UsageError(f"{self.continent} has no such frames: it has {_held(dataset)}", "choose others")
        # The region first: dask then plans the reading of few chunks, not of thousands of whole frames.
        part = cut(dataset, self.region) if self.region else dataset
        return part if wanted.all() else part.isel(time=np.flatnonzero(wanted))


def _utc(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None))


def _held(dataset: xr.Dataset) -> str:
    if not dataset.sizes["time"]:
        return "none yet"
    first, last = (np.datetime_as_string(dataset.time.values[at], "D") for at in (0, -1))
    satellites = " and ".join(sorted(set(dataset.satellite.values.tolist())))
    return f"{dataset.sizes['time']} of {satellites}, {first} to {last}"
