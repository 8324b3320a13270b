"""What a run did, for people and for machines."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from math import isfinite
from time import perf_counter
from typing import Protocol

from humanize import naturaltime

from etl import __version__
from etl.extract.frame import FrameEntry

Told = Callable[[int, int], None]
"""Called with the number that is done, and of all."""


class Progress(Protocol):
    """Called to tell how far a run is."""

    def __call__(self, done: int, planned: int, what: str = "frames", /) -> None:
        """So many are done, of so many: of the frames, or of the catalog's items."""


def of_items(progress: Progress | None) -> Told | None:
    """What to call with the number of items done and planned."""
    return progress and (lambda done, planned: progress(done, planned, "items"))


ODDITIES = {
    "late": "late, not archived",
    "republished": "published anew with other values, kept as archived",
    "renumbered": "with another number in the stream now",
    "withdrawn": "archived, and no longer listed by the service",
    "duplicates": "left out: another has the same time and satellite",
    "ahead": "left out: dated ahead of now",
}
"""The fields of a report that name frames of which something is odd, and what that is."""

_REBUILT = ODDITIES | {
    "late": "late, taken by the rebuild",
    "republished": "published again with other values, taken by the rebuild",
    "renumbered": "with another number in the stream, taken by the rebuild",
}
_DROPPED = "no longer listed by the service, dropped"


@dataclass
class RunReport:
    """The figures of one run; filled while it goes on.

    Attributes:
        continent: the continent's name.
        archive: address of the archive.
        started: when the run began, UTC.
        planned: frames to be archived by this run.
        archived: frames that were committed.
        skipped: listed frames that were in the archive before.
        empty: archived frames that hold no data: their scale is not finite.
        late: listed frames that were older than the newest archived one and absent; only a rebuild takes
            them.
        republished: archived frames whose scale or pixels are others in the stream now; only a rebuild takes
            these.
        renumbered: archived frames whose number in the stream is another now, and nothing else.
        withdrawn: archived frames that the service no longer lists; they stay archived but for those that are
            `dropped`.
        duplicates: listed frames left out because another one has the same time and satellite.
        ahead: listed frames left out because their time is still to come.
        rebuild: whether the run was asked for a rebuild, and there was something to rebuild.
        replaced: whether a rebuild has replaced the archived continent.
        completed: whether that was the rebuild of an earlier run that was interrupted.
        taken_over: of a rebuild, how many frames come from the archive and not from the service.
        dropped: of a rebuild, how many withdrawn frames it has left out.
        repaired: damaged frames that were written again as they were archived.
        optimised: frames that were put into the series, with `--optimize`.
        first_time: sensing start of the first frame this run archived.
        last_time: sensing start of the last frame this run archived.
        newest_time: sensing start of the newest frame in the archive after the run; None while there is none.
        stale: whether that is longer ago than `--stale-after` allows; None where nothing was allowed.
        satellites: frames this run archived, by satellite.
        bytes_in: bytes downloaded.
        bytes_out: bytes written.
        retries: requests and connections that were tried again.
        seconds: time by stage: `extract`, `transform`, `load`, `optimize`, `catalog`; stages overlap, and
            `transform` and `load` add up over threads.
        finished: when the run ended, UTC.
        error: what ended the run early, or None.
        exit_code: exit code of the run.
        version: version of this program.
    """

    continent: str
    archive: str
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    planned: int = 0
    archived: int = 0
    skipped: int = 0
    empty: int = 0
    late: list[str] = field(default_factory=list)
    republished: list[str] = field(default_factory=list)
    renumbered: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    ahead: list[str] = field(default_factory=list)
    rebuild: bool = False
    replaced: bool = False
    completed: bool = False
    taken_over: int = 0
    dropped: int = 0
    repaired: list[str] = field(default_factory=list)
    optimised: int = 0
    first_time: datetime | None = None
    last_time: datetime | None = None
    newest_time: datetime | None = None
    stale: bool | None = None
    satellites: dict[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    retries: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    finished: datetime | None = None
    error: str | None = None
    exit_code: int | None = None
    version: str = __version__

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time the block takes to a stage."""
        begun = perf_counter()
        try:
            yield
        finally:
            self.add({name: perf_counter() - begun})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add time that was taken beside other work to the stages."""
        for stage, each in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + each

    def count(self, entries: list[FrameEntry]) -> None:
        """Count frames that have just been committed."""
        if not entries:
            return
        self.archived += len(entries)
        self.empty += sum(not entry.scale.is_finite for entry in entries)
        for entry in entries:
            self.satellites[entry.satellite] = self.satellites.get(entry.satellite, 0) + 1
        self.first_time = self.first_time or entries[0].time
        self.last_time = entries[-1].time

    def to_json(self) -> str:
        """All figures as a JSON object on one line."""
        return json_line(asdict(self))

    def _what_was_done(self) -> str:
        if not self.rebuild or self.completed:
            missed = self.planned - self.archived
            return f"{self.continent}: {frames(self.archived)} archived, {self.skipped} there before" + (
                f", {missed} not reached" if missed else ""
            )
        done, planned = self.archived + self.skipped, self.planned + self.skipped
        if not self.replaced:
            return f"{self.continent}: {done} of {frames(planned)} rebuilt; the archive is as it was"
        return (
            f"{self.continent} rebuilt: {frames(planned)}, {planned - self.taken_over} from the service and"
            f" {self.taken_over} taken over from the archive"
        )

    def summary(self) -> str:
        """The figures in a few lines for people."""
        lines = [self._what_was_done()]
        if self.completed:
            lines.append("  the rebuild that was interrupted before is complete")
        if self.repaired:
            lines.append(f"  {frames(len(self.repaired))} damaged, repaired: {_first(self.repaired)}")
        if self.first_time and self.last_time:
            each = ", ".join(f"{name} {count}" for name, count in sorted(self.satellites.items()))
            lines.append(
                f"  from {self.first_time:%Y-%m-%d %H:%M} to {self.last_time:%Y-%m-%d %H:%M} UTC; {each}"
            )
        if self.optimised:
            lines.append(f"  {frames(self.optimised)} put into the series")
        if self.empty:
            lines.append(f"  {frames(self.empty)} without data, archived as such")
        rebuilt = self.replaced and not self.completed
        for oddity, what in (_REBUILT if rebuilt else ODDITIES).items():
            names: list[str] = getattr(self, oddity)
            if names:
                done = _DROPPED if oddity == "withdrawn" and self.dropped else what
                lines.append(f"  {frames(len(names))} {done}: {_first(names)}")
        if self.newest_time:
            lines.append(
                f"  the newest frame is of {self.newest_time:%Y-%m-%d %H:%M} UTC, {ago(self.newest_time)}"
                + (": nothing new for longer than allowed" if self.stale else "")
            )
        retries = f", {self.retries} {'retry' if self.retries == 1 else 'retries'}" if self.retries else ""
        stages = "; " + ", ".join(f"{name} {duration(seconds)}" for name, seconds in self.seconds.items())
        lines.append(
            f"  {size(self.bytes_in)} read, {size(self.bytes_out)} written{retries}"
            + (stages if self.seconds else "")
        )
        return "\n".join(lines)


def _first(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{' …' if names[3:] else ''}"


def json_line(value: object) -> str:
    """A value as JSON on one line: times in ISO 8601, numbers that are not finite as null."""
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def ago(moment: datetime) -> str:
    """How long ago that is, in words such as `2 days ago`."""
    return naturaltime(datetime.now(UTC) - moment, months=False)


def duration(seconds: float) -> str:
    """A time in the two largest of its units, such as `4.2 s`, `3 min 20 s` or `2 h 5 min`."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def frames(count: int) -> str:
    """A number of frames in words."""
    return f"{count} frame{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """A number of bytes in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
