"""`ndvi-archive demo`: the whole way, from login to archive, against the built-in stand-in."""

import os
import shlex
import shutil
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from etl.cli.options import endpoint_option, progress_option
from etl.cli.output import Output
from etl.demo import CONTINENT
from etl.demo.scene import scene
from etl.demo.service import StandIn
from etl.demo.streams import publish
from etl.errors import UsageError
from etl.extract.auth import TOKEN_VARIABLE
from etl.load.addresses import folder_at
from etl.load.continents import check_root
from etl.load.inventory import folder_of
from etl.load.stores import open_store
from etl.pipeline import Job, convert
from etl.report import RunReport

_BBOX = (-11.0, 35.0, 31.0, 60.0)
_FIRST_DAY = date(2021, 3, 1)
_DAYS = 120


@click.command(epilog="Example: ndvi-archive demo --archive demo-archive")
@click.option(
    # Not by a variable, which can name an archive of real data.
    "--archive",
    default="demo-archive",
    metavar="PATH|URL",
    help="Folder of the archive, or s3://bucket/folder, gs://…, az://….",
)
@endpoint_option
@progress_option
@click.pass_obj
def demo(output: Output, archive: str, progress: bool) -> None:
    """Archive a synthetic continent, without an account or a network.

    Encodes a scene of two satellites as 12-bit HEVC video, serves it on a free port of this machine with
    login and metadata like the real service, and archives it: first a part, then the rest as an append.
    """
    columns, rows = 672, 400
    store = open_store(archive)
    check_root(store)
    others = [folder for folder in store.folders() if folder != folder_of(CONTINENT)]
    if others:
        raise UsageError(f"{archive} holds other data: {', '.join(others)}", "name another --archive")
    click.echo(f"Encoding {_DAYS} days of two satellites, {columns} × {rows} pixels …")
    with tempfile.TemporaryDirectory() as folder:
        stream = publish(scene(columns, rows, _BBOX, _FIRST_DAY, _DAYS), Path(folder), _BBOX)
        with StandIn({CONTINENT: stream}) as service:
            _use_only(service.environment)
            click.echo(f"Serving them at {service.api_url}")
            half = datetime(_FIRST_DAY.year, _FIRST_DAY.month, _FIRST_DAY.day, tzinfo=UTC) + timedelta(
                _DAYS // 2
            )
            whole = Job(CONTINENT, archive, api_url=service.api_url)
            for job, what in ((replace(whole, end=half), "The first half"), (whole, "What has come since")):
                click.echo(f"\n{what}:")
                report = RunReport(CONTINENT, archive)
                with output.progress(bar=progress) as show:
                    convert(job, report, show)
                output.result(report.summary(), report.to_json())
    output.say(how_to_go_on(archive))


def how_to_go_on(archive: str) -> str:
    """The commands and lines that open the archive, as they run in the shell this was started from."""
    folder, endpoint = folder_at(archive), os.environ.get("AWS_ENDPOINT_URL")
    place = archive if folder is None else str(folder.absolute())
    of_endpoint, option_of_endpoint = "", ""
    if folder is None and archive.startswith("s3:") and endpoint:
        of_endpoint = f'import os\n  os.environ["AWS_ENDPOINT_URL"] = {endpoint!r}\n  '
        option_of_endpoint = f" --endpoint-url {shlex.quote(endpoint)}"
    activate = Path(sys.prefix) / "bin/activate"
    of_archive = f"--archive {shlex.quote(archive)}{option_of_endpoint}"
    first = f"First, in your shell:  . {shlex.quote(str(activate))}\n\n" if not _is_on_path() else ""
    return f"""
The data is synthetic: nothing of it was seen by a satellite.

{first if activate.exists() else ""}Look at it in a browser:  ndvi-archive serve {of_archive}

Open the result in Python:

  {of_endpoint}import etl
  ds = etl.open_archive({place!r}, {CONTINENT!r})
  print(ds)
  print(ds.ndvi.sel(time="2021-05-01").mean(("latitude", "longitude")).values)

What the archive holds:  ndvi-archive info {of_archive}"""


def _is_on_path() -> bool:
    """Whether `ndvi-archive` is a command of the shell, and that of this installation."""
    found = shutil.which("ndvi-archive")
    return found is not None and Path(found).parent == Path(sys.executable).parent


def _use_only(variables: dict[str, str]) -> None:
    """Log in to the stand-in, whatever account this user's variables name."""
    for name in [name for name in os.environ if name.startswith("DESPAUTH_") or name == TOKEN_VARIABLE]:
        del os.environ[name]
    os.environ.update(variables)
