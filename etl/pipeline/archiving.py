"""A run: from the listing to the catalog and the report."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from functools import partial

from etl.catalog.publish import publish
from etl.errors import ArchiveError, BusyError, DeadlineError, UsageError
from etl.extract.api import Listing
from etl.extract.frame import FrameEntry
from etl.load.archive import Appender, check_fits
from etl.load.frames import Written
from etl.load.inventory import Inventory, read_inventory
from etl.load.recovery import recover
from etl.load.runs import keep_run
from etl.load.schema import Schema
from etl.load.stores import Store
from etl.pipeline.alignment import aligned_frames
from etl.pipeline.appending import append
from etl.pipeline.asking import ask, grid_of, plan_of
from etl.pipeline.job import Job, Run, place, service_of
from etl.pipeline.optimizing import Optimization, SeriesReport, extend
from etl.pipeline.rebuild import complete_replacing, rebuild
from etl.pipeline.telling import errors_logged, tell, tell_age, tell_odd
from etl.report import Progress, RunReport, of_items
from etl.signals import Interrupted, deferred

log = logging.getLogger(__name__)


def convert(job: Job, report: RunReport | None = None, progress: Progress | None = None) -> RunReport:
    """Archive what is new: run it again and it appends what has come since.

    Args:
        job: what to archive, and where.
        report: filled while the run goes on, so that it tells what was done even if the run fails.
        progress: called once the number of new frames is known, and after each of them.

    Returns:
        The report; it is kept in the archive as well.

    Raises:
        UsageError: The job makes no sense.
        LoginError: The service refuses the login or the token.
        ServiceError: The service or its stream fails; the frames before are archived.
        BusyError: Another process is writing to this continent's archive.
        IncompatibleError: The archive is damaged, something else, or of another grid.
        StorageError: The storage refuses to be read or written.
    """
    report = report or RunReport(job.continent, job.archive)
    store: Store | None = None
    folder = ""
    try:
        store, folder = place(job)
        log.info("%s: run started", job.continent, extra={"event": "run_started"})
        with closing(service_of(job)) as service:
            try:
                _archive(Run(job, service, store, folder, report, progress))
            finally:
                report.bytes_in += service.bytes_received
                report.retries += service.retries
        report.exit_code = 0
    except BaseException as error:
        report.error = str(error) or type(error).__name__
        report.exit_code = error.exit_code if isinstance(error, ArchiveError | Interrupted) else 1
        raise
    finally:
        report.finished = datetime.now(UTC)
        with errors_logged(), deferred():
            did_nothing = report.exit_code in (UsageError.exit_code, BusyError.exit_code)
            if store is not None and (report.replaced or report.repaired or not did_nothing):
                _keep(job, store, folder, report)
    return report


def _archive(run: Run) -> None:
    job, report, store, folder = run.job, run.report, run.store, run.folder
    known = read_inventory(store, folder)
    _check_name(run, known)
    if known is None:
        # A login that is refused leaves no folder behind.
        with report.stage("extract"):
            ask(job, run.service, None)
    with store.lease(folder, job.wait):
        with deferred():
            completed = complete_replacing(run)
            inventory = recover(store, folder)
        _check_name(run, inventory)
        try:
            # Frames that another run has committed meanwhile would count as withdrawn in an earlier listing.
            with report.stage("extract"):
                listing = ask(job, run.service, inventory)
            if not (job.rebuild and inventory and rebuild(run, listing, inventory, completed)):
                _append_new(run, listing, inventory)
            if job.optimize:
                _optimize(run)
        except BaseException as error:
            if completed or report.repaired or _is_visible(report):
                with errors_logged():
                    _publish(run, at_end=isinstance(error, Interrupted | DeadlineError))
            raise
        if report.archived or inventory:
            _publish(run)


def _check_name(run: Run, inventory: Inventory | None) -> None:
    if inventory and inventory.continent != run.job.continent:
        raise UsageError(
            f"{run.store.location(run.folder)} holds {inventory.continent}, not {run.job.continent}",
            f"call it {inventory.continent}, or name another --archive",
        )


def _is_visible(report: RunReport) -> bool:
    """Whether the frames that were committed are in the archive, not in an unfinished rebuild."""
    return bool(report.archived or report.optimised) and (report.replaced or not report.rebuild)


def _append_new(run: Run, listing: Listing, inventory: Inventory | None) -> None:
    job, report = run.job, run.report
    grid = grid_of(listing)
    if inventory:
        check_fits(inventory, grid)
    if inventory and job.layout not in (None, inventory.layout):
        fields = {"layout": inventory.layout}
        log.warning(
            "the archive's layout is %s and stays so",
            inventory.layout,
            extra={"event": "layout_kept", "fields": fields},
        )
    if inventory and not inventory.overviews:
        log.info(
            "the archive has no overviews and goes on without; --rebuild --overviews adds them",
            extra={"event": "overviews_kept", "fields": {"overviews": False}},
        )
    elif inventory and job.overviews is False and inventory.factors:
        log.warning(
            "the archive has overviews and goes on with them; --rebuild --no-overviews drops them",
            extra={"event": "overviews_kept", "fields": {"overviews": True}},
        )
    plan = plan_of(job, listing, inventory)
    tell(plan, inventory, report)

    def open_appender(bits: int) -> Appender:
        keys = inventory.keys if inventory else "default"
        overviews = job.overviews is not False
        schema = Schema(job.continent, grid, bits, job.layout or "sharded", keys, overviews)
        return Appender(run.store, run.folder, schema)

    def on_changed(entry: FrameEntry) -> None:
        tell_odd("republished", [entry], report)

    with closing(aligned_frames(run.service, listing, plan, inventory, on_changed)) as frames:
        append(run, frames, open_appender, _sharing(run, listing, plan.new[1:]))


def _sharing(
    run: Run, listing: Listing, entries: tuple[FrameEntry, ...]
) -> Callable[[Appender], AbstractContextManager[Iterator[Written]]] | None:
    """What archives frames by many workers, if that is asked for and there is something to share."""
    if not (run.job.workers or run.job.scheduler):
        return None
    # A second of start-up that most runs do not need, and an extra of the package.
    from etl.pipeline.sharing import is_worth_sharing, shared_out  # noqa: PLC0415

    return partial(shared_out, run, listing, entries) if is_worth_sharing(len(entries)) else None


def _optimize(run: Run) -> None:
    job, report = run.job, run.report
    inventory = read_inventory(run.store, run.folder)
    if inventory is None:
        return
    figures = SeriesReport(job.continent, job.archive)
    try:
        with report.stage("optimize"):
            extend(inventory, Optimization(job.continent, job.archive, threads=job.threads or 0), figures)
    finally:
        report.optimised = figures.optimised
        report.bytes_out += figures.bytes_out


def _publish(run: Run, *, at_end: bool = False) -> None:
    job = run.job
    with run.report.stage("catalog"):
        told = of_items(run.progress)
        run.report.bytes_out += publish(
            run.store, run.folder, job.templates, job.choices, told, at_end=at_end
        )


def _keep(job: Job, store: Store, folder: str, report: RunReport) -> None:
    """Keep the report in the archive, if there is one."""
    inventory = read_inventory(store, folder)
    if inventory:
        tell_age(inventory.times[-1], job.stale_after, report)
        keep_run(store, folder, report.to_json(), report.started)
