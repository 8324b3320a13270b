"""`ndvi-archive nightly`: archive what is new of every continent of a configuration."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from etl.cli.options import dry_run_option, endpoint_option, option, report_option
from etl.cli.output import Output
from etl.config import MOST_AT_ONCE, ConfigError, load_config
from etl.errors import ArchiveError, SomeFailedError, StorageError, UsageError
from etl.load.continents import check_root
from etl.load.inventory import folder_of
from etl.load.runs import runs
from etl.load.stores import open_store
from etl.metrics import write_metrics
from etl.nightly import Night, Outcome
from etl.report import ODDITIES, ago, frames, json_line
from etl.signals import Interrupted

log = logging.getLogger(__name__)


@click.command(epilog="Example: ndvi-archive nightly --config nightly.toml --dry-run")
@option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="What to archive, and where: a TOML file.",
)
@endpoint_option
@dry_run_option
@option(
    "--parallel",
    type=click.IntRange(1, MOST_AT_ONCE),
    metavar="N",
    show_default="the configuration's, else 1",
    help="Continents archived at once.",
)
@report_option
@option(
    "--metrics",
    "metrics_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    show_default="the configuration's",
    help="Write figures for Prometheus' node exporter to this file.",
)
@click.pass_context
def nightly(  # noqa: PLR0917 - Click passes one value an option
    context: click.Context,
    config_file: Path,
    dry_run: bool,
    parallel: int | None,
    report_file: Path | None,
    metrics_file: Path | None,
) -> None:
    """Archive what is new of every continent of a configuration.

    Each is archived by a process of its own: one that fails does not stop the others. With `verify_source`
    another then verifies it. The exit code is 0 if all went well or nothing was new, and 7 if some failed;
    the summary and the report say which, and why.
    """
    output: Output = context.obj
    try:
        config = load_config(config_file)
    except ConfigError as error:
        if len(error.problems) > 1:
            for problem in error.problems:
                output.error(f"{config_file}: {problem}", error.exit_code)
        raise
    for path, name in ((report_file, "--report"), (metrics_file, "--metrics")):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", f"check {name}")
    check_root(open_store(config.archive))

    started = datetime.now(UTC)
    night = Night(
        config,
        lambda line: output.say(line, err=True),
        _global_options(context),
        as_json=output.as_json,
        dry_run=dry_run,
    )
    outcomes = night.run(parallel or config.parallel)
    ending = _ending(outcomes, night.ended_by)
    figures = json_line(
        {
            "archive": config.archive,
            "started": started,
            "finished": datetime.now(UTC),
            "exit_code": ending.exit_code if ending else 0,
            "continents": [outcome.report for outcome in outcomes],
        }
    )
    output.result("\n".join([*map(_line, outcomes), _total(outcomes, dry_run=dry_run)]), figures)
    errors: list[BaseException] = [ending] if ending else []
    metrics_file = None if dry_run else metrics_file or config.metrics
    try:
        if metrics_file:
            write_metrics(metrics_file, _runs(config.archive, outcomes))
    except StorageError as error:
        errors.append(error)
    try:
        if report_file:
            _write_report(report_file, figures)
    except StorageError as error:
        errors.append(error)
    for other in errors[1:]:
        log.warning("%s", other, extra={"event": "another_error", "fields": {"exit_code": 1}})
    if errors:
        raise errors[0]


def _global_options(context: click.Context) -> list[str]:
    """The options before the command, for the processes."""
    given = context.find_root().params
    return ["-v"] * given["verbose"] + ["-q"] * given["quiet"] + ["--log-format", given["log_format"]]


def _ending(outcomes: Sequence[Outcome], ended_by: int | None) -> ArchiveError | Interrupted | None:
    """What the program ends with if not all went well."""
    if ended_by is not None:
        return Interrupted(ended_by)
    failed = [outcome.continent for outcome in outcomes if outcome.exit_code]
    if not failed:
        return None
    return SomeFailedError(
        f"{len(failed)} of {_continents(len(outcomes))} failed: {', '.join(failed)}",
        "what was committed is archived; see what each says above, then run the command again",
    )


def _line(outcome: Outcome) -> str:
    """What came of one continent, on one line; a plan is as long as it is."""
    report, code = outcome.report, outcome.exit_code
    if code is None:
        return f"{outcome.continent} {report['error']}"
    told = []
    if code:
        told.append(f"failed with exit code {code}: {' '.join(report['error'].split())}")
    elif "archived" not in report:
        return outcome.text
    if "archived" in report:
        told.append(f"{frames(report['archived'])} archived")
    told += [f"{len(report[kind])} {kind}" for kind in ODDITIES if report.get(kind)]
    if "verification" in report:
        told.append(f"{frames(report['verification']['frames_compared'])} compared with the service")
    if report.get("newest_time"):
        newest = datetime.fromisoformat(report["newest_time"])
        stale = ", nothing new for longer than allowed" if report.get("stale") else ""
        told.append(f"newest {newest:%Y-%m-%d %H:%M} UTC, {ago(newest)}{stale}")
    return f"{outcome.continent}: {'; '.join(told)}"


def _total(outcomes: Sequence[Outcome], *, dry_run: bool) -> str:
    well = sum(outcome.exit_code == 0 for outcome in outcomes)
    figure, done = ("planned", "to archive") if dry_run else ("archived", "archived")
    count = sum(outcome.report.get(figure, 0) for outcome in outcomes)
    return f"{well} of {_continents(len(outcomes))} went well, {frames(count)} {done}"


def _continents(count: int) -> str:
    return f"{count} continent{'' if count == 1 else 's'}"


def _runs(archive: str, outcomes: Iterable[Outcome]) -> list[Mapping[str, Any]]:
    """The last runs of each continent, which tell when it last went well, and then this one."""
    found: list[Mapping[str, Any]] = []
    for outcome in outcomes:
        kept = runs(open_store(archive), folder_of(outcome.continent))
        begun = outcome.exit_code is not None
        found += [*kept, outcome.report] if begun or not kept else kept
    return found


def _write_report(path: Path, figures: str) -> None:
    try:
        path.write_text(figures + "\n")
    except OSError as error:
        raise StorageError(f"cannot write the report {path}: {error.strerror}", "check --report") from None
