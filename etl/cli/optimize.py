"""`ndvi-archive optimize`: the archived frames once more, in chunks for reading along time."""

from pathlib import Path

import click

from etl.cli.options import (
    archive_option,
    continent_argument,
    deadline_option,
    option,
    progress_option,
    report_option,
    templates_option,
    wait_option,
)
from etl.cli.output import Output
from etl.errors import StorageError, UsageError
from etl.pipeline.optimizing import Optimization, SeriesReport
from etl.pipeline.optimizing import optimize as extend_series
from etl.signals import deferred, ending_on_signals


@click.command(epilog="Example: ndvi-archive optimize Europe --archive /data/ndvi")
@continent_argument()
@archive_option
@option(
    "--period",
    type=click.IntRange(min=1, max=256),
    metavar="N",
    show_default="32, or as the series is",
    help="Frames in a chunk of a new series; memory grows with it.",
)
@option("--rewrite", is_flag=True, help="Write the whole series again: mends what verify finds in it.")
@templates_option
@wait_option
@deadline_option
@progress_option
@report_option
@click.pass_obj
def optimize(  # noqa: PLR0917 - Click passes one value an option
    output: Output,
    continent: str,
    archive: str,
    period: int | None,
    rewrite: bool,
    templates: Path | None,
    wait: float,
    deadline: float | None,
    progress: bool,
    report_file: Path | None,
) -> None:
    """Keep the frames of CONTINENT once more, for reading along time.

    The copy, called series, has chunks deep in time and grows by whole periods of frames. Run it again, and
    it takes only what has come since; an interrupted run goes on where it was. The archive becomes about
    twice as large.
    """
    if report_file is not None and not report_file.parent.is_dir():
        raise UsageError(f"there is no folder {report_file.parent}", "check --report")
    task = Optimization(continent, archive, period, rewrite, templates, wait)
    report = SeriesReport(continent, archive)
    with ending_on_signals(deadline):
        try:
            with output.progress(bar=progress) as show:
                extend_series(task, report, show)
        except BaseException:
            with output.errors_told(), deferred():
                _write(report_file, report)
            raise
        output.result(report.summary(), report.to_json())
        with deferred():
            _write(report_file, report)


def _write(path: Path | None, report: SeriesReport) -> None:
    if path is None:
        return
    try:
        path.write_text(report.to_json() + "\n")
    except OSError as error:
        raise StorageError(f"cannot write the report {path}: {error.strerror}", "check --report") from None
