"""From the service to the archive: plan which frames are new, then archive them."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from time import monotonic

import numpy as np

from etl.catalog.publish import publish
from etl.errors import ServiceError, UsageError
from etl.extract.api import DEFAULT_API_URL, Listing
from etl.extract.auth import TokenSource
from etl.extract.frame import Frame, FrameEntry
from etl.extract.service import ContinentService
from etl.load.archive import Appender, check_fits
from etl.load.inventory import Inventory, check_root, read_inventory
from etl.load.lease import lease
from etl.load.schema import Layout, Schema
from etl.load.stores import LocalFolder
from etl.report import RunReport
from etl.transform.grid import Grid
from etl.transform.packing import pack

log = logging.getLogger(__name__)

COMMIT_FRAMES = 64
COMMIT_SECONDS = 60.0
"""A commit is made after so many frames or seconds, whichever comes first."""

Progress = Callable[[int, int], None]
"""Called with the number of frames done and planned."""


@dataclass(frozen=True)
class Job:
    """What to archive, and where.

    Attributes:
        continent: the name by which the service knows the continent.
        archive: folder of the archive.
        start: first time, UTC; None is the first archived frame, or in a new archive the first there is.
        end: last time, UTC; None is the newest frame there is.
        api_url: address of the service's API.
        token_file: file with an access token; None is the environment or a login.
        layout: layout of a new archive.
    """

    continent: str
    archive: Path
    start: datetime | None = None
    end: datetime | None = None
    api_url: str = DEFAULT_API_URL
    token_file: Path | None = None
    layout: Layout = "sharded"

    @property
    def folder(self) -> str:
        """The continent's folder in the archive."""
        return re.sub("[ _]", "-", self.continent.lower())


@dataclass(frozen=True)
class Plan:
    """Which of the listed frames to archive.

    Attributes:
        new: frames to append, in the order of the archive.
        archived: frames that are in the archive as listed.
        late: frames older than the newest archived one and absent: they cannot be appended.
        changed: frames in the archive whose number or scale in the stream is another now.
    """

    new: tuple[FrameEntry, ...]
    archived: tuple[FrameEntry, ...]
    late: tuple[FrameEntry, ...]
    changed: tuple[FrameEntry, ...]


@dataclass(frozen=True)
class Preview:
    """What a run would do.

    Attributes:
        plan: which frames it would archive.
        grid: their grid.
        bytes_expected: size of the new frames in the archive, in bytes, roughly.
    """

    plan: Plan
    grid: Grid
    bytes_expected: int


def preview(job: Job) -> Preview:
    """Find out what `convert` would do, and write nothing.

    Raises:
        ArchiveError: The same errors as `convert`, as far as they show without decoding.
    """
    run = _Run(job)
    plan = run.look()
    pixels = run.grid.rows * run.grid.columns
    # Real NDVI takes about a byte a pixel in this format; clouds, sea and noise change it much.
    per_frame = float(pixels)
    if run.inventory:
        per_frame = run.store.size(f"{run.inventory.group_key}/ndvi") / len(run.inventory)
    return Preview(plan, run.grid, round(per_frame * len(plan.new)))


def convert(job: Job, report: RunReport | None = None, progress: Progress | None = None) -> RunReport:
    """Archive what is new: run it again and it appends what has come since.

    Args:
        job: what to archive, and where.
        report: filled while the run goes on, so that it tells what was done even if the run fails.
        progress: called after each frame.

    Returns:
        The report.

    Raises:
        UsageError: The job makes no sense.
        LoginError: The service refuses the login or the token.
        ServiceError: The service or its stream fails; the frames before are archived.
        BusyError: Another process is writing to this continent's archive.
        IncompatibleError: The archive is damaged, something else, or of another grid.
        StorageError: The storage refuses to be read or written.
    """
    run = _Run(job)
    report = report or RunReport(job.continent, run.store.location(job.folder))
    with lease(run.store, job.folder):
        run.store.clear_partial(job.folder)
        with report.stage("extract"):
            plan = run.look()
        _tell(plan, report)
        try:
            run.append(plan, report, progress)
        finally:
            report.bytes_in = run.service.bytes_received
            if report.archived or run.inventory:
                with report.stage("catalog"):
                    report.bytes_out += publish(run.store, job.folder)
    return report


def plan_frames(entries: Iterable[FrameEntry], inventory: Inventory | None) -> Plan:
    """Compare the listed frames with the archived ones.

    The archive is in order of time; frames of the same time are in the order of the stream.
    """
    new: list[FrameEntry] = []
    archived: list[FrameEntry] = []
    late: list[FrameEntry] = []
    changed: list[FrameEntry] = []
    newest = inventory.times[-1] if inventory else None
    for entry in sorted(entries, key=lambda entry: (entry.time, entry.number)):
        position = inventory.index.get((entry.time, entry.satellite)) if inventory else None
        if inventory and position is not None:
            (archived if _is_same(entry, inventory, position) else changed).append(entry)
        elif newest is not None and entry.time < newest:
            late.append(entry)
        else:
            new.append(entry)
    return Plan(tuple(new), tuple(archived), tuple(late), tuple(changed))


class _Run:
    """One look at the service and the archive, and what follows from it."""

    def __init__(self, job: Job) -> None:
        if not re.fullmatch(r"[A-Za-z]+([ _-][A-Za-z]+)*", job.continent):
            raise UsageError(f"{job.continent!r} is no name of a continent", "give a name such as Europe")
        if job.start and job.end and job.start > job.end:
            raise UsageError(
                f"the start {job.start:%Y-%m-%dT%H:%M} is after the end {job.end:%Y-%m-%dT%H:%M}",
                "check --start and --end",
            )
        self.job = job
        self.store = LocalFolder(job.archive)
        self.service = ContinentService(job.api_url, TokenSource(job.token_file))
        check_root(self.store)

    def look(self) -> Plan:
        """Ask the service and read the archive; both must fit each other."""
        job = self.job
        self.inventory = read_inventory(self.store, job.folder)
        start = job.start or (self.inventory.times[0] if self.inventory else None)
        listing = self.service.listing(job.continent, start, job.end)
        # The service knows minutes only.
        entries = tuple(
            entry
            for entry in listing.entries
            if (start is None or entry.time >= start) and (job.end is None or entry.time <= job.end)
        )
        if not entries:
            dates = (("from", start), ("to", job.end))
            span = "".join(f" {word} {date:%Y-%m-%d %H:%M}" for word, date in dates if date)
            raise ServiceError(
                f"the service has no frames of {job.continent}{span}", "check --start and --end"
            )
        self.listing: Listing = replace(listing, entries=entries)
        self.grid = Grid(listing.columns, listing.rows, listing.bbox)
        if self.inventory:
            check_fits(self.inventory, self.grid)
        return plan_frames(entries, self.inventory)

    def append(self, plan: Plan, report: RunReport, progress: Progress | None) -> None:
        """Archive the new frames; whatever ends it, the frames before are committed."""
        appender: Appender | None = None
        pending: list[FrameEntry] = []
        committed_at = monotonic()
        try:
            for done, frame in enumerate(_timed(self.service.frames(self.listing, plan.new), report), 1):
                with report.stage("transform"):
                    packed = pack(frame)
                with report.stage("load"):
                    if appender is None:
                        schema = Schema(self.job.continent, self.grid, frame.bits, self.job.layout)
                        appender = Appender(self.store, self.job.folder, schema)
                    appender.append(packed)
                pending.append(frame.entry)
                if progress:
                    progress(done, len(plan.new))
                if len(pending) >= COMMIT_FRAMES or monotonic() - committed_at >= COMMIT_SECONDS:
                    _commit(appender, pending, report)
                    committed_at = monotonic()
        finally:
            if appender is not None:
                _commit(appender, pending, report)
                report.bytes_out += appender.bytes_written


def _commit(appender: Appender, pending: list[FrameEntry], report: RunReport) -> None:
    if not pending:
        return
    with report.stage("load"):
        appender.commit()
    report.count(pending)
    log.info("committed %d of %d frames, up to %s", report.archived, report.planned, pending[-1])
    pending.clear()


def _timed(frames: Iterator[Frame], report: RunReport) -> Iterator[Frame]:
    while True:
        with report.stage("extract"):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def _is_same(entry: FrameEntry, inventory: Inventory, position: int) -> bool:
    """Whether an archived frame has the number and the scale that the stream gives it now."""
    columns = inventory.columns
    scale = [columns["source_min"][position], columns["source_max"][position]]
    listed = [entry.scale.minimum, entry.scale.maximum]
    return bool(
        columns["frame_number"][position] == entry.number and np.array_equal(scale, listed, equal_nan=True)
    )


def _tell(plan: Plan, report: RunReport) -> None:
    """Put the plan into the report and name what is odd."""
    report.planned = len(plan.new)
    report.skipped = len(plan.archived)
    report.late = [str(entry) for entry in plan.late]
    report.changed = [str(entry) for entry in plan.changed]
    log.info("%s: %d new frames, %d in the archive", report.continent, report.planned, report.skipped)
    for name in report.late:
        log.warning("%s is absent and older than the newest archived frame; it is not archived", name)
    for name in report.changed:
        log.warning("%s has another number or scale in the stream now; the archive keeps the old one", name)
