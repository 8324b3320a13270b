"""What all benchmarks share: sizes, places, and the program's command lines."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from etl.demo.encoder import Container

from .clips import Clip, Stored, store
from .measuring import PROGRAM, FailedError, Run, Variant, alternate, quietly, size_of


@dataclass(frozen=True)
class Sizes:
    """How large the streams are.

    Attributes:
        columns: of a frame at full size.
        rows: the same.
        frames: of the streams at full size.
        small: columns and rows where many frames are wanted, and few pixels.
        archived: lengths of the archives that are appended to: multiples of ten.
        middle: columns and rows of the long archive that is read.
        years: frames of that archive.
        group: frames between key frames of a long-GOP stream.
        containers: what such streams are in.
        spread: columns, rows and frames of the stream that workers share, and frames between its key frames.
    """

    columns: int = 8176
    rows: int = 5600
    frames: int = 24
    small: tuple[int, int] = (336, 200)
    archived: tuple[int, ...] = (10, 100, 1000)
    middle: tuple[int, int] = (1024, 1024)
    years: int = 1460
    group: int = 250
    containers: tuple[Container, ...] = ("mp4", "ts", "hls-ts", "hls-fmp4")
    spread: tuple[int, int, int, int] = (4088, 2800, 288, 24)


TINY = Sizes(64, 48, 4, (32, 24), (10, 20), (64, 48), 24, 10, ("mp4",), (64, 48, 12, 4))
"""For seeing that everything runs; the figures mean nothing."""


@dataclass(frozen=True)
class Setting:
    """One call of the benchmarks.

    Attributes:
        sizes: how large the streams are.
        repeat: rounds of everything.
        cache: folder of the clips, which are kept.
        scratch: folder for all else, which is not.
        tell: called with lines of progress.
    """

    sizes: Sizes
    repeat: int
    cache: Path
    scratch: Path
    tell: Callable[[str], None]

    @property
    def full(self) -> Clip:
        """Frames of full size with the texture of real NDVI."""
        return Clip("textured", self.sizes.columns, self.sizes.rows, self.sizes.frames)

    @property
    def smooth(self) -> Clip:
        """The stand-in's own scene and encoding: the cheapest to decode."""
        sizes = self.sizes
        return Clip(
            "smooth", sizes.columns, sizes.rows, sizes.frames, textured=False, preset="ultrafast", crf=8
        )

    def stored(self, clip: Clip) -> Stored:
        """A clip, made now or before, and read once, so that it is in memory for everybody."""
        self.tell(f"  clip {clip.name}: {clip.frames} frames of {clip.columns} × {clip.rows}")
        stored = store(clip, self.cache)
        for path in stored.file.parent.iterdir():
            path.read_bytes()
        return stored

    def alternate(self, *variants: Variant) -> dict[str, list[Run]]:
        """Run variants in turns; see `measuring.alternate`."""
        return alternate(variants, self.repeat, self.scratch, self.tell)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def on_cores(variant: Variant, count: int) -> Variant:
    """A variant that may use so many of these cores."""
    few = ",".join(map(str, sorted(os.sched_getaffinity(0))[:count]))
    return replace(variant, command=lambda folder: ["taskset", "-c", few, *variant.command(folder)])


def convert(clip: str, archive: Path, *arguments: str | Path) -> list[str | Path]:
    """The command that archives a clip; its report comes to lie beside the archive."""
    report = archive.with_name(f"{archive.name}-report.json")
    return [*PROGRAM, "-q", "convert", clip, "--archive", archive, "--report", report, *arguments]


def reported(archive: Path) -> Mapping[str, float]:
    """Figures of `convert`'s report, and the archive's size."""
    report = json.loads(archive.with_name(f"{archive.name}-report.json").read_text())
    return {
        "frames": float(report["archived"]),
        "bytes_in": float(report["bytes_in"]),
        "bytes_out": float(report["bytes_out"]),
        "size": float(size_of(archive)),
        **{f"seconds_{stage}": float(seconds) for stage, seconds in report["seconds"].items()},
    }


def converting(
    name: str, clip: Stored, service: Mapping[str, str], *arguments: str, frames: int | None = None
) -> Variant:
    """The program archiving a clip into a new archive, checked to have archived so many frames."""

    def figures(folder: Path, printed: str) -> Mapping[str, float]:
        found = reported(folder / "archive")
        expected = clip.clip.frames if frames is None else frames
        if found["frames"] != expected:
            raise FailedError(f"{name} archived {found['frames']:.0f} frames of {expected}")
        return found

    return Variant(
        name,
        lambda folder: convert(clip.clip.name, folder / "archive", *arguments),
        figures=figures,
        environment=service,
    )


def archived(clip: Stored, archive: Path, service: Mapping[str, str], *arguments: str) -> None:
    """Archive a clip without measuring it."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    quietly(convert(clip.clip.name, archive, *arguments), service)
