"""A conversion against the decoding it cannot do without, and against what users do today."""

import sys
from collections.abc import Mapping
from pathlib import Path

from .clips import Stored
from .measuring import Group, Run, Variant, ratio, size_of
from .setting import Setting, converting, cores
from .standin import serving_streams

ALLOWED_FRAMES = 4
ALLOWED_BYTES = 200e6


def convert(setting: Setting) -> Group:
    """`convert` against `ffmpeg -f null` of the same file: wall, CPU and memory."""
    threads = str(cores())
    ffmpeg, pyav = ("ffmpeg", "-v", "error", "-threads", threads), (sys.executable, "-m", "benchmarks.decode")
    group = Group("convert", f"convert over HTTP, against ffmpeg -threads {threads} -f null of the same file")
    for clip in (setting.stored(setting.full), setting.stored(setting.smooth)):
        name = clip.clip.name
        with serving_streams([clip]) as service:
            variants = [
                converting(f"{name}: convert", clip, service),
                _decoding(f"{name}: ffmpeg", *ffmpeg, "-i", clip.file, "-f", "null", "-"),
                _decoding(f"{name}: PyAV alone", *pyav, threads, clip.file),
                converting(f"{name}: no overviews", clip, service, "--no-overviews"),
            ]
            group.runs |= setting.alternate(*variants)
        ours, theirs = f"{name}: convert", f"{name}: ffmpeg"
        group.compare(f"{name}: wall, convert / ffmpeg", (ours, "wall"), (theirs, "wall"))
        group.compare(f"{name}: CPU, convert / ffmpeg", (ours, "cpu"), (theirs, "cpu"))
        group.figures.append(
            ratio(
                f"{name}: peak memory, convert / allowed",
                [run.peak for run in group.runs[ours]],
                [allowed(run, clip) for run in group.runs[theirs]],
            )
        )
        group.compare(f"{name}: wall, convert / PyAV alone", (ours, "wall"), (f"{name}: PyAV alone", "wall"))
        bare = f"{name}: no overviews"
        group.compare(f"{name}: wall, with / without overviews", (ours, "wall"), (bare, "wall"))
    return group


def _decoding(name: str, *command: str | Path) -> Variant:
    return Variant(name, lambda folder: command)


def allowed(run: Run, clip: Stored) -> float:
    """The memory a conversion may take: the decoder's own, four frames of int16, and 200 MB."""
    return run.peak + ALLOWED_FRAMES * 2 * clip.clip.pixels + ALLOWED_BYTES


def usual(setting: Setting) -> Group:
    """`convert` against the notebook's GeoTIFFs and against xarray's `append_dim`: wall and sizes."""
    group = Group("usual", "convert, against GeoTIFFs as in the public notebook, and xarray's append_dim")
    clip = setting.stored(setting.full)

    def way(name: str, module: str, output: str) -> Variant:
        def figures(folder: Path, printed: str) -> Mapping[str, float]:
            return {"size": float(size_of(folder))}

        command: list[str | Path] = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            f"benchmarks.{module}",
            clip.folder,
        ]
        return Variant(name, lambda folder: [*command, folder / output], figures=figures)

    with serving_streams([clip]) as service:
        group.runs = setting.alternate(
            converting("convert", clip, service),
            way("GeoTIFF", "notebook", "."),
            way("to_zarr", "appended", "ndvi.zarr"),
        )
    for other in ("GeoTIFF", "to_zarr"):
        group.compare(f"wall, {other} / convert", (other, "wall"), ("convert", "wall"))
        group.compare(f"CPU, {other} / convert", (other, "cpu"), ("convert", "cpu"))
        group.compare(f"peak memory, {other} / convert", (other, "peak"), ("convert", "peak"))
    group.compare("bytes, convert / GeoTIFF", ("convert", "size"), ("GeoTIFF", "size"))
    group.compare("bytes, convert / to_zarr", ("convert", "size"), ("to_zarr", "size"))
    archive = [run.value("size") for run in group.runs["convert"]]
    group.figures.append(ratio("bytes, convert / source video", archive, [clip.size] * len(archive)))
    pixels = clip.clip.pixels * clip.clip.frames
    group.more["bits_a_pixel"] = {
        "source video": 8 * clip.size / pixels,
        **{name: 8 * group.median(name, "size") / pixels for name in group.runs},
    }
    return group
