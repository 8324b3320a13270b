"""A model of a cluster: how long a backfill takes on many workers, and what it costs.

The frames of all continents are cut at key frames into T tasks of g frames. A task decodes e frames beside
its own, as counted. A worker has one core, and takes s seconds a megapixel and frame, all stages overlapped,
as measured; so for frames of m megapixels a task takes (g + e) · m · s. The driver does one thing after the
other: d seconds to hand out a task (assumed), c seconds a commit (measured), one commit every 64 frames. With
W workers:

    wall(W) = start + max( ⌈T / W⌉ · (g + e) · m · s ,  T · d + frames / 64 · c )
    core-hours used     = T · (g + e) · m · p / 3600        p: CPU seconds a megapixel and frame
    core-hours reserved = W · wall(W) / 3600

One worker takes the sum of all tasks; more are reckoned with the largest, which is cautious. `start` is what
a conversion takes besides its frames, as measured: interpreter, login, listing, cluster, catalog. Left out:
the network (the bandwidth that would be needed is told instead), storage that slows down under many writers,
slower cores, and two workers of one machine being in each other's way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

HANDING_OUT = 0.005
"""Seconds the driver takes for a task: Dask's documentation says about 1 ms, its client a few; assumed."""

COMMIT_FRAMES = 64
"""Frames a commit."""

WORKERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Costs:
    """What was measured.

    Attributes:
        start: seconds besides the frames.
        wall: seconds of one worker a megapixel and frame.
        cpu: CPU seconds of the same.
        extra: frames a task decodes beside its own.
        commit: seconds of a commit.
        bits: bits of video a pixel.
    """

    start: float
    wall: float
    cpu: float
    extra: float
    commit: float
    bits: float


@dataclass(frozen=True)
class Stretch:
    """Frames to be archived.

    Attributes:
        name: what they are.
        frames: how many.
        megapixels: of each.
        group: frames a task.
    """

    name: str
    frames: int
    megapixels: float
    group: int = 250


@dataclass(frozen=True)
class Point:
    """A prediction.

    Attributes:
        workers: number of workers.
        wall: seconds.
        used: core-hours of work.
        reserved: core-hours of all workers from start to end.
        megabits: bits a second, in millions, that the service has to send.
        bound: what it is limited by: `workers`, `tasks` (there are fewer than workers) or `driver`.
    """

    workers: int
    wall: float
    used: float
    reserved: float
    megabits: float
    bound: str


_TEN_YEARS = 2 * 3652
TEN_YEARS = (
    Stretch("Europe", _TEN_YEARS, 45.8),
    Stretch("Africa", _TEN_YEARS, 78.8),
    *(Stretch(name, _TEN_YEARS, 78.8) for name in ("Asia", "North America", "South America", "Oceania")),
)
"""Two satellites, a frame a day each. The sizes of the last four are not known: assumed to be Africa's."""


def predict(costs: Costs, stretches: Sequence[Stretch], workers: int) -> Point:
    """What a number of workers makes of some stretches of frames."""
    tasks = [
        (min(stretch.group, stretch.frames - begun) + costs.extra) * stretch.megapixels
        for stretch in stretches
        for begun in range(0, stretch.frames, stretch.group)
    ]
    frames = sum(stretch.frames for stretch in stretches)
    working = ceil(len(tasks) / workers) * max(tasks) * costs.wall
    working = min(working, sum(tasks) * costs.wall) if workers == 1 else working
    driving = len(tasks) * HANDING_OUT + frames / COMMIT_FRAMES * costs.commit
    wall = costs.start + max(working, driving)
    bound = "driver" if driving > working else "tasks" if len(tasks) < workers else "workers"
    pixels = sum(stretch.frames * stretch.megapixels for stretch in stretches)
    return Point(
        workers,
        wall,
        sum(tasks) * costs.cpu / 3600,
        workers * wall / 3600,
        pixels * costs.bits / wall,
        bound,
    )
