"""What a run did, for people and for machines."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from time import perf_counter

from etl import __version__
from etl.extract.frame import FrameEntry

Progress = Callable[[int, int], None]
"""Called with the number of frames done and planned."""


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
        late: listed frames that are older than the newest archived one and absent; they are not archived.
        changed: archived frames whose number or scale in the stream is another now; they stay as they were.
        first_time: sensing start of the first frame this run archived.
        last_time: sensing start of the last frame this run archived.
        satellites: frames this run archived, by satellite.
        bytes_in: bytes downloaded.
        bytes_out: bytes written.
        seconds: wall time by stage: `extract`, `transform`, `load`, `catalog`.
        error: what ended the run early, or None.
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
    changed: list[str] = field(default_factory=list)
    first_time: datetime | None = None
    last_time: datetime | None = None
    satellites: dict[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    version: str = __version__

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time the block takes to a stage."""
        begun = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - begun

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
        return json.dumps(asdict(self), default=lambda value: value.isoformat())

    def summary(self) -> str:
        """The figures in a few lines for people."""
        lines = [
            f"{self.continent}: {frames(self.archived)} archived, {self.skipped} there before"
            + (f", {self.planned - self.archived} not reached" if self.archived < self.planned else "")
        ]
        if self.first_time and self.last_time:
            each = ", ".join(f"{name} {count}" for name, count in sorted(self.satellites.items()))
            lines.append(
                f"  from {self.first_time:%Y-%m-%d %H:%M} to {self.last_time:%Y-%m-%d %H:%M} UTC; {each}"
            )
        if self.empty:
            lines.append(f"  {frames(self.empty)} without data, archived as such")
        for names, what in ((self.late, "late, not archived"), (self.changed, "changed in the stream, kept")):
            if names:
                lines.append(
                    f"  {frames(len(names))} {what}: {', '.join(names[:3])}{' …' if names[3:] else ''}"
                )
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        lines.append(f"  {size(self.bytes_in)} read, {size(self.bytes_out)} written; {stages}")
        return "\n".join(lines)


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
