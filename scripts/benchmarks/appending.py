"""A night's two frames into archives of all lengths."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from .clips import Clip, Stored
from .measuring import FailedError, Group, Variant
from .setting import Setting, archived, convert, converting, reported
from .standin import serving_streams

_NEW = 2
_GOP = 10
"""A divisor of all lengths, so that every append begins at a key frame: its place in a group costs, too."""


def append(setting: Setting) -> Group:
    """Two frames appended to archives of three lengths, which should all take the same."""
    group = Group("append", "convert of two new frames into archives of different lengths, small frames")
    lengths = setting.sizes.archived
    columns, rows = setting.sizes.small
    clip = setting.stored(Clip("small", columns, rows, lengths[-1] + _NEW, gop=_GOP))
    bases = setting.scratch / "bases"
    try:
        with serving_streams([clip]) as service:
            for length in lengths:
                archived(clip, bases / str(length) / "archive", service, "--end", clip.last_day(length))
            group.runs = setting.alternate(
                *(_night(clip, length, bases / str(length) / "archive", service) for length in lengths)
            )
            ends = [(length, clip.last_day(length)) for length in lengths[-2:]]
            group.runs |= setting.alternate(
                *(
                    converting(f"{length} new frames", clip, service, "--end", end, frames=length)
                    for length, end in ends
                )
            )
    finally:
        shutil.rmtree(bases, ignore_errors=True)
    for length in lengths[1:]:
        for figure in ("wall", "cpu", "bytes_out"):
            name = f"{figure}, append to {length} / to {lengths[0]}".replace("cpu", "CPU")
            group.compare(name, (f"to {length}", figure), (f"to {lengths[0]}", figure))
    short, long = (f"{length} new frames" for length in lengths[-2:])
    group.compare(f"peak memory, {long} / {short}", (long, "peak"), (short, "peak"))
    return group


def _night(clip: Stored, length: int, base: Path, service: Mapping[str, str]) -> Variant:
    def figures(folder: Path, printed: str) -> Mapping[str, float]:
        found = reported(folder / "archive")
        if found["frames"] != _NEW:
            raise FailedError(f"{found['frames']:.0f} frames were appended to {length}")
        return found

    return Variant(
        f"to {length}",
        lambda folder: convert(clip.clip.name, folder / "archive", "--end", clip.last_day(length + _NEW)),
        prepare=lambda folder: _copy(base, folder / "archive"),
        figures=figures,
        environment=service,
    )


def _copy(base: Path, archive: Path) -> None:
    shutil.copytree(base, archive)
