"""One worker and two on the same frames, and the costs that the model of a cluster is made of."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict

from .clips import Clip, Stored
from .cluster import COMMIT_FRAMES, TEN_YEARS, WORKERS, Costs, Stretch, predict
from .measuring import Figure, Group, Variant
from .ranges import decoded_frames
from .setting import Setting, converting, cores, has_option
from .standin import serving_streams

_OFTEN = 2
"""Frames a commit where many commits are wanted."""


def scale(setting: Setting) -> Group:
    """Conversions of a part and of the whole of a stream, by one process and by one and two workers."""
    columns, rows, frames, gop = setting.sizes.spread
    group = Group(
        "scale", f"{frames} frames of {columns} × {rows}, a key frame every {gop}, by 1 and 2 workers"
    )
    clip = setting.stored(Clip("spread", columns, rows, frames, gop=gop, preset="ultrafast"))
    with serving_streams([clip]) as service:
        group.runs = setting.alternate(*_variants(clip, service))
        extra = _extra(setting, clip, service)
    many = setting.sizes.archived[1]
    commit = _commit(setting, group, many)
    has_workers = has_option("--workers")
    if has_workers:
        group.compare("wall, 1 worker / 2 workers", ("1 worker, whole", "wall"), ("2 workers, whole", "wall"))
    else:
        group.skipped.append("1 and 2 workers: convert has no --workers; the model's worker is one process")
    costs = _costs(group, clip, extra, commit, has_workers=has_workers)
    workers, variant = (2, "2 workers, whole") if has_workers else (1, "one process, whole")
    stretch = Stretch(variant, frames, clip.clip.pixels / 1e6, gop if has_workers else frames)
    predicted = predict(costs, [stretch], workers).wall
    each = [predicted / run.wall for run in group.runs[variant]]
    middle = predicted / group.median(variant, "wall")
    group.figures.append(Figure(f"wall, model / measured, {variant}", middle, min(each), max(each)))
    group.more["costs"] = asdict(costs)
    group.more["frames"] = [asdict(stretch) for stretch in TEN_YEARS]
    group.more["cluster"] = [asdict(predict(costs, TEN_YEARS, each)) for each in WORKERS]
    return group


def _parts(clip: Clip) -> dict[str, int]:
    """Even numbers of frames: two a day."""
    return {name: clip.frames // part // 2 * 2 for name, part in (("quarter", 4), ("half", 2), ("whole", 1))}


def _variants(clip: Stored, service: Mapping[str, str]) -> list[Variant]:
    parts = _parts(clip.clip)

    def variant(unit: str, part: str, *arguments: str) -> Variant:
        end = ("--end", clip.last_day(parts[part]))
        return converting(f"{unit}, {part}", clip, service, *arguments, *end, frames=parts[part])

    variants = [variant("one process", part) for part in parts]
    if has_option("--workers"):
        one_core = ("--threads", "1") if has_option("--threads") else ()
        variants += [
            variant("1 worker", "half", "--workers", "1", *one_core),
            variant("1 worker", "whole", "--workers", "1", *one_core),
            variant("2 workers", "whole", "--workers", "2", *one_core),
        ]
    return variants


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


def _costs(group: Group, clip: Stored, extra: float, commit: float, *, has_workers: bool) -> Costs:
    """Costs from two runs of one worker; a third is left to be predicted."""
    unit, short, long = ("1 worker", "half", "whole") if has_workers else ("one process", "quarter", "half")
    parts, megapixels = _parts(clip.clip), clip.clip.pixels / 1e6
    beside = 1 + extra / clip.clip.gop if has_workers else 1.0
    work = {name: parts[name] * beside * megapixels for name in (short, long)}

    def slope(figure: str) -> float:
        more = group.median(f"{unit}, {long}", figure) - group.median(f"{unit}, {short}", figure)
        return max(0.0, more / (work[long] - work[short]))

    wall = slope("wall")
    start = max(0.0, group.median(f"{unit}, {long}", "wall") - work[long] * wall)
    used = 1 if has_workers and has_option("--threads") else cores()
    bits = 8 * clip.size / clip.clip.frames / clip.clip.pixels
    return Costs(start, wall, slope("cpu"), extra, commit, used, bits)
