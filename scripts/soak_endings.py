"""What ends the runs of scripts/soak.py before their time, and how one can tell that it did."""

# ruff: noqa: D101, D102 - the kind of a fault says what it is; its methods are those of `Fault`

import errno
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

from soak_faults import (
    Fault,
    Forbidden,
    LoginDown,
    Missing,
    Revoked,
    Stage,
    TokenExpired,
    Truncated,
)
from soak_pairs import Overtaken, Twice, TwiceWaiting
from soak_places import OUTDATED, Place
from soak_runs import Ended, Runs, send, until


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


class FullDisk(Fault):
    """All but a little of the disk is taken."""

    kind, codes = "full disk", frozenset({1})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        disk = stage.place.disk
        assert disk is not None  # noqa: S101 - see `ending`
        self._filler = disk / "filler"
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        size = free - (stage.dice.randrange(0, 400_000) & ~0xFFF)
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size))

    def happened(self, ended: Ended) -> int:
        self._filler.unlink()
        return int(os.strerror(errno.ENOSPC) in ended.err)


@dataclass
class _Watch:
    """Objects of the archive that change at a certain moment of a run."""

    place: Place
    keys: Sequence[str]
    before: list[object] = field(init=False)

    def __post_init__(self) -> None:
        self.before = self._now()

    def has_changed(self) -> bool:
        return self._now() != self.before

    def _now(self) -> list[object]:
        return [self.place.version(key) for key in self.keys]


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
        group, side = "europe/ndvi.zarr", "europe/.rebuild"
        changing = f"{side}/ndvi.zarr" if stage.rebuilding else group
        keys = {
            "committing": [f"{changing}/ndvi/zarr.json"],
            "publishing": [".lease", "europe/overview.png"],
            "swapping": [f"{group}/ndvi/c/0/0/0", f"{group}/ndvi/0/0/0"],
            "tidying": [f"{side}/ready.json", OUTDATED],
        }.get(self._moment)
        self._watch = _Watch(stage.place, keys) if keys else None
        self._delay = {
            "starting": dice.uniform(0.0, 0.2),
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

    def meanwhile(self, runs: Runs) -> None:
        process = runs.processes[0]
        until(process, self._is_come, self.stage.place.poll if self._watch else 0.001)
        process.join(self._delay)
        send(process, self._signal)

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
        Overtaken: 0 if stage.rebuilding else 4,
        FullDisk: 4 if stage.place.disk else 0,
    }
    return stage.dice.choices([*lots], [*lots.values()])[0]
