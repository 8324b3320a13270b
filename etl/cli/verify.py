"""`ndvi-archive verify`: is everything there, whole, and as it was archived?"""

import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from etl.audit.archive import Audit, Task, audit
from etl.audit.source import Source
from etl.cli.options import (
    archive_option,
    continent_argument,
    json_option,
    option,
    progress_option,
)
from etl.cli.output import Output
from etl.cli.service import api_url_option, token_file_option
from etl.errors import IncompatibleError
from etl.load.stores import open_store
from etl.load.verify.findings import Finding, Verdict
from etl.report import frames

_SEEDS = 1 << 32


@click.command(epilog="Example: ndvi-archive verify --archive /data/ndvi --against-source 20")
@archive_option
@continent_argument(required=False)
@option("--quick", is_flag=True, help="Leave the values of frames unread: check all else.")
@option(
    "--against-source",
    type=click.IntRange(min=1),
    metavar="N",
    help="Decode N frames of each continent from the service again, drawn by lot, and compare every pixel.",
)
@option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    show_default="drawn by lot",
    help="Draw the same frames as a run that named this seed.",
)
@api_url_option
@token_file_option
@option(
    "--templates",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    show_default="texts are not compared",
    help="Folder of the archive's own catalog templates, to compare texts as well.",
)
@json_option
@progress_option
@click.pass_obj
def verify(  # noqa: PLR0917 - Click passes one value an option
    output: Output,
    archive: str,
    continent: str | None,
    quick: bool,
    against_source: int | None,
    seed: int | None,
    api_url: str,
    token_file: Path | None,
    templates: Path | None,
    as_json: bool,
    progress: bool,
) -> None:
    """Check that all is there, whole, and as it was archived.

    Of CONTINENT alone, or of all in the archive. Every frame is read and compared with its checksum; times,
    metadata, objects and the STAC catalog are compared with each other. Nothing is written, and convert may
    run meanwhile. Ends with code 6 where something is wrong.
    """
    source = None
    if against_source is not None:
        seed = secrets.randbelow(_SEEDS) if seed is None else seed
        source = Source(against_source, seed, api_url, token_file)
    task = Task(continent, quick, templates, source)
    with output.progress(bar=progress and not as_json) as show:
        audits, catalog = audit(open_store(archive), task, show)
    if as_json or output.as_json:
        click.echo(json.dumps(_figures(archive, task, audits, catalog), default=str))
    else:
        output.say("\n".join(_lines(task, audits, catalog)))
    count = len(catalog.findings) + sum(len(each.verdict.findings) for each in audits)
    errors = [each.error for each in audits if each.error]
    for error in errors if count else errors[1:]:
        output.error(str(error), error.exit_code)
    if count:
        raise IncompatibleError(
            f"{_findings(count)} in {archive}",
            "README tells under What can go wrong how to mend what is found",
        )
    if errors:
        raise errors[0]


def _figures(archive: str, task: Task, audits: list[Audit], catalog: Verdict) -> dict[str, Any]:
    return {
        "archive": archive,
        "quick": task.quick,
        "against_source": task.source.frames if task.source else None,
        "seed": task.source.seed if task.source else None,
        "continents": [
            {
                "continent": each.continent,
                "folder": each.folder,
                "frames": each.frames,
                "frames_read": each.frames_read,
                "series_read": each.series_read,
                "frames_compared": each.frames_compared,
                **_told(each.verdict),
                "error": str(each.error) if each.error else None,
            }
            for each in audits
        ],
        "catalog": _told(catalog),
    }


def _told(verdict: Verdict) -> dict[str, Any]:
    return {"findings": [_finding(finding) for finding in verdict.findings], "notes": verdict.notes}


def _finding(finding: Finding) -> dict[str, Any]:
    figures = asdict(finding)
    if finding.frame and finding.frame.time:
        figures["frame"]["time"] = finding.frame.time.isoformat()
    return figures


def _lines(task: Task, audits: list[Audit], catalog: Verdict) -> list[str]:
    lines = []
    for each in audits:
        series = f", {each.series_read} of them in the series" if each.series_read else ""
        read = "structure checked" if task.quick else f"{each.frames_read} read{series}"
        compared = f", {each.frames_compared} compared with the service" if task.source else ""
        count = _findings(len(each.verdict.findings))
        lines.append(f"{each.continent}: {frames(each.frames)}, {read}{compared}; {count}")
        lines += _told_lines(each.verdict)
    if catalog.findings or catalog.notes:
        lines.append(f"catalog: {_findings(len(catalog.findings))}")
        lines += _told_lines(catalog)
    if task.source:
        lines.append(f"frames drawn with --seed {task.source.seed}")
    return lines


def _told_lines(verdict: Verdict) -> list[str]:
    return [
        *(f"  {finding.kind}: {finding}" for finding in verdict.findings),
        *(f"  note: {note}" for note in verdict.notes),
    ]


def _findings(count: int) -> str:
    return "nothing wrong" if not count else f"{count} finding{'' if count == 1 else 's'}"
