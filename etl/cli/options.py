"""Options and types that several commands share."""

import math
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from etl.cli.completing import archived_names
from etl.dates import moment
from etl.errors import UsageError
from etl.load.addresses import check_plain

Command = TypeVar("Command", bound=Callable[..., Any])


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:  # noqa: ANN401 - passed on to Click
    """A Click option that can also be given as the variable `NDVI_ARCHIVE_…`."""
    long_name = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = "NDVI_ARCHIVE_" + long_name.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, cls=_Option, envvar=variable, show_envvar=True, **settings)


class _Option(click.Option):
    """An option whose variable is named in an error only where it was not given as an option."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        if ctx and ctx.get_parameter_source(self.name) is ParameterSource.COMMANDLINE:
            return click.Parameter.get_error_hint(self, ctx)
        return super().get_error_hint(ctx)


class IsoTime(click.ParamType[datetime]):
    """A year, month, date or time in ISO 8601, UTC unless it says otherwise; becomes an aware datetime."""

    name = "date"

    def __init__(self, *, end: bool = False) -> None:
        self._end = end

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse the value; a year, month or date alone is its first second, or its last one for an end."""
        try:
            return moment(value, end=self._end)
        except UsageError as error:
            self.fail(error.what, param, ctx)


class Number(click.ParamType[float]):
    """A number from 0 to a limit."""

    name = "number"

    def __init__(self, most: float, *, positive: bool = False) -> None:
        self._most = most
        self._positive = positive

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse the value; what is no number, as `nan`, or beyond the limit is refused."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (number > 0 if self._positive else number >= 0) or number > self._most:
            kind = "a positive number" if self._positive else "a number from 0"
            limit = f" of at most {self._most:g}" if math.isfinite(self._most) else ""
            self.fail(f"{value!r} is not {kind}{limit}", param, ctx)
        return number


def _use_endpoint(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if not value:
        return
    if not value.startswith(("http://", "https://")):
        raise click.BadParameter(
            f"{value.rpartition('@')[2]!r} is no URL such as https://storage.example.org", context, parameter
        )
    check_plain(value)
    # The variable, so that the processes of a night use it too; the other one would have precedence.
    os.environ["AWS_ENDPOINT_URL"] = value
    os.environ.pop("AWS_ENDPOINT_URL_S3", None)


endpoint_option = click.option(
    "--endpoint-url",
    metavar="URL",
    expose_value=False,
    callback=_use_endpoint,
    help="Where an s3:// archive is, if not at Amazon; as AWS_ENDPOINT_URL.",
)


def archive_option(command: Command) -> Command:
    """The option `--archive`, and where an object store is that is not Amazon's."""
    archive = option(
        "--archive",
        required=True,
        metavar="PATH|URL",
        help="Folder of the archive, or s3://bucket/folder, gs://…, az://….",
    )
    return archive(endpoint_option(command))


def continent_argument(*, required: bool = True) -> Callable[[Command], Command]:
    """The argument CONTINENT; shells complete it to what is archived in a folder."""
    return click.argument("continent", required=required, shell_complete=archived_names)


def period_options(*, first: str, last: str = "the newest frame") -> Callable[[Command], Command]:
    """The options `--start` and `--end`.

    Args:
        first: what is the first without `--start`, in words.
        last: what is the last without `--end`.
    """
    start = option(
        "--start",
        type=IsoTime(),
        show_default=first,
        help="First date or time, UTC: 2021, 2021-03, 2021-03-31 or 2021-03-31T10:00.",
    )
    end = option(
        "--end",
        type=IsoTime(end=True),
        show_default=last,
        help="Last date or time, UTC; of a year, month or day all of it.",
    )
    return lambda command: start(end(command))


templates_option = option(
    "--templates",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    show_default="those that come with the program",
    help="Folder of your own texts for the catalog, as catalog_templates/ of the source.",
)

items_option = option(
    "--items",
    type=click.Choice(["none", "frame"]),
    show_default="as before, else none",
    help="STAC items in the catalog: none, or one a frame, by month.",
)

public_url_option = option(
    "--public-url",
    metavar="URL",
    show_default="as before, else relative",
    help="Address at which the archive's folder is published, for absolute links in the catalog; 'relative'"
    " for relative ones.",
)

wait_option = option(
    "--wait",
    type=Number(math.inf),
    default=0,
    metavar="SECONDS",
    show_default="stop at once",
    help="Wait so long for another run that writes to this archive.",
)

deadline_option = option(
    "--deadline",
    type=Number(1e7, positive=True),
    metavar="SECONDS",
    show_default="none",
    help="End after so long; what is done is kept, and the next run goes on.",
)

dry_run_option = option("--dry-run", is_flag=True, help="Print what would be done, write nothing.")

progress_option = option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal.")

report_option = option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the figures of the run to this file as JSON.",
)

json_option = option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
