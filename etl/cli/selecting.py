"""Options by which commands choose what to take from an archive."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import click

from etl.analysis.region import Region, box, point, read_geojson
from etl.analysis.selection import Selection
from etl.cli.options import Command, archive_option, continent_argument, option, period_options
from etl.errors import UsageError
from etl.extract.frame import SATELLITES


class Box(click.ParamType[tuple[float, float, float, float]]):
    """Four numbers: west, south, east, north."""

    name = "W,S,E,N"

    def convert(
        self,
        value: str | tuple[float, float, float, float],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[float, float, float, float]:
        """Parse the value, its numbers apart by commas."""
        if isinstance(value, tuple):
            return value
        try:
            west, south, east, north = map(float, value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not four numbers such as 5.5,47,10.5,49", param, ctx)
        return west, south, east, north


def selection_options(*, with_point: bool = False, with_mask: bool = True) -> Callable[[Command], Command]:
    """The argument CONTINENT, and the options `--archive`, `--start`, … as one parameter `selection`.

    Args:
        with_point: also `--lon` and `--lat`.
        with_mask: also `--mask/--no-mask`.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def choosing(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
            region = _region(*(options.pop(name, None) for name in ("lon", "lat", "bbox", "aoi")))
            chosen = {
                name: options.pop(name)
                for name in ("archive", "continent", "start", "end", "satellite", "mask")
                if name in options
            }
            return command(*arguments, selection=Selection(region=region, **chosen), **options)

        decorated: Any = choosing
        for each in reversed(_options(with_point=with_point, with_mask=with_mask)):
            decorated = each(decorated)
        return cast(Command, decorated)

    return decorate


def _options(*, with_point: bool, with_mask: bool) -> list[Callable[[Any], Any]]:
    of_point = [
        option("--lon", type=float, metavar="DEGREES", help="Longitude of one place; with --lat."),
        option("--lat", type=float, metavar="DEGREES", help="Latitude of one place; with --lon."),
    ]
    of_mask = [
        option(
            "--mask/--no-mask",
            default=True,
            help="Leave out NDVI below 0.05, commonly no data.",
        )
    ]
    return [
        continent_argument(),
        archive_option,
        period_options(first="the first frame"),
        option(
            "--satellite",
            type=click.Choice(list(SATELLITES)),
            show_default="all",
            help="Frames of this one alone.",
        ),
        *(of_point if with_point else []),
        option(
            "--bbox",
            type=Box(),
            show_default="all",
            help="Part between these degrees of longitude and latitude.",
        ),
        option(
            "--aoi",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Part within the polygons of a GeoJSON file.",
        ),
        *(of_mask if with_mask else []),
    ]


def _region(
    lon: float | None, lat: float | None, bbox: tuple[float, float, float, float] | None, aoi: Path | None
) -> Region | None:
    if (lon is None) != (lat is None):
        raise UsageError("--lon and --lat belong together", "give both")
    if sum(each is not None for each in (lon, bbox, aoi)) > 1:
        raise UsageError("more than one region is given", "give one of --lon with --lat, --bbox, and --aoi")
    if lon is not None and lat is not None:
        return point(lon, lat)
    if bbox is not None:
        return box(*bbox)
    return None if aoi is None else read_geojson(aoi)
