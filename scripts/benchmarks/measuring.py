"""Variants of a piece of work, run in turns, and what comes of them in the middle."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

_RUNNER = Path(__file__).with_name("runner.py")
PROGRAM = (sys.executable, "-P", "-m", "etl.cli")
"""The program as it is in this tree."""


_MEASURED = ("wall", "cpu", "peak", "processes")


class FailedError(Exception):
    """A variant did not do what it should; its figures would mean nothing."""


@dataclass(frozen=True)
class Run:
    """One run of a variant.

    Attributes:
        wall: seconds from start to end.
        cpu: seconds of user and system time of the whole process tree.
        peak: highest memory of the whole process tree in bytes.
        processes: most processes seen at a time.
        figures: what else was found about it.
    """

    wall: float
    cpu: float
    peak: float
    processes: int
    figures: Mapping[str, float] = field(default_factory=dict)

    def value(self, name: str) -> float:
        """The figure of that name."""
        return float(getattr(self, name) if name in _MEASURED else self.figures[name])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all figures."""
        return (*_MEASURED, *self.figures)


@dataclass(frozen=True)
class Variant:
    """One way to do the work.

    Attributes:
        name: its name.
        command: makes its command, given an empty folder of its own.
        prepare: brings into that folder what the command needs; not measured.
        figures: looks at that folder and at what the command printed, and tells more figures.
        environment: variables besides those of this process.
    """

    name: str
    command: Callable[[Path], Sequence[str | Path]]
    prepare: Callable[[Path], None] = lambda folder: None
    figures: Callable[[Path, str], Mapping[str, float]] = lambda folder, printed: {}
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A figure that is compared: a ratio of medians, or a count.

    Attributes:
        name: what it is.
        value: the ratio of the two medians.
        low: the least ratio of two runs of the same round.
        high: the greatest of these.
    """

    name: str
    value: float
    low: float
    high: float


@dataclass
class Group:
    """What one benchmark found.

    Attributes:
        name: its name.
        about: what was done, in a line.
        runs: all runs by variant, none left out.
        figures: what is compared.
        skipped: what was not measured, and why.
        more: further results, for the JSON alone.
    """

    name: str
    about: str
    runs: dict[str, list[Run]] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    more: dict[str, object] = field(default_factory=dict)

    def median(self, variant: str, name: str) -> float:
        """The middle of a variant's runs."""
        return median(run.value(name) for run in self.runs[variant])

    def compare(self, name: str, over: tuple[str, str], under: tuple[str, str]) -> None:
        """Add the ratio of two variants' figures, each given by variant and name."""
        self.figures.append(
            ratio(
                name,
                [run.value(over[1]) for run in self.runs[over[0]]],
                [run.value(under[1]) for run in self.runs[under[0]]],
            )
        )

    def count(self, name: str, variant: str, figure: str) -> None:
        """Add a figure of one variant as it is."""
        values = [run.value(figure) for run in self.runs[variant]]
        self.figures.append(Figure(name, median(values), min(values), max(values)))


def ratio(name: str, over: Sequence[float], under: Sequence[float]) -> Figure:
    """The ratio of two medians, and the spread of the ratios of each round."""
    each = [one / other for one, other in zip(over, under, strict=True)]
    return Figure(name, median(over) / median(under), min(each), max(each))


def alternate(
    variants: Sequence[Variant], repeat: int, scratch: Path, tell: Callable[[str], None]
) -> dict[str, list[Run]]:
    """Run each variant once a round, in turns; every second round goes backwards.

    Each run has a folder of its own on the disk, which is removed afterwards; what was written before is
    flushed first.

    Args:
        variants: what to run.
        repeat: rounds.
        scratch: where the folders are made.
        tell: called with a line about each run.

    Raises:
        FailedError: A command failed, or left processes behind.
    """
    runs: dict[str, list[Run]] = {variant.name: [] for variant in variants}
    for number in range(repeat):
        for variant in variants if number % 2 == 0 else variants[::-1]:
            run = _run(variant, scratch)
            runs[variant.name].append(run)
            tell(
                f"  {number + 1}/{repeat} {variant.name}: {run.wall:.2f} s, CPU {run.cpu:.2f} s,"
                f" {run.peak / 1e6:.0f} MB"
            )
    return runs


def _run(variant: Variant, scratch: Path) -> Run:
    folder = scratch / variant.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    result = scratch / f"{variant.name}.json"
    try:
        variant.prepare(folder)
        command = [str(part) for part in variant.command(folder)]
        os.sync()
        done = subprocess.run(
            [sys.executable, "-S", _RUNNER, result, *command],
            env={**os.environ, **variant.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        measured = json.loads(result.read_text()) if result.exists() else {"code": done.returncode, "left": 0}
        if measured["code"] or measured["left"]:
            raise FailedError(
                f"{variant.name} ended with {measured['code']} and left {measured['left']} processes:"
                f" {' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            )
        figures = variant.figures(folder, done.stdout)
        return Run(measured["wall"], measured["cpu"], measured["peak"], measured["processes"], figures)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        result.unlink(missing_ok=True)


def quietly(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """Run a command that is not measured; return what it printed on standard error.

    Raises:
        FailedError: It failed.
    """
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise FailedError(f"{' '.join(done.args)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stderr


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in _files(path))


def _files(path: Path) -> Iterator[Path]:
    return (file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
