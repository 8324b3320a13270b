"""A time series as a line of text."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.-~=+*#"
"""For terminals that show ASCII only."""

_LEAST_WIDTH = 10


def sparklines(series: xr.Dataset, width: int, bars: str = BARS) -> str:
    """One line a satellite of what `etl.timeseries` returns, with its range, and the dates below.

    A bar is the mean of the values in its share of the time, or a blank where there is none. The lines have
    one scale.

    Args:
        series: at least one value.
        width: columns of the terminal.
        bars: the letters for values from low to high.
    """
    names = np.unique(series.satellite.values).tolist()
    values, days = series.value.values, np.datetime_as_string(series.time.values, "D")
    places = [np.flatnonzero(series.satellite.values == name) for name in names]
    digits = 0 if series.attrs["statistic"] == "count" else 4
    tails = [f"  {_range(values[place], digits)}" for place in places]
    margin = max(map(len, names)) + 2
    most = max(_LEAST_WIDTH, width - margin - max(map(len, tails)))
    count = min(most, max(map(len, places)))
    lines = np.array([_binned(series.time.values, values, place, count) for place in places])
    held = lines[np.isfinite(lines)]
    low, high = (held.min(), held.max()) if held.size else (0.0, 0.0)
    drawn = [
        f"{name:{margin}}{_drawn(line, low, high, bars)}{tail}"
        for name, line, tail in zip(names, lines, tails, strict=True)
    ]
    first, last = days[0], days[-1]
    gap = max(2, count - len(first) - len(last))
    dates = first if first == last else f"{first}{' ' * gap}{last}"
    return "\n".join([*drawn, " " * margin + dates])


def _binned(
    times: NDArray[np.datetime64], values: NDArray[np.float64], place: NDArray[np.intp], count: int
) -> NDArray[np.float64]:
    """Means of some of the values in equal shares of the whole time."""
    since = (times - times[0]).astype(np.float64)
    share = np.minimum((since / (since[-1] or 1) * count).astype(np.intp), count - 1)
    held = place[np.isfinite(values[place])]
    sums = np.bincount(share[held], values[held], count)
    numbers = np.bincount(share[held], minlength=count)
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)


def _drawn(line: NDArray[np.float64], low: float, high: float, bars: str) -> str:
    step = (high - low) / len(bars) or 1
    levels = np.minimum((np.nan_to_num(line, nan=low) - low) / step, len(bars) - 1).astype(np.intp)
    held = np.isfinite(line)
    return "".join(bars[level] if each else " " for level, each in zip(levels, held, strict=True))


def _range(values: NDArray[np.float64], digits: int) -> str:
    held = values[np.isfinite(values)]
    return f"{held.min():.{digits}f} to {held.max():.{digits}f}" if held.size else "no data"
