"""One worker and two on the same frames, and the costs that the model of a cluster is made of."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict

from .clips import Clip, Stored
from .cluster import COMMIT_FRAMES, TEN_YEARS, WORKERS, Costs, Stretch, predict
from .measuring import Figure, Group, Variant
from .ranges import decoded_frames
from .setting import Setting, converting, on_cores
from .standin import serving_streams

_OFTEN = 2
"""Frames a commit where many commits are wanted."""


def scale(setting: Setting) -> Group:
    """Conversions of a part and of the whole of a stream, by one worker and by two, each with a core."""
    columns, rows, frames, gop = setting.sizes.spread
    group = Group(
        "scale",
        f"{frames} frames of {columns} × {rows}, a key frame every {gop}, by one worker on one core and two"
        " on two; and by one process on two",
    )
    clip = setting.stored(Clip("spread", columns, rows, frames, gop=gop, preset="ultrafast"))
    with serving_streams([clip]) as service:
        group.runs = setting.alternate(*_variants(clip, service))
        extra = _extra(setting, clip, service)
    commit = _commit(setting, group, setting.sizes.archived[1])
    group.compare("wall, 1 worker / 2 workers", ("1 worker, whole", "wall"), ("2 workers, whole", "wall"))
    costs = _costs(group, clip, extra, commit)
    stretch = Stretch("2 workers", frames, clip.clip.pixels / 1e6, gop)
    predicted = predict(costs, [stretch], 2).wall
    each = [predicted / run.wall for run in group.runs["2 workers, whole"]]
    middle = predicted / group.median("2 workers, whole", "wall")
    group.figures.append(Figure("wall, model / measured, 2 workers", middle, min(each), max(each)))
    group.more["costs"] = asdict(costs)
    group.more["frames"] = [asdict(stretch) for stretch in TEN_YEARS]
    group.more["cluster"] = [asdict(predict(costs, TEN_YEARS, each)) for each in WORKERS]
    return group


def _variants(clip: Stored, service: Mapping[str, str]) -> list[Variant]:
    def variant(name: str, cores: int, frames: int, *arguments: str) -> Variant:
        end = ("--end", clip.last_day(frames))
        return on_cores(converting(name, clip, service, *arguments, *end, frames=frames), cores)

    one_core = ("--threads", "1", "--workers")
    frames = clip.clip.frames
    return [
        variant("one process, whole", 2, frames),
        variant("1 worker, half", 1, _half(clip.clip), *one_core, "1"),
        variant("1 worker, whole", 1, frames, *one_core, "1"),
        variant("2 workers, whole", 2, frames, *one_core, "2"),
    ]


def _half(clip: Clip) -> int:
    """An even number of frames: two a day."""
    return clip.frames // 4 * 2


def _extra(setting: Setting, clip: Stored, service: Mapping[str, str]) -> float:
    """Frames that are decoded beside those between two key frames."""
    gop = clip.clip.gop
    archive = setting.scratch / "extra" / "archive"
    try:
        return float(decoded_frames(clip, archive, service, gop + 1, gop) - gop)
    finally:
        shutil.rmtree(archive.parent, ignore_errors=True)


def _commit(setting: Setting, group: Group, frames: int) -> float:
    """Seconds of a commit: what many of them take more than few."""
    columns, rows = setting.sizes.small
    clip = setting.stored(Clip("commits", columns, rows, frames, gop=10))
    names = {every: f"a commit every {every}" for every in (_OFTEN, COMMIT_FRAMES)}
    with serving_streams([clip]) as service:
        group.runs |= setting.alternate(
            *(converting(name, clip, service, "--commit-frames", str(every)) for every, name in names.items())
        )
    often, seldom = (group.median(name, "wall") for name in names.values())
    more = -(-frames // _OFTEN) - -(-frames // COMMIT_FRAMES)
    return max(0.0, often - seldom) / more


def _costs(group: Group, clip: Stored, extra: float, commit: float) -> Costs:
    """Costs from two runs of one worker; those of two workers are left to be predicted."""
    short, long = "1 worker, half", "1 worker, whole"
    beside = (1 + extra / clip.clip.gop) * clip.clip.pixels / 1e6
    work = {short: _half(clip.clip) * beside, long: clip.clip.frames * beside}

    def slope(figure: str) -> float:
        more = group.median(long, figure) - group.median(short, figure)
        return max(0.0, more / (work[long] - work[short]))

    wall = slope("wall")
    start = max(0.0, group.median(long, "wall") - work[long] * wall)
    bits = 8 * clip.size / clip.clip.frames / clip.clip.pixels
    return Costs(start, wall, slope("cpu"), extra, commit, bits)
