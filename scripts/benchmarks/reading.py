"""Reading an archive: a map, the whole series of a pixel, the whole series of a region's mean."""

import json
import shutil
import sys

from .clips import Clip, Stored
from .measuring import PROGRAM, FailedError, Group, Variant, quietly
from .serving import serving_archive
from .setting import Setting, archived
from .standin import serving_streams

_PICTURES = 40
"""Different frames in the long archive."""


def read(setting: Setting) -> Group:
    """Three ways to look at an archive, from the disk and over HTTP, by all layouts it has."""
    group = Group(
        "read",
        "one map of full size; series of one pixel and of a 100 × 100 region over two years; files in memory",
    )
    sizes = setting.sizes
    full = setting.stored(setting.full)
    long = setting.stored(
        Clip("years", *sizes.middle, sizes.years, preset="ultrafast", pictures=min(_PICTURES, sizes.years))
    )
    archive = setting.scratch / "read"
    try:
        with serving_streams([full, long]) as service:
            for clip in (full, long):
                archived(clip, archive, service)
        quietly([*PROGRAM, "-q", "optimize", long.clip.name, "--archive", archive])
        with serving_archive(archive) as url:
            places = {"disk": str(archive), "HTTP": url}
            looks = [("map", "frames", full)]
            looks += [(what, layout, long) for what in ("pixel", "region") for layout in ("frames", "series")]
            group.runs = setting.alternate(
                *(_look(*look, *place) for look in looks for place in places.items())
            )
    finally:
        shutil.rmtree(archive, ignore_errors=True)
    _compare(group)
    return group


def _look(what: str, layout: str, clip: Stored, where: str, address: str) -> Variant:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.reader", what, layout, address]
    return Variant(
        f"{what}, {layout}, {where}",
        lambda folder: [*command, clip.clip.name],
        figures=lambda folder, printed: json.loads(printed),
    )


def _compare(group: Group) -> None:
    for what in ("map", "pixel", "region"):
        names = [name for name in group.runs if name.startswith(what)]
        found = {(run.value("values"), run.value("total")) for name in names for run in group.runs[name]}
        if len(found) > 1:
            raise FailedError(f"{what}: the ways to read it give different values: {found}")
        for name in names:
            group.count(f"seconds, {name}", name, "reading")
            group.count(f"bytes, {name}", name, "bytes")
    for what in ("pixel", "region"):
        frames, series = f"{what}, frames, HTTP", f"{what}, series, HTTP"
        for figure, label in (("reading", "seconds"), ("bytes", "bytes")):
            group.compare(f"{label}, {what}, frames / series, HTTP", (frames, figure), (series, figure))
