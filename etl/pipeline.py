"""From the service to the archive: plan which frames are new, then archive them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from time import monotonic

from etl.catalog.publish import publish
from etl.errors import ArchiveError, ServiceError, UsageError
from etl.extract.api import DEFAULT_API_URL, Listing
from etl.extract.auth import TokenSource
from etl.extract.frame import Frame
from etl.extract.service import ContinentService
from etl.load.archive import Appender, check_fits
from etl.load.inventory import Inventory, check_root, folder_of, read_inventory
from etl.load.lease import lease
from etl.load.schema import Layout, Schema
from etl.load.stores import LocalFolder, open_store
from etl.plan import Plan, plan_frames
from etl.report import Progress, RunReport
from etl.transform.grid import Grid
from etl.transform.packing import pack

log = logging.getLogger(__name__)

COMMIT_FRAMES = 64
COMMIT_SECONDS = 60.0
"""A commit is made after so many frames or seconds, whichever comes first."""

_MOST_NAMED = 10
"""Odd frames of a kind that are named in the log."""


@dataclass(frozen=True)
class Job:
    """What to archive, and where.

    Attributes:
        continent: the name by which the service knows the continent.
        archive: address of the archive: a folder.
        start: first time, UTC; None is the first archived frame, or in a new archive the first there is.
        end: last time, UTC; None is the newest frame there is.
        api_url: address of the service's API.
        token_file: file with an access token; None is the environment or a login.
        layout: layout of a new archive; None is `sharded`, or that of the archive there is.
    """

    continent: str
    archive: str
    start: datetime | None = None
    end: datetime | None = None
    api_url: str = DEFAULT_API_URL
    token_file: Path | None = None
    layout: Layout | None = None


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
    store, folder = _place(job)
    inventory = read_inventory(store, folder)
    with closing(_service(job)) as service:
        listing = _listing(job, service, inventory)
    grid = _grid(listing)
    if inventory:
        check_fits(inventory, grid)
    plan = plan_frames(listing.entries, inventory)
    # Real NDVI takes about a byte a pixel in this format; clouds, sea and noise change it much.
    per_frame = float(grid.rows * grid.columns)
    if inventory:
        per_frame = store.size(f"{inventory.group_key}/ndvi") / len(inventory)
    return Preview(plan, grid, round(per_frame * len(plan.new)))


def convert(job: Job, report: RunReport | None = None, progress: Progress | None = None) -> RunReport:
    """Archive what is new: run it again and it appends what has come since.

    Args:
        job: what to archive, and where.
        report: filled while the run goes on, so that it tells what was done even if the run fails.
        progress: called once the number of new frames is known, and after each of them.

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
    report = report or RunReport(job.continent, job.archive)
    store, folder = _place(job)
    with closing(_service(job)) as service:
        with report.stage("extract"):
            listing = _listing(job, service, read_inventory(store, folder))
        grid = _grid(listing)
        with lease(store, folder):
            store.clear_partial(folder)
            inventory = read_inventory(store, folder)
            if inventory:
                check_fits(inventory, grid)
            plan = plan_frames(listing.entries, inventory)
            _tell(plan, inventory, report)
            if inventory and job.layout not in (None, inventory.layout):
                log.warning("the archive's layout is %s and stays so", inventory.layout)

            def open_appender(bits: int) -> Appender:
                return Appender(store, folder, Schema(job.continent, grid, bits, job.layout or "sharded"))

            try:
                with closing(service.frames(listing, plan.new)) as frames:
                    _append(frames, open_appender, report, progress)
            except BaseException:
                if report.archived:
                    with _errors_logged(), report.stage("catalog"):
                        report.bytes_out += publish(store, folder)
                raise
            finally:
                report.bytes_in = service.bytes_received
            if report.archived or inventory:
                with report.stage("catalog"):
                    report.bytes_out += publish(store, folder)
    return report


def _place(job: Job) -> tuple[LocalFolder, str]:
    """The storage and the continent's folder in it."""
    folder = folder_of(job.continent)
    if job.start and job.end and job.start > job.end:
        raise UsageError(
            f"the start {job.start:%Y-%m-%dT%H:%M} is after the end {job.end:%Y-%m-%dT%H:%M}",
            "check --start and --end",
        )
    store = open_store(job.archive)
    check_root(store)
    return store, folder


def _service(job: Job) -> ContinentService:
    return ContinentService(job.api_url, TokenSource(job.token_file))


def _listing(job: Job, service: ContinentService, inventory: Inventory | None) -> Listing:
    """The frames the service has in the dates asked for, to the second."""
    start = job.start or (inventory.times[0] if inventory else None)
    listing = service.listing(job.continent, start, job.end)
    entries = tuple(
        entry
        for entry in listing.entries
        if (start is None or entry.time >= start) and (job.end is None or entry.time <= job.end)
    )
    if not entries:
        dates = (("from", start), ("to", job.end))
        span = "".join(f" {word} {date:%Y-%m-%d %H:%M}" for word, date in dates if date)
        raise ServiceError(f"the service has no frames of {job.continent}{span}", "check --start and --end")
    return replace(listing, entries=entries)


def _grid(listing: Listing) -> Grid:
    return Grid(listing.columns, listing.rows, listing.bbox)


def _append(
    frames: Iterator[Frame],
    open_appender: Callable[[int], Appender],
    report: RunReport,
    progress: Progress | None,
) -> None:
    """Archive frames; whatever ends it, those before are committed."""
    appender: Appender | None = None
    committed_at = monotonic()
    if progress and report.planned:
        progress(0, report.planned)
    try:
        for done, frame in enumerate(_timed(frames, report), 1):
            with report.stage("transform"):
                packed = pack(frame)
            with report.stage("load"):
                appender = appender or open_appender(frame.bits)
                appender.append(packed)
            if progress:
                progress(done, report.planned)
            if appender.pending >= COMMIT_FRAMES or monotonic() - committed_at >= COMMIT_SECONDS:
                _commit(appender, report)
                committed_at = monotonic()
    except BaseException:
        if appender:
            with _errors_logged():
                _commit(appender, report)
        raise
    if appender:
        _commit(appender, report)


def _commit(appender: Appender, report: RunReport) -> None:
    try:
        with report.stage("load"):
            entries = appender.commit()
    finally:
        report.bytes_out = appender.bytes_written
    if entries:
        report.count(entries)
        log.info("committed %d of %d frames, up to %s", report.archived, report.planned, entries[-1])


@contextmanager
def _errors_logged() -> Iterator[None]:
    """Log an error instead of raising it: an earlier one is on its way to the user."""
    try:
        yield
    except ArchiveError as error:
        log.warning("%s", error)


def _timed(frames: Iterator[Frame], report: RunReport) -> Iterator[Frame]:
    while True:
        with report.stage("extract"):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def _tell(plan: Plan, inventory: Inventory | None, report: RunReport) -> None:
    """Put the plan into the report and name what is odd."""
    report.planned = len(plan.new)
    report.skipped = len(plan.archived)
    report.late = [str(entry) for entry in plan.late]
    report.changed = [str(entry) for entry in plan.changed]
    log.info("%s: %d new frames, %d archived already", report.continent, report.planned, report.skipped)
    earlier = [entry for entry in plan.late if inventory and entry.time < inventory.times[0]]
    if earlier:
        log.warning(
            "%d frames are older than the archive's first and cannot be added; they need another --archive",
            len(earlier),
        )
    oddities = (
        (report.late[len(earlier) :], "absent and older than the newest archived frame, so not archived"),
        (report.changed, "archived with another number or scale than in the stream now, and kept"),
    )
    for names, what in oddities:
        for name in names[:_MOST_NAMED]:
            log.warning("%s is %s", name, what)
        if names[_MOST_NAMED:]:
            log.warning("%d more frames are %s; the report names them", len(names) - _MOST_NAMED, what)
