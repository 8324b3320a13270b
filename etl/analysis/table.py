"""A time series as a table: for spreadsheets, for programs and for people."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite

import numpy as np
import xarray as xr

_DECIMALS = 6
"""Of a number in a table: two more than the archive's steps of 0.0001 have."""


@dataclass(frozen=True)
class Row:
    """One number of a time series.

    Attributes:
        time: sensing start, or the day, UTC.
        satellite: `S3A`, `S3B` or `S3A+S3B`.
        value: NDVI, or a number of pixels; None where there is no data.
        pixels: how many pixels it was made from.
    """

    time: datetime
    satellite: str
    value: float | int | None
    pixels: int

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """The cells of the table: time in ISO 8601; an empty one where there is no data."""
        value = "" if self.value is None else str(self.value)
        return f"{self.time:%Y-%m-%dT%H:%M:%SZ}", self.satellite, value, str(self.pixels)


COLUMNS = ("time", "satellite", "value", "pixels")


def rows_of(series: xr.Dataset) -> Iterator[Row]:
    """The rows of what `etl.timeseries` returns, in its order."""
    seconds = series.time.values.astype("datetime64[s]").astype(np.int64).tolist()
    counted = series.attrs["statistic"] == "count"
    for second, satellite, value, pixels in zip(
        seconds,
        series.satellite.values.tolist(),
        series.value.values.tolist(),
        series.pixels.values.tolist(),
        strict=True,
    ):
        number = int(value) if counted else round(value, _DECIMALS) if isfinite(value) else None
        yield Row(datetime.fromtimestamp(second, UTC), satellite, number, pixels)


def as_csv(series: xr.Dataset) -> str:
    """Comma-separated values with a header (RFC 4180): time, satellite, value, pixels."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(row.texts for row in rows_of(series))
    return text.getvalue()


def as_text(series: xr.Dataset) -> str:
    """The same as lines with aligned columns."""
    lines = [COLUMNS, *((*row.texts[:2], row.texts[2] or "-", row.texts[3]) for row in rows_of(series))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        f"{time:{widths[0]}}  {satellite:{widths[1]}}  {value:>{widths[2]}}  {pixels:>{widths[3]}}"
        for time, satellite, value, pixels in lines
    )
