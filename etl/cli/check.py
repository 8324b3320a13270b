"""`ndvi-archive check`: can this installation, this account and this place archive?"""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import click

from etl.cli.options import endpoint_option, json_option, option
from etl.cli.output import Output
from etl.cli.service import api_url_option, token_file_option
from etl.pipeline.checking import Outcome, State, checks
from etl.pipeline.job import Job
from etl.signals import ending_on_signals

_SIGNS: dict[State, str] = {"ok": "✓", "failed": "✗", "skipped": "–"}


@click.command(epilog="Example: ndvi-archive check Europe --archive /data/ndvi")
@click.argument("continent", default="Europe")
@option(
    "--archive",
    default="",
    metavar="PATH|URL",
    show_default="not checked",
    help="Where to archive to: a folder, or s3://bucket/folder, gs://…, az://….",
)
@endpoint_option
@api_url_option
@token_file_option
@json_option
@click.pass_obj
def check(  # noqa: PLR0917 - Click passes one value an option
    output: Output, continent: str, archive: str, api_url: str, token_file: Path | None, as_json: bool
) -> None:
    """Check login, service, stream and archive, and say what to do.

    Asked are the installation, the service, the login, the account's access to CONTINENT (Europe, unless
    another is named), its stream, of which one frame is decoded, and whether the archive can be written.
    Nothing is archived, and nothing is left behind. The exit code is that of the first check that failed.
    """
    as_json = as_json or output.as_json
    job = Job(continent, archive, api_url=api_url, token_file=token_file)
    outcomes: list[Outcome] = []
    with ending_on_signals(remedy="nothing was archived, run the command again"):
        for outcome in checks(job):
            outcomes.append(outcome)
            if not as_json:
                output.say(_line(outcome))
    if as_json:
        click.echo(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if failed:
        names = ", ".join(outcome.check for outcome in failed)
        code = failed[0].exit_code
        output.error(f"not ready to archive: {names} failed; do what is said there, then check again", code)
        raise click.exceptions.Exit(code)
    if archive and not as_json:
        output.say(f"Ready: ndvi-archive convert {shlex.quote(continent)} --archive {shlex.quote(archive)}")


def _line(outcome: Outcome) -> str:
    encoding = sys.stdout.encoding or "ascii"
    sign = _SIGNS[outcome.state]
    try:
        sign.encode(encoding)
    except UnicodeEncodeError:
        sign = f"{outcome.state:7}"
    line = f"{sign} {outcome.check:9} {outcome.told}"
    return line.encode(encoding, "replace").decode(encoding)
