"""What the figures should be."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .measuring import Figure, Group


@dataclass(frozen=True)
class Target:
    """A floor, or a ceiling.

    Attributes:
        group: benchmark it belongs to.
        figure: pattern of the figures' names; each one of them has to hold.
        limit: what the figure may not pass.
        at_most: whether it may not exceed the limit; else it may not fall below.
    """

    group: str
    figure: str
    limit: float
    at_most: bool = True

    def holds(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value <= self.limit if self.at_most else value >= self.limit

    @property
    def text(self) -> str:
        """The limit for people."""
        return f"{'≤' if self.at_most else '≥'} {self.limit:.3g}"


@dataclass(frozen=True)
class Verdict:
    """A target, and the figure that was found; None where nothing was measured."""

    target: Target
    figure: Figure | None

    @property
    def holds(self) -> bool:
        """Whether it was measured, and is good enough."""
        return self.figure is not None and self.target.holds(self.figure.value)


TARGETS = (
    Target("convert", "*: wall, convert / ffmpeg", 1.5),
    Target("convert", "*: CPU, convert / ffmpeg", 2.0),
    Target("convert", "*: peak memory, convert / allowed", 1.0),
    Target("convert", "*: wall, with / without overviews", 1.15),
    Target("usual", "wall, GeoTIFF / convert", 4.0, at_most=False),
    Target("usual", "bytes, convert / GeoTIFF", 1 / 3),
    Target("usual", "wall, to_zarr / convert", 3.0, at_most=False),
    Target("append", "wall, append to * / to *", 1.2),
    Target("append", "peak memory, * new frames / * new frames", 1.15),
    Target("read", "seconds, pixel, frames / series, HTTP", 20.0, at_most=False),
    Target("read", "bytes, pixel, frames / series, HTTP", 20.0, at_most=False),
    Target("range", "*: frames decoded / necessary", 1.1),
    Target("range", "*: bytes downloaded / necessary", 1.25),
    Target("scale", "wall, 1 worker / 2 workers", 1.7, at_most=False),
    Target("scale", "wall, model / measured, 2 workers", 1.15),
    Target("scale", "wall, model / measured, 2 workers", 0.85, at_most=False),
)
"""Those of the issue; those of `range` and of the model are this project's own."""


def judge(groups: Iterable[Group]) -> list[Verdict]:
    """Compare the benchmarks that ran with their targets."""
    verdicts: list[Verdict] = []
    for group in groups:
        for target in (target for target in TARGETS if target.group == group.name):
            found = [figure for figure in group.figures if fnmatchcase(figure.name, target.figure)]
            verdicts += [Verdict(target, figure) for figure in found] or [Verdict(target, None)]
    return verdicts
