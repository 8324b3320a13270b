"""`ndvi-archive convert`: archive what is new of a continent."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path

import click

from etl.cli.options import IsoTime, api_url_option, archive_option, option
from etl.cli.output import Output
from etl.errors import ArchiveError, StorageError
from etl.load.schema import Layout
from etl.pipeline import Job, Preview, preview
from etl.pipeline import convert as archive_new_frames
from etl.report import RunReport, frames, size


@click.command(
    epilog="Example: ndvi-archive convert Europe --archive /data/ndvi --start 2021-01-01 --end 2021-12-31"
)
@click.argument("continent")
@archive_option(required=True)
@option(
    "--start", type=IsoTime(), help="First date, UTC.  [default: that of the archive, or the first there is]"
)
@option("--end", type=IsoTime(end_of_day=True), help="Last date, UTC.  [default: the newest there is]")
@api_url_option
@option(
    "--token-file", type=click.Path(path_type=Path), help="File with an access token, instead of a login."
)
@option(
    "--layout",
    type=click.Choice(["sharded", "flat"]),
    default="sharded",
    show_default=True,
    help="Of a new archive: one object a frame, or one a chunk for readers without sharding.",
)
@option("--dry-run", is_flag=True, help="Print what would be done, write nothing.")
@option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal.")
@option(
    "--report", "report_file", type=click.Path(path_type=Path), help="Write the run's figures there as JSON."
)
@click.pass_obj
def convert(  # noqa: PLR0917 - Click passes one value an option
    output: Output,
    continent: str,
    archive: Path,
    start: datetime | None,
    end: datetime | None,
    api_url: str,
    token_file: Path | None,
    layout: Layout,
    dry_run: bool,
    progress: bool,
    report_file: Path | None,
) -> None:
    """Archive the frames of CONTINENT that are not in the archive yet.

    Run it again and it appends only what is new. CONTINENT is a name the service knows, such as Europe or
    Africa. Without a token the program logs in with DESPAUTH_USER and DESPAUTH_PASSWORD.
    """
    job = Job(continent, archive, start, end, api_url, token_file, layout)
    if dry_run:
        _show(output, job, preview(job))
        return
    report = RunReport(continent, str(archive))
    try:
        with output.progress(bar=progress) as show:
            archive_new_frames(job, report, show)
    except ArchiveError as error:
        report.error = str(error)
        raise
    finally:
        if report_file is not None:
            _write(report, report_file)
        if report.error is None or report.archived:
            output.result(report.summary(), report.to_json())


def _show(output: Output, job: Job, found: Preview) -> None:
    plan, grid = found.plan, found.grid
    satellites = Counter(entry.satellite for entry in plan.new)
    figures = {
        "continent": job.continent,
        "planned": len(plan.new),
        "skipped": len(plan.archived),
        "late": [str(entry) for entry in plan.late],
        "changed": [str(entry) for entry in plan.changed],
        "first_time": plan.new[0].time.isoformat() if plan.new else None,
        "last_time": plan.new[-1].time.isoformat() if plan.new else None,
        "satellites": satellites,
        "columns": grid.columns,
        "rows": grid.rows,
        "bbox": grid.bbox,
        "bytes_expected": found.bytes_expected,
    }
    west, south, east, north = grid.bbox
    lines = [f"{job.continent}: would archive {frames(len(plan.new))}, {len(plan.archived)} there already"]
    if plan.new:
        each = ", ".join(f"{name} {count}" for name, count in sorted(satellites.items()))
        first, last = plan.new[0], plan.new[-1]
        lines.append(f"  from {first.time:%Y-%m-%d %H:%M} to {last.time:%Y-%m-%d %H:%M} UTC; {each}")
        lines.append(f"  stream frames {first.number} to {last.number}")
    for entries, what in ((plan.late, "late, not to be archived"), (plan.changed, "changed in the stream")):
        lines += [f"  {what}: {entry}" for entry in entries]
    lines.append(
        f"  grid {grid.columns} × {grid.rows}, {west:g} to {east:g} °E, {south:g} to {north:g} °N;"
        f" about {size(found.bytes_expected)}"
    )
    output.result("\n".join(lines), json.dumps(figures))


def _write(report: RunReport, path: Path) -> None:
    try:
        path.write_text(report.to_json() + "\n")
    except OSError as error:
        raise StorageError(f"cannot write the report {path}: {error.strerror}", "check --report") from None
