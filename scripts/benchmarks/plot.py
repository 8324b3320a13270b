"""The figures as a picture."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from .measuring import Group

_WALL, _CPU, _LIMIT = "#3b7a57", "#a9cdb8", "#b3412e"


def draw(groups: Sequence[Group], folder: Path) -> None:
    """Write `plot.svg` and `plot.png`: one panel a benchmark that has something to show."""
    found = {group.name: group for group in groups}
    panels = [(name, panel) for name, panel in _PANELS.items() if name in found and found[name].runs]
    if not panels:
        return
    rows = -(-len(panels) // 2)
    with mpl.rc_context(
        {"font.size": 9, "svg.hashsalt": "ndvi-archive", "axes.spines.top": False, "axes.spines.right": False}
    ):
        picture = Picture(figsize=(11, 3.4 * rows), layout="constrained")
        axes = picture.subplots(rows, 2, squeeze=False).ravel()
        for (name, panel), each in zip(panels, axes, strict=False):
            panel(found[name], each)
        for each in axes[len(panels) :]:
            each.set_axis_off()
        picture.savefig(folder / "plot.svg", metadata={"Date": None})
        picture.savefig(folder / "plot.png", dpi=120)


def _bars(axes: Axes, group: Group, title: str) -> None:
    """Wall and CPU time of all variants."""
    names = list(group.runs)[::-1]
    places = range(len(names))
    wall, cpu = ([group.median(name, figure) for name in names] for figure in ("wall", "cpu"))
    axes.barh([place + 0.2 for place in places], wall, 0.38, color=_WALL, label="wall")
    axes.barh([place - 0.2 for place in places], cpu, 0.38, color=_CPU, label="CPU")
    axes.set_yticks(list(places), names)
    axes.set_xlabel("seconds")
    axes.set_title(title)
    axes.legend(frameon=False)


def _convert(group: Group, axes: Axes) -> None:
    _bars(axes, group, "A conversion and the decoding it needs")


def _usual(group: Group, axes: Axes) -> None:
    _bars(axes, group, "A conversion and what users do today")


def _append(group: Group, axes: Axes) -> None:
    names = [name for name in group.runs if name.startswith("to ")]
    lengths = [int(name.removeprefix("to ")) for name in names]
    for figure, colour in (("wall", _WALL), ("cpu", _CPU)):
        axes.plot(lengths, [group.median(name, figure) for name in names], "o-", color=colour, label=figure)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
    axes.set_xlabel("frames in the archive")
    axes.set_ylabel("seconds for two more")
    axes.set_title("A night")
    axes.legend(frameon=False)


def _read(group: Group, axes: Axes) -> None:
    names = list(group.runs)[::-1]
    # Points, as the length of a bar means nothing where there is no zero.
    axes.plot([group.median(name, "reading") for name in names], names, "o", color=_WALL)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xscale("log")
    axes.set_xlabel("seconds")
    axes.set_title("Reading")


def _scale(group: Group, axes: Axes) -> None:
    points = group.more["cluster"]
    assert isinstance(points, list)  # noqa: S101 - for the type checker
    workers: list[float] = [point["workers"] for point in points]
    axes.loglog(workers, [point["wall"] / 3600 for point in points], "o-", color=_WALL, label="hours")
    axes.loglog(
        workers, [point["reserved"] for point in points], "o-", color=_LIMIT, label="core-hours reserved"
    )
    axes.set_xlabel("workers")
    axes.set_title("Model: all continents, ten years")
    axes.legend(frameon=False)


_PANELS: Mapping[str, Callable[[Group, Axes], None]] = {
    "convert": _convert,
    "usual": _usual,
    "append": _append,
    "read": _read,
    "scale": _scale,
}
