"""`ndvi-archive convert`: archive what is new of a continent."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path

import click

from etl.cli.options import IsoTime, archive_option, option
from etl.cli.output import Output
from etl.errors import StorageError, UsageError
from etl.extract.api import DEFAULT_API_URL
from etl.load.schema import Layout
from etl.pipeline import Job, Preview, preview
from etl.pipeline import convert as archive_new_frames
from etl.report import RunReport, frames, size


@click.command(
    epilog="Example: ndvi-archive convert Europe --archive /data/ndvi --start 2021-01-01 --end 2021-12-31"
)
@click.argument("continent")
@archive_option
@option(
    "--start",
    type=IsoTime(),
    help="First date, UTC.  [default: the archive's first, else the service's first]",
)
@option("--end", type=IsoTime(end_of_day=True), help="Last date, UTC.  [default: the newest there is]")
@option("--api-url", default=DEFAULT_API_URL, show_default=True, help="Address of the service's API.")
@option(
    "--token-file", type=click.Path(path_type=Path), help="File with an access token, instead of a login."
)
@option(
    "--layout",
    type=click.Choice(["sharded", "flat"]),
    help="Layout of a new archive: one object a frame (sharded, the default), or one a chunk (flat), for"
    " readers without sharding.",
)
@option("--dry-run", is_flag=True, help="Print what would be done, write nothing.")
@option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal.")
@option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    help="Write the run's figures to this file as JSON.",
)
@click.pass_obj
def convert(  # noqa: PLR0917 - Click passes one value an option
    output: Output,
    continent: str,
    archive: str,
    start: datetime | None,
    end: datetime | None,
    api_url: str,
    token_file: Path | None,
    layout: Layout | None,
    dry_run: bool,
    progress: bool,
    report_file: Path | None,
) -> None:
    """Archive the frames of CONTINENT that are not in the archive yet.

    Run it again and it appends only what is new. CONTINENT is a name the service knows, such as Europe or
    Africa. Without a token the program logs in with DESPAUTH_USER and DESPAUTH_PASSWORD.
    """
    job = Job(continent, archive, start, end, api_url, token_file, layout)
    if report_file is not None and not report_file.parent.is_dir():
        raise UsageError(f"there is no folder {report_file.parent}", "check --report")
    if dry_run:
        found = preview(job)
        figures = json.dumps(_figures(job, found))
        output.result(_lines(job, found), figures)
        _write(report_file, figures)
        return
    report = RunReport(continent, archive)
    try:
        with output.progress(bar=progress) as show:
            archive_new_frames(job, report, show)
    except BaseException as error:
        report.error = str(error) or type(error).__name__
        if report.archived:
            output.result(report.summary(), report.to_json())
        with output.errors_told():
            _write(report_file, report.to_json())
        raise
    output.result(report.summary(), report.to_json())
    _write(report_file, report.to_json())


def _figures(job: Job, found: Preview) -> dict[str, object]:
    plan, grid = found.plan, found.grid
    return {
        "continent": job.continent,
        "planned": len(plan.new),
        "skipped": len(plan.archived),
        "late": [str(entry) for entry in plan.late],
        "changed": [str(entry) for entry in plan.changed],
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
    lines = [f"{job.continent}: would archive {frames(len(plan.new))}, {len(plan.archived)} there already"]
    if plan.new:
        satellites = Counter(entry.satellite for entry in plan.new)
        each = ", ".join(f"{name} {count}" for name, count in sorted(satellites.items()))
        first, last = plan.new[0], plan.new[-1]
        lines.append(f"  from {first.time:%Y-%m-%d %H:%M} to {last.time:%Y-%m-%d %H:%M} UTC; {each}")
        numbers = [entry.number for entry in plan.new]
        lines.append(f"  stream frames {min(numbers)} to {max(numbers)}")
    for entries, what in ((plan.late, "late, not to be archived"), (plan.changed, "changed in the stream")):
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
