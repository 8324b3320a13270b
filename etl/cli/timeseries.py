"""`ndvi-archive timeseries`: NDVI of a place, a region or the whole grid over time."""

import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import click
import xarray as xr

from etl.analysis.area import STATISTICS, Statistic
from etl.analysis.chart import FORMATS, chart, check_chart
from etl.analysis.selection import Selection
from etl.analysis.sparkline import BARS, PLAIN_BARS, sparklines
from etl.analysis.table import as_csv, as_text, rows_of
from etl.analysis.timeseries import timeseries as compute
from etl.analysis.whole_files import check_writable, write_whole
from etl.cli.options import json_option, option, progress_option
from etl.cli.output import Output
from etl.cli.selecting import selection_options
from etl.errors import UsageError
from etl.report import json_line
from etl.signals import ending_on_signals

_STDOUT = Path("-")


@click.command(
    epilog="\b\nExample: ndvi-archive timeseries Europe --archive /data/ndvi --aoi field.geojson --plot n.png"
)
@selection_options(with_point=True)
@option(
    "--stat",
    type=click.Choice(STATISTICS),
    default="mean",
    help="What to tell of the pixels; mean and median by their area, count is how many have data.",
)
@option(
    "--by-satellite/--together",
    default=True,
    help="A value a frame, or one a day from the frames of all satellites.",
)
@option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Write the table to this file; - is standard output.",
)
@option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw a chart into this file: .png, .svg or .pdf.",
)
@json_option
@progress_option
@click.pass_obj
def timeseries(  # noqa: PLR0917 - Click passes one value an option
    output: Output,
    selection: Selection,
    stat: Statistic,
    by_satellite: bool,
    csv_file: Path | None,
    plot_file: Path | None,
    as_json: bool,
    progress: bool,
) -> None:
    """Tell the NDVI of a place or a region of CONTINENT over time.

    A point is the pixel it lies in. Frames without data there are rows without a value. The series that
    `optimize` keeps is used where that is faster. A table is printed unless it goes into a file, and on a
    terminal small bars, too.
    """
    as_json = as_json or output.as_json
    _check(csv_file, plot_file, as_json=as_json)
    with ending_on_signals(remedy="no file is half written, run the command again"):
        with output.progress(bar=progress) as show:
            series = compute(selection, stat=stat, together=not by_satellite, progress=show)
        if csv_file not in (None, _STDOUT):
            write_whole(csv_file, as_csv(series).encode())
        if plot_file is not None:
            write_whole(plot_file, chart(series, _form(plot_file)))
    if csv_file == _STDOUT:
        click.echo(as_csv(series), nl=False)
    else:
        output.say(_json(series, selection) if as_json else _text(series, csv_file, plot_file))


def _check(csv_file: Path | None, plot_file: Path | None, *, as_json: bool) -> None:
    """Refuse at once what would fail in the end."""
    if csv_file == _STDOUT and as_json:
        raise UsageError("CSV and JSON are both to go to standard output", "name a file for --csv")
    if plot_file is not None:
        if _form(plot_file) not in FORMATS:
            raise UsageError(f"--plot {plot_file} is of no known kind", "end its name in .png, .svg or .pdf")
        check_chart()
    for path in (csv_file, plot_file):
        if path not in (None, _STDOUT):
            check_writable(path)


def _form(plot_file: Path) -> str:
    return plot_file.suffix.removeprefix(".").lower()


def _text(series: xr.Dataset, csv_file: Path | None, plot_file: Path | None) -> str:
    """The table, unless it is in a file; the bars at a terminal, and else where there would be nothing."""
    parts = [] if csv_file else [as_text(series)]
    if csv_file or sys.stdout.isatty():
        bars = BARS if sys.stdout.encoding.lower() in {"utf-8", "utf8"} else PLAIN_BARS
        parts.append(
            f"{series.attrs['title']}\n{sparklines(series, shutil.get_terminal_size().columns, bars)}"
        )
    written = [str(path) for path in (csv_file, plot_file) if path]
    if written:
        parts.append(f"written to {' and '.join(written)}")
    return "\n\n".join(parts)


def _json(series: xr.Dataset, selection: Selection) -> str:
    return json_line(
        {
            "continent": selection.continent,
            "region": selection.region.name if selection.region else None,
            "stat": series.attrs["statistic"],
            "rows": [asdict(row) for row in rows_of(series)],
        }
    )
