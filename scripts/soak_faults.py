"""What goes wrong in the runs of scripts/soak.py, and how one can tell that it did."""

# ruff: noqa: D101, D102 - the kind of a fault says what it is; its methods are those of `Fault`

import errno
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic

from etl.demo.service import Request, StandIn, Stream

Program = subprocess.Popen[bytes]

PATIENCE = 120.0
"""Seconds after which a process counts as hung."""


@dataclass(frozen=True)
class Stage:
    """Where a run takes place.

    Attributes:
        dice: chooses.
        service: the stand-in, without faults so far.
        stream: what it offers.
        archive: the archive's folder.
        disk: a small file system of the archive's own; None where it lies on a common one.
        rebuilding: the run is one with --rebuild.
    """

    dice: Random
    service: StandIn
    stream: Stream
    archive: Path
    disk: Path | None
    rebuilding: bool

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the stream's files, by name."""
        return {path.name: path.stat().st_size for path in self.stream.file.parent.iterdir()}

    def offset(self) -> int:
        """A byte of one of the stream's larger files, rather towards its end."""
        return int(max(self.sizes.values()) * self.dice.random() ** 0.5)


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        codes: exit codes of its processes, negative for the signal that ended one.
        err: what they said on standard error.
        requests: what the stand-in was asked meanwhile.
    """

    codes: Sequence[int]
    err: str
    requests: Sequence[Request]


class Fault(ABC):
    """Something that goes wrong.

    Attributes:
        kind: its name in the counts.
        codes: how a run may end in which it happened; a fault of that passes has 0 only.
        options: what the command line needs for it.
        login: the run has to log in, instead of having a token.
        twice: the run is two processes that are started at the same instant.
    """

    kind = ""
    codes: frozenset[int] = frozenset({0})
    options: tuple[str, ...] = ()
    login = False
    twice = False

    def __init__(self, stage: Stage) -> None:
        """Prepare it; the run has not begun yet."""
        self.stage = stage

    def meanwhile(self, process: Program) -> None:
        """Do something while the process runs."""
        return

    @abstractmethod
    def happened(self, ended: Ended) -> int:
        """How often it really happened, told from what others counted or said."""


# Faults that a run must get over.


class _Counted(Fault):
    """The stand-in counts it down."""

    field = ""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        setattr(stage.service.faults, self.field, 1)

    def happened(self, ended: Ended) -> int:
        return 1 - int(getattr(self.stage.service.faults, self.field))


class Dropped(_Counted):
    kind, field = "metadata connection dropped", "drop_connections"


class TooMany(_Counted):
    kind, field = "429", "too_many_requests"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        stage.service.faults.retry_after = 0


class ServerError(_Counted):
    kind, field = "500 of the metadata", "server_errors"


class Unavailable(_Counted):
    kind, field = "503 of the stream", "unavailable_stream"


class Cut(_Counted):
    kind, field = "stream cut", "cut_times"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        stage.service.faults.cut_after = stage.offset()


class Expired(Fault):
    kind = "signed address expired"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._status = stage.dice.choice([401, 403, 410])
        stage.service.faults.expired_status = self._status
        stage.service.faults.urls_expire_after = stage.dice.randrange(6)

    def happened(self, ended: Ended) -> int:
        refused = [r for r in ended.requests if r.path.startswith("/streams/") and r.status == self._status]
        return min(1, len(refused))


class TokenExpired(Fault):
    """The token ends, at once or with the stream's address; a login gives another one."""

    kind, login = "token expired", True

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        faults = stage.service.faults
        faults.unauthorized_after = stage.dice.randrange(2)
        if faults.unauthorized_after:
            faults.urls_expire_after = stage.dice.randrange(4)

    def happened(self, ended: Ended) -> int:
        return min(1, len(_refused(ended, 401)))


PASSING: tuple[type[Fault], ...] = (Dropped, TooMany, ServerError, Unavailable, Cut, Expired)

# Faults that end a run.


class Revoked(Fault):
    """The token is refused, and there is no other."""

    kind, codes = "401", frozenset({3})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        faults = stage.service.faults
        faults.unauthorized_after = stage.dice.randrange(2)
        if faults.unauthorized_after:
            faults.urls_expire_after = stage.dice.randrange(4)

    def happened(self, ended: Ended) -> int:
        return min(1, len(_refused(ended, 401)))


class Forbidden(Fault):
    kind, codes = "403", frozenset({3})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        stage.service.faults.forbidden = True

    def happened(self, ended: Ended) -> int:
        return min(1, len(_refused(ended, 403)))


class LoginDown(_Counted):
    kind, field, codes, login = "503 of the login", "login_unavailable", frozenset({3, 4}), True


class Truncated(Fault):
    kind, codes = "stream truncated", frozenset({4})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._size = stage.service.faults.truncate_to = max(1, stage.offset() * 9 // 10)

    def happened(self, ended: Ended) -> int:
        larger = {name for name, size in self.stage.sizes.items() if size > self._size}
        cut = [r for r in ended.requests if _file(r) in larger and r.status in {200, 206} and r.sent]
        return min(1, len(cut))


class Missing(Fault):
    kind, codes = "part of the stream missing", frozenset({4})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        names = sorted(stage.sizes)
        self._name = names[int(len(names) * stage.dice.random() ** 0.5)]
        stage.service.faults.missing = frozenset({self._name})

    def happened(self, ended: Ended) -> int:
        return min(1, sum(_file(r) == self._name and r.status == 404 for r in ended.requests))


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
        self._moment = dice.choice([*self._MOMENTS, *["swapping"] * (4 * stage.rebuilding)])
        self.kind = f"{self._signal.name} while {self._moment}" + " in a rebuild" * stage.rebuilding
        group = stage.archive / "europe" / "ndvi.zarr"
        side = stage.archive / "europe" / ".rebuild"
        if stage.rebuilding and self._moment == "committing":
            group = side / "ndvi.zarr"
        self._watch = {
            "committing": _Watch([group / "ndvi" / "zarr.json"]),
            "publishing": _Watch([stage.archive / ".lease", stage.archive / "europe" / "overview.png"]),
            "swapping": _Watch([group / "ndvi" / "c", group / "ndvi" / "0", side / "ready.json"]),
        }.get(self._moment)
        self._delay = {
            "starting": dice.uniform(0.0, 1.5),
            "working": dice.uniform(0.0, 0.8),
            "committing": dice.uniform(0.0, 0.006),
            "publishing": dice.uniform(0.0, 0.02),
            "stalled": 0.0,
            "swapping": dice.uniform(0.0, 0.3),
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


def _file(request: Request) -> str:
    return request.path.rpartition("/")[2] if request.path.startswith("/streams/") else ""


def _refused(ended: Ended, status: int) -> list[Request]:
    return [r for r in ended.requests if "/metadata/" in r.path and r.status == status]
