"""`scripts/bench`: run the benchmarks, print and keep what they found."""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic

import click

from .appending import append
from .converting import convert, usual
from .measuring import FailedError, Group
from .plot import draw
from .ranges import middle
from .reading import read
from .results import as_json, as_table
from .scaling import scale
from .setting import TINY, Setting, Sizes
from .targets import Verdict, judge

BENCHMARKS: Mapping[str, Callable[[Setting], Group]] = {
    "convert": convert,
    "usual": usual,
    "append": append,
    "read": read,
    "range": middle,
    "scale": scale,
}
_DEFAULT = Sizes()


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(BENCHMARKS)), help="Run this one; repeatable.")
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(min=1), help="Rounds.")
@click.option(
    "--frames", default=_DEFAULT.frames, show_default=True, type=click.IntRange(min=2),
    help="Frames of full size.",
)  # fmt: skip
@click.option(
    "--size", nargs=2, default=(_DEFAULT.columns, _DEFAULT.rows), show_default=True, metavar="COLUMNS ROWS",
    type=click.IntRange(min=16), help="Full size.",
)  # fmt: skip
@click.option("--tiny", is_flag=True, help="All in small: shows that it runs; the figures mean nothing.")
@click.option("--check", is_flag=True, help="Compare with the targets; end with 1 if one is missed.")
@click.option(
    "--out", default=Path("build/bench"), show_default=True, type=click.Path(path_type=Path),
    help="Folder for results.json, table.md, plot.svg and the clips, which are kept.",
)  # fmt: skip
def main(
    *,
    only: tuple[str, ...],
    repeat: int,
    frames: int,
    size: tuple[int, int],
    tiny: bool,
    check: bool,
    out: Path,
) -> None:
    """Measure conversions, appends, reading and scaling, each beside what it is compared with.

    Needs an idle machine, ffmpeg, and about 10 GB at --out; the clips are made in the first run.
    """
    sizes = TINY if tiny else replace(_DEFAULT, columns=size[0], rows=size[1], frames=frames)
    out = out.absolute()
    scratch = out / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    setting = Setting(sizes, repeat, out / "clips", scratch, lambda line: click.echo(line, err=True))
    begun = monotonic()
    groups, failed = [], {}
    try:
        for name in dict.fromkeys(only or BENCHMARKS):
            click.echo(name, err=True)
            try:
                groups.append(BENCHMARKS[name](setting))
            except FailedError as error:
                failed[name] = str(error)
                click.echo(f"  failed: {error}", err=True)
                groups.append(Group(name, "it failed", skipped=[str(error).splitlines()[0]]))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    verdicts = judge(groups)
    table = as_table(groups, verdicts)
    about = {"seconds": monotonic() - begun, "failed": failed}
    (out / "results.json").write_text(as_json(setting, groups, verdicts, about) + "\n")
    (out / "table.md").write_text(table)
    draw(groups, out)
    click.echo(table)
    if check:
        _tell(verdicts)
    missed = check and not all(verdict.holds for verdict in verdicts)
    sys.exit(bool(missed or failed))


def _tell(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        name, target = verdict.target.figure, verdict.target.text
        if verdict.figure is None:
            click.echo(f"MISSED  {verdict.target.group}: {name} {target}: not measured")
        else:
            word = "holds " if verdict.holds else "MISSED"
            figure = verdict.figure
            click.echo(f"{word}  {verdict.target.group}: {figure.name} {target}: {figure.value:.3g}")


if __name__ == "__main__":
    main(prog_name="scripts/bench")
