"""`ndvi-archive convert`: archive what is new of a continent."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from etl.cli.options import (
    Number,
    archive_option,
    continent_argument,
    deadline_option,
    dry_run_option,
    items_option,
    option,
    period_options,
    progress_option,
    public_url_option,
    report_option,
    templates_option,
    wait_option,
)
from etl.cli.output import Output
from etl.cli.service import api_url_option, token_file_option
from etl.errors import StorageError, UsageError
from etl.extract.api import DEFAULT_MAX_PIXELS
from etl.load.inventory import folder_of
from etl.load.runs import runs as kept_runs
from etl.load.stores import open_store
from etl.metrics import write_metrics
from etl.pipeline import Job, Preview, preview
from etl.pipeline import convert as archive_new_frames
from etl.report import RunReport, frames, json_line, size
from etl.signals import deferred, ending_on_signals


@click.command(epilog="Example: ndvi-archive convert Europe --archive /data/ndvi --start 2021-03")
@continent_argument()
@archive_option
@period_options(first="the archive's first frame, else the service's")
@api_url_option
@token_file_option
@option(
    "--layout",
    type=click.Choice(["sharded", "flat"]),
    show_default="sharded, or as the archive is",
    help="Layout of a new archive: one object a frame (sharded), or one a chunk (flat), for readers without"
    " sharding.",
)
@option(
    "--overviews/--no-overviews",
    default=None,
    show_default="overviews, or as the archive is",
    help="Whether a new or rebuilt archive gets overviews: levels of 1/2, 1/4, … for maps, where frames are"
    " larger than 512 pixels.",
)
@templates_option
@items_option
@public_url_option
@option(
    "--settle",
    type=Number(36500),
    default=0,
    metavar="DAYS",
    help="Leave frames that are younger for a later run: those published late still find their place.",
)
@option(
    "--duplicates",
    type=click.Choice(["first", "last", "refuse"]),
    default="first",
    help="Which of several frames of one satellite at one time to archive, by number in the stream.",
)
@option(
    "--rebuild",
    is_flag=True,
    help="Take the frames in these dates anew from the service, late and changed ones too; the archived"
    " continent is replaced at the end.",
)
@option(
    "--drop-withdrawn",
    is_flag=True,
    help="With --rebuild: leave out archived frames of these dates that the service no longer lists.",
)
@option(
    "--optimize/--no-optimize",
    default=False,
    help="Then keep them in chunks for reading along time too, as the command optimize does.",
)
@wait_option
@deadline_option
@option(
    "--commit-frames",
    type=click.IntRange(min=1),
    default=64,
    metavar="N",
    help="Commit after so many frames, …",
)
@option(
    "--commit-seconds",
    type=Number(1e7),
    default=60,
    metavar="SECONDS",
    help="… or after so long: whichever comes first.",
)
@option(
    "--stale-after",
    type=Number(36500),
    metavar="DAYS",
    show_default="never",
    help="Warn where the newest archived frame is older.",
)
@option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=DEFAULT_MAX_PIXELS,
    metavar="N",
    show_default=f"{DEFAULT_MAX_PIXELS / 1e6:.0f} million",
    help="Refuse larger frames: they need memory.",
)
@option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="this process alone",
    help="Share the frames, if they are more than a few, among N processes; with --scheduler, wait until"
    " it has so many workers.",
)
@option(
    "--scheduler",
    metavar="ADDRESS",
    help="Share them among the workers of a Dask cluster, such as tcp://host:8786; it must run the same"
    " version of this program, and reach the archive at the same address.",
)
@option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="the cores this process may use, at most 16 to decode and 4 to encode; shared by --workers;"
    " 1 with --scheduler",
    help="Threads that decode, and as many again that encode and write, of each worker if there are any; each"
    " holds a frame in memory.",
)
@dry_run_option
@progress_option
@report_option
@option(
    "--metrics",
    "metrics_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write figures for Prometheus' node exporter to this file; each continent needs one of its own.",
)
@click.pass_obj
def convert(
    output: Output,
    /,
    *,
    deadline: float | None,
    dry_run: bool,
    progress: bool,
    report_file: Path | None,
    metrics_file: Path | None,
    **settings: Any,  # noqa: ANN401 - the fields of a Job, as Click parsed them
) -> None:
    """Archive the frames of CONTINENT that are not archived yet.

    Run it again and it appends only what is new. CONTINENT is a name the service knows, such as Europe or
    Africa. Without a token the program logs in with DESPAUTH_USER and DESPAUTH_PASSWORD.
    """
    job = Job(**settings)
    for name, path in (("--report", report_file), ("--metrics", metrics_file)):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", f"check {name}")
    with ending_on_signals(deadline):
        if dry_run:
            found = preview(job)
            figures = json_line(_figures(job, found))
            output.result(_lines(job, found), figures)
            _write(report_file, figures)
            return
        report = RunReport(job.continent, job.archive)
        try:
            with output.progress(bar=progress) as show:
                archive_new_frames(job, report, show)
        except BaseException:
            if report.archived:
                output.result(report.summary(), report.to_json())
            with output.errors_told(), deferred():
                _conclude(job, report, report_file, metrics_file)
            raise
        output.result(report.summary(), report.to_json())
        with deferred():
            _conclude(job, report, report_file, metrics_file)


def _conclude(job: Job, report: RunReport, report_file: Path | None, metrics_file: Path | None) -> None:
    """Write what the run did to the files asked for."""
    try:
        _write(report_file, report.to_json())
    finally:
        if metrics_file is not None and report.exit_code != UsageError.exit_code:
            earlier = kept_runs(open_store(job.archive), folder_of(job.continent))
            write_metrics(metrics_file, [*earlier, json.loads(report.to_json())])


def _figures(job: Job, found: Preview) -> dict[str, object]:
    plan, grid = found.plan, found.grid
    return {
        "continent": job.continent,
        "planned": len(plan.new),
        "skipped": len(plan.archived),
        "late": [str(entry) for entry in plan.late],
        **{
            kind: [str(entry) for entry in getattr(plan, kind)]
            for kind in ("republished", "renumbered", "withdrawn", "duplicates", "ahead")
        },
        "first_time": plan.new[0].time.isoformat() if plan.new else None,
        "last_time": plan.new[-1].time.isoformat() if plan.new else None,
        "satellites": Counter(entry.satellite for entry in plan.new),
        "columns": grid.columns,
        "rows": grid.rows,
        "bbox": grid.bbox,
        "bytes_expected": found.bytes_expected,
    }


def _lines(job: Job, found: Preview) -> str:
    plan, grid = found.plan, found.grid
    west, south, east, north = grid.bbox
    archived = len(plan.archived)
    lines = [f"{job.continent}: would archive {frames(len(plan.new))}, {archived} there already"]
    if found.rebuild:
        lines = [f"{job.continent}: would take {frames(len(plan.new))} anew and {archived} from the archive"]
    if plan.new:
        satellites = Counter(entry.satellite for entry in plan.new)
        each = ", ".join(f"{name} {count}" for name, count in sorted(satellites.items()))
        first, last = plan.new[0], plan.new[-1]
        lines.append(f"  from {first.time:%Y-%m-%d %H:%M} to {last.time:%Y-%m-%d %H:%M} UTC; {each}")
        numbers = [entry.number for entry in plan.new]
        lines.append(f"  stream frames {min(numbers)} to {max(numbers)}")
    for entries, what in (
        (plan.late, "late, not to be archived"),
        (plan.republished, "another scale in the stream"),
        (plan.renumbered, "another number in the stream"),
        (plan.withdrawn, "no longer listed"),
        (plan.duplicates, "left out, another has the same time and satellite"),
        (plan.ahead, "left out, dated ahead of now"),
    ):
        lines += [f"  {what}: {entry}" for entry in entries]
    lines.append(
        f"  grid {grid.columns} × {grid.rows}, {west:g} to {east:g} °E, {south:g} to {north:g} °N;"
        f" about {size(found.bytes_expected)}"
    )
    return "\n".join(lines)


def _write(path: Path | None, figures: str) -> None:
    if path is None:
        return
    try:
        path.write_text(figures + "\n")
    except OSError as error:
        raise StorageError(f"cannot write the report {path}: {error.strerror}", "check --report") from None
