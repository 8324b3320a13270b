"""What ends the runs of scripts/soak.py before their time, and how one can tell that it did."""

# ruff: noqa: D101, D102 - the kind of a fault says what it is; its methods are those of `Fault`

import errno
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from soak_faults import (
    Ended,
    Fault,
    Forbidden,
    LoginDown,
    Missing,
    Program,
    Revoked,
    Stage,
    TokenExpired,
    Truncated,
)

PATIENCE = 120.0
"""Seconds after which a process counts as hung."""


class Deadline(Fault):
    kind, codes = "deadline", frozenset({4})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.options = ("--deadline", f"{stage.dice.uniform(0.02, 1.0):.3f}")

    def happened(self, ended: Ended) -> int:
        return int("the deadline of" in ended.err)


class StalledDeadline(Deadline):
    """The stream stalls, and nothing but the deadline ends that."""

    kind = "stream stalled, up to the deadline"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        stage.service.faults.stall_after = stage.offset()

    def happened(self, ended: Ended) -> int:
        if not self.stage.service.faults.stalled.is_set():
            self.kind = Deadline.kind
        return super().happened(ended)


class Silent(Deadline):
    """The metadata never come, and nothing but the deadline ends that."""

    kind = "no answer, up to the deadline"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        stage.service.faults.silent_metadata = 1

    def happened(self, ended: Ended) -> int:
        if self.stage.service.faults.silent_metadata:
            self.kind = Deadline.kind
        return super().happened(ended)


class Twice(Fault):
    """A second run is started at the same instant, and must find the archive busy."""

    kind, codes, twice = "two runs at once", frozenset({0, 5}), True

    def happened(self, ended: Ended) -> int:
        return int(5 in ended.codes)


class TwiceWaiting(Fault):
    """A second run is started at the same instant, and waits."""

    kind, twice, options = "two runs at once, one waits", True, ("--wait", "100")

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        if stage.rebuilding:
            # The other one must not rebuild again what has just been rebuilt.
            self.codes = frozenset({0, 5})

    def happened(self, ended: Ended) -> int:
        return int("waiting up to 100 s for" in ended.err)


class FullDisk(Fault):
    """All but a little of the disk is taken."""

    kind, codes = "full disk", frozenset({1})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        assert stage.disk is not None  # noqa: S101 - see `ending`
        self._filler = stage.disk / "filler"
        free = os.statvfs(stage.disk).f_bavail * os.statvfs(stage.disk).f_frsize
        size = free - (stage.dice.randrange(0, 400_000) & ~0xFFF)
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size))

    def happened(self, ended: Ended) -> int:
        self._filler.unlink()
        return int(os.strerror(errno.ENOSPC) in ended.err)


@dataclass
class _Watch:
    """Files of the archive that change at a certain moment of a run."""

    paths: Sequence[Path]
    before: list[int | None] = field(init=False)

    def __post_init__(self) -> None:
        self.before = self._now()

    def has_changed(self) -> bool:
        return self._now() != self.before

    def _now(self) -> list[int | None]:
        times: list[int | None] = []
        for path in self.paths:
            try:
                times.append(path.stat().st_mtime_ns)
            except FileNotFoundError:
                times.append(None)
        return times


class Signalled(Fault):
    """A signal comes at a random moment, or a little after one that is aimed at."""

    _SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    _MOMENTS = (
        "starting",
        "working",
        "working",
        "working",
        "committing",
        "committing",
        "publishing",
        "stalled",
    )

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        dice = stage.dice
        self._signal = dice.choice(self._SIGNALS)
        self._moment = dice.choice([*self._MOMENTS, *["swapping", "tidying"] * (3 * stage.rebuilding)])
        if self._moment == "starting" and self._signal is signal.SIGINT:
            # Python itself answers that one in many ways before it has come to the program.
            self._signal = signal.SIGTERM
        self.kind = f"{self._signal.name} while {self._moment}" + " in a rebuild" * stage.rebuilding
        group = stage.archive / "europe" / "ndvi.zarr"
        side = stage.archive / "europe" / ".rebuild"
        if stage.rebuilding and self._moment == "committing":
            group = side / "ndvi.zarr"
        self._watch = {
            "committing": _Watch([group / "ndvi" / "zarr.json"]),
            "publishing": _Watch([stage.archive / ".lease", stage.archive / "europe" / "overview.png"]),
            "swapping": _Watch([group / "ndvi" / "c", group / "ndvi" / "0"]),
            "tidying": _Watch([side / "ready.json", stage.archive / "europe" / ".outdated"]),
        }.get(self._moment)
        self._delay = {
            "starting": dice.uniform(0.0, 1.5),
            "working": dice.uniform(0.0, 0.8),
            "committing": dice.uniform(0.0, 0.006),
            "publishing": dice.uniform(0.0, 0.02),
            "stalled": 0.0,
            "swapping": dice.uniform(0.0, 0.3),
            "tidying": dice.uniform(0.0, 0.05),
        }[self._moment]
        self._asked = len(stage.service.requests)
        if self._moment == "stalled":
            stage.service.faults.stall_after = stage.offset()
        number = int(self._signal)
        self.codes = frozenset({-number, 128 + number} - {128 + signal.SIGKILL})

    def meanwhile(self, process: Program) -> None:
        end = monotonic() + PATIENCE
        while process.poll() is None and not self._is_come() and monotonic() < end:
            _wait(process, 0.001)
        _wait(process, self._delay)
        if process.poll() is None:
            process.send_signal(self._signal)

    def happened(self, ended: Ended) -> int:
        return int(ended.codes[0] in self.codes)

    def _is_come(self) -> bool:
        if self._moment == "working":
            return len(self.stage.service.requests) > self._asked
        if self._moment == "stalled":
            return self.stage.service.faults.stalled.is_set()
        return self._watch is None or self._watch.has_changed()


def ending(stage: Stage) -> type[Fault]:
    """A kind of fault that ends a run, drawn by lot."""
    lots: dict[type[Fault], int] = {
        Signalled: 24,
        Truncated: 4,
        Missing: 3 if stage.stream.file.suffix == ".m3u8" else 0,
        Revoked: 2,
        Forbidden: 1,
        LoginDown: 1,
        TokenExpired: 2,
        Deadline: 2,
        StalledDeadline: 2,
        Silent: 1,
        Twice: 3,
        TwiceWaiting: 1,
        FullDisk: 4 if stage.disk else 0,
    }
    return stage.dice.choices([*lots], [*lots.values()])[0]


def _wait(process: Program, seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
