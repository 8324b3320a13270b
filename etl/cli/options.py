"""Options and types that several commands share."""

import math
import os
import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

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

    name = "ISO date"

    def __init__(self, *, end: bool = False) -> None:
        self._end = end

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse the value; a year, month or date alone is its first second, or its last one for an end."""
        if isinstance(value, datetime):
            return value
        try:
            if re.fullmatch(r"\d{4}(-\d\d)?", value, re.ASCII):
                year, month = int(value[:4]), int(value[5:] or (12 if self._end else 1))
                first = datetime(year, month, 1, tzinfo=UTC)
                days = monthrange(year, month)[1]
                return first + timedelta(days=days, seconds=-1) if self._end else first
            moment = datetime.fromisoformat(value)
            if self._end and len(value) <= len("2021-01-31"):
                moment += timedelta(days=1, seconds=-1)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no date such as 2021-01-31, 2021-01 or 2021-01-31T10:00", param, ctx)


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


templates_option = option(
    "--templates",
    type=click.Path(path_type=Path),
    help="Folder of your own texts for the catalog, as catalog_templates/ of the source.  [default: those"
    " that come with the program]",
)

items_option = option(
    "--items",
    type=click.Choice(["none", "frame"]),
    help="STAC items in the catalog: none, or one a frame, by month.  [default: as before, else none]",
)

public_url_option = option(
    "--public-url",
    metavar="URL",
    help="Address at which the archive's folder is published, for absolute links in the catalog; 'relative'"
    " for relative ones.  [default: as before, else relative]",
)
