"""Options and types that several commands share."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:  # noqa: ANN401 - passed on to Click
    """A Click option that can also be given as the variable `NDVI_ARCHIVE_…`."""
    long_name = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = "NDVI_ARCHIVE_" + long_name.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=True, **settings)


class IsoTime(click.ParamType[datetime]):
    """A date or time in ISO 8601, UTC unless it says otherwise; becomes an aware datetime."""

    name = "ISO date"

    def __init__(self, *, end_of_day: bool = False) -> None:
        self._end_of_day = end_of_day

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse the value; a date alone is its first second, or its last one for an end."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
            if self._end_of_day and len(value) <= len("2021-01-31"):
                moment += timedelta(days=1, seconds=-1)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no date such as 2021-01-31 or 2021-01-31T10:00", param, ctx)


archive_option = option("--archive", required=True, metavar="FOLDER", help="Folder of the archive.")

templates_option = option(
    "--templates", type=click.Path(path_type=Path), help="Folder of the catalog's templates."
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
