"""One worker and two on the same frames, and the costs that the model of a cluster is made of."""

from .cluster import Costs, Point, predict
from .clips import Clip
from .measuring import Figure, Group
from .setting import Setting, converting, cores, has_option
from .standin import serving_streams

_COMMITS = 64
"""Frames a commit, as the program does by default."""


def scale(setting: Setting) -> Group:
    """Conversions of a part and of the whole of a stream, by one process and by one and two workers."""
    columns, rows, frames, gop = setting.sizes.spread
    group = Group("scale", f"{frames} frames of {columns} × {rows}, a key frame every {gop}, by 1 and 2 workers")
    clip = setting.stored(Clip("spread", columns, rows, frames, gop=gop, preset="ultrafast"))
    small = setting.stored(Clip("small", *setting.sizes.small, setting.sizes.archived[-1] + 2, gop=10))
    parts = {"quarter": frames // 4 // 2 * 2, "half": frames // 2 // 2 * 2, "whole": frames}
    has_workers = has_option("--workers")
    threads = ["--threads", "1"] if has_option("--threads") else []
    with serving_streams([clip, small]) as service:
        variants = [
            converting(
                f"one process, {part}", clip, service, "--end", clip.last_day(count), frames=count
            )
            for part, count in parts.items()
        ]
        if has_workers:
            variants += [
                converting(
                    f"{workers}, {part}", clip, service, "--workers", workers[0], *threads,
                    "--end", clip.last_day(parts[part]), frames=parts[part],
                )
                for workers, part in (("1 worker", "half"), ("1 worker", "whole"), ("2 workers", "whole"))
            ]
        group.runs = setting.alternate(*variants)
        some = setting.sizes.archived[1]
        end = small.last_day(some)
        group.runs |= setting.alternate(
            *(
                converting(
                    f"commit every {every}", small, service, "--commit-frames", str(every), "--end", end,
                    frames=some,
                )
                for every in (2, _COMMITS)
            )
        )
    unit = "one process"
    if has_workers:
        group.compare("wall, 1 worker / 2 workers", ("1 worker, whole", "wall"), ("2 workers, whole", "wall"))
        unit = "1 worker"
    else:
        group.skipped.append("1 and 2 workers: convert has no --workers; the model's worker is one process")
    shorter = "half" if has_workers else "quarter"
    longer = "whole" if has_workers else "half"
    _model(group, clip, unit, (parts[shorter], f"{unit}, {shorter}"), (parts[longer], f"{unit}, {longer}"))
    return group
