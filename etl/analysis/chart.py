"""A time series as a picture."""

import io
import warnings
from importlib.util import find_spec
from textwrap import fill

import numpy as np
import xarray as xr

from etl.errors import UsageError

FORMATS = ("png", "svg", "pdf")

_INCHES = (9.0, 4.5)
_DOTS_PER_INCH = 150
_MANY = 400
"""Values that would cover each other; they are drawn smaller."""

_LETTERS = 90
"""Of a line of the title."""

_WITHOUT_DATE: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Equal series give equal files."""

_STYLES = (("#0072B2", "o"), ("#D55E00", "^"), ("#009E73", "s"), ("#CC79A7", "D"))
"""Colours that colour-blind people tell apart (M. Okabe and K. Ito, 2008), and a mark for each."""


def check_chart() -> None:
    """Make sure that charts can be drawn.

    Raises:
        UsageError: The library for it is not installed.
    """
    if find_spec("matplotlib") is None:
        raise UsageError("charts need matplotlib", "run pip install 'ndvi-archive[analysis]'")


def chart(series: xr.Dataset, form: str = "png") -> bytes:
    """Draw what `etl.timeseries` returns: values over time, each satellite in a colour and with a mark.

    Args:
        series: at least one value.
        form: `png` (1350 × 675 pixels), `svg` or `pdf`.

    Returns:
        The file.

    Raises:
        UsageError: matplotlib is not installed.
    """
    check_chart()
    # Extras of the package, and slow to import.
    from matplotlib import rc_context  # noqa: PLC0415
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(_INCHES, layout="constrained")
    axes = figure.subplots()
    names = np.unique(series.satellite.values).tolist()
    for place, name in enumerate(names):
        of_it = series.isel(time=(series.satellite == name).values)
        colour, mark = _STYLES[place % len(_STYLES)]
        axes.plot(
            of_it.time.values,
            of_it.value.values,
            color=colour,
            marker=mark,
            markersize=3.5 if len(series.time) <= _MANY else 2,
            linewidth=1 if len(series.time) <= _MANY else 0.5,
            label=name,
            gid=name,
        )
    axes.set_title(fill(series.attrs["title"], _LETTERS), parse_math=False)
    counted = series.attrs["statistic"] == "count"
    axes.set_ylabel(series.value.attrs["long_name"] + ("" if counted else " (dimensionless)"))
    axes.set_xlabel("date (UTC)")
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.grid(alpha=0.3)
    axes.legend(title="satellite")
    if not np.isfinite(series.value.values).any():
        axes.set_xlim(*(series.time.values[[0, -1]] + np.array([-1, 1], "timedelta64[D]")))
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center")
    file = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "ndvi-archive"}), warnings.catch_warnings():
        # A name that no font on this machine can show in full is no reason to alarm.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(file, format=form, dpi=_DOTS_PER_INCH, metadata=_WITHOUT_DATE[form])
    return file.getvalue()
