"""`ndvi-archive animate`: the season of a region as a film."""

from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click

from etl.analysis.film import LONGEST_SIDE, NARROWEST, WIDEST, Composite, Film
from etl.analysis.film import animate as make_film
from etl.analysis.selection import Selection
from etl.cli.options import Number, option, progress_option
from etl.cli.output import Output
from etl.cli.selecting import selection_options
from etl.report import frames, json_line, size
from etl.signals import ending_on_signals


@click.command(
    epilog="\b\nExample: ndvi-archive animate Europe --archive /data/ndvi --start 2021-03 --end 2021-09"
    " --bbox 5,43,16,49 --out alps.mp4"
)
@selection_options(with_mask=False)
@option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The film: .mp4 (H.264) or .gif; it is replaced where there is one.",
)
@option(
    "--fps",
    type=Number(60, positive=True),
    default=10,
    show_default=True,
    metavar="N",
    help="Pictures a second.",
)
@option(
    "--width",
    type=click.IntRange(NARROWEST, WIDEST),
    metavar="N",
    show_default=f"the longer side of the map has {LONGEST_SIDE}",
    help="Width of the film in pixels.",
)
@option(
    "--composite",
    type=click.Choice(get_args(Composite)),
    default="none",
    show_default=True,
    help="One picture of all frames of a day or month, the highest value of each pixel: fewer clouds.",
)
@progress_option
@click.pass_obj
def animate(  # noqa: PLR0917 - Click passes one value an option
    output: Output,
    selection: Selection,
    out: Path,
    fps: float,
    width: int | None,
    composite: Composite,
    progress: bool,
) -> None:
    """Make a film of CONTINENT, or of a part of it.

    Each picture has its date, its satellites and the colours' meaning. NDVI below 0.05 is shown as no data.
    Memory and time depend on the size of the film, not on that of the continent, as overviews are read.
    """
    remedy = "no film is half written, run the command again"
    with ending_on_signals(remedy=remedy), output.progress(bar=progress) as show:
        film = make_film(selection, out, fps=fps, width=width, composite=composite, progress=show)
    output.result(_line(film), json_line(asdict(film)))


def _line(film: Film) -> str:
    pictures = f" in {film.pictures} picture{'' if film.pictures == 1 else 's'}"
    pictures = "" if film.pictures == film.frames else pictures
    return (
        f"{film.path}: {frames(film.frames)}{pictures}, {film.seconds:.1f} s,"
        f" {film.columns} × {film.rows} pixels, {size(film.bytes)}"
    )
