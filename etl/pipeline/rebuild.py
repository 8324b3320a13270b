"""Writing a continent anew beside the archived one, so that late and re-published frames get in.

Frames in the dates asked for come from the service; all others, and those the service no longer lists, are
taken over from the archive. The new group is built by the same commits as any other, so that an interrupted
rebuild goes on where it was; in the end it replaces the archived one at once.
"""

import heapq
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from etl.errors import BusyError, IncompatibleError
from etl.extract.api import Listing
from etl.extract.frame import Frame, FrameEntry
from etl.load.archive import Appender, to_json
from etl.load.generations import (
    check_replaceable,
    drop_side,
    finish_replacing,
    other_keys,
    prepare_replacing,
    side_folder,
)
from etl.load.inventory import Inventory, Key
from etl.load.recovery import recover
from etl.load.schema import Layout, Schema
from etl.pipeline.alignment import StreamChangedError, aligned_frames
from etl.pipeline.appending import Archived, append
from etl.pipeline.asking import grid_of, nothing_listed, plan_of
from etl.pipeline.job import Job, Run
from etl.pipeline.repairing import repair
from etl.pipeline.telling import tell_rebuild
from etl.plan import Plan, plan_frames
from etl.signals import deferred

log = logging.getLogger(__name__)

_SOURCES = "sources.json"
"""In the side folder: which frames are taken over from the archive."""


@dataclass(frozen=True)
class _Task:
    """What a rebuild is made of.

    Attributes:
        listing: what the service lists.
        inventory: what is archived.
        layout: layout of the new group.
        overviews: whether it gets overviews.
        plan: how they compare.
        fresh: frames to read from the service.
        kept: frames to take over from the archive.
        dropped: archived frames to leave out.
    """

    listing: Listing
    inventory: Inventory
    layout: Layout
    overviews: bool
    plan: Plan
    fresh: list[FrameEntry]
    kept: list[FrameEntry]
    dropped: tuple[FrameEntry, ...]


@dataclass(frozen=True)
class Completed:
    """A rebuild that has replaced the archived group now, after an earlier run was interrupted in that.

    Attributes:
        taken_over: time and satellite of the frames that do not come from the service; None where that is
            not known.
    """

    taken_over: set[tuple[str, str]] | None


def complete_replacing(run: Run) -> Completed | None:
    """Let a finished rebuild of an interrupted run replace the archived group; None where there is none.

    Raises:
        StorageError: The storage refuses a read or a write; the next run goes on with it.
    """
    recorded = run.store.get(f"{side_folder(run.folder)}/{_SOURCES}")
    if not finish_replacing(run.store, run.folder):
        return None
    run.report.replaced = run.report.completed = True
    return Completed(_taken_over(recorded))


def rebuild(run: Run, listing: Listing, inventory: Inventory, completed: Completed | None) -> bool:
    """Build the new group, then let it replace the archived one.

    Where readers may still use what that would remove, damaged frames are repaired in place instead.

    Args:
        run: the run it belongs to.
        listing: what the service lists.
        inventory: what is archived.
        completed: the rebuild of an earlier run that this one has completed, if there was one.

    Returns:
        Whether it was built; False where all but new frames is archived as asked for.

    Raises:
        BusyError: The last rebuild is not long ago.
        IncompatibleError: Frames that would be taken over are damaged, or of another grid than the stream.
        ArchiveError: The same errors as `convert`; the archive is as it was then.
    """
    report, task = run.report, _task_of(run.job, listing, inventory)
    report.rebuild = True
    if completed and _is_done(task, completed):
        log.info(
            "that is the rebuild asked for; new frames are appended to it",
            extra={"event": "rebuild_completed"},
        )
        return False
    try:
        check_replaceable(run.store, run.folder)
    except BusyError:
        if not repair(run, listing, inventory, task.plan) or _changes(task):
            raise
        report.rebuild = False
        return False
    report.replaced = report.completed = False
    tell_rebuild(task.plan, report, drops=bool(task.dropped))
    if not task.fresh:
        raise nothing_listed(run.job, inventory)
    if task.kept and grid_of(listing) != inventory.grid:
        raise IncompatibleError(
            f"{len(task.kept)} archived frames, {task.kept[0]} first, would have to be taken over from"
            " another grid",
            "rebuild all dates the service has, or archive the new grid under another --archive",
        )
    begun = _begun(run, task)
    try:
        _build(run, task, begun)
    except StreamChangedError as error:
        if begun is None:
            raise
        _begin_anew(run, error.what)
        _build(run, task, None)
    with run.report.stage("load"):
        prepare_replacing(run.store, run.folder)
        with deferred():
            finish_replacing(run.store, run.folder)
    report.replaced, report.dropped = True, len(task.dropped)
    return True


def _task_of(job: Job, listing: Listing, inventory: Inventory) -> _Task:
    plan = plan_of(job, listing, inventory)
    overviews = inventory.overviews if job.overviews is None else job.overviews
    dropped = plan.withdrawn if job.drop_withdrawn else ()
    layout, (fresh, kept) = job.layout or inventory.layout, sources(job, plan, inventory)
    return _Task(listing, inventory, layout, overviews, plan, fresh, kept, dropped)


def _is_done(task: _Task, completed: Completed) -> bool:
    """Whether a completed rebuild took all that is asked for from the service, not long ago."""
    return (
        bool(task.plan.archived)
        and completed.taken_over is not None
        and completed.taken_over.isdisjoint(_recorded(task.plan.archived))
        and _is_recent(task.inventory)
        and not _changes(task)
    )


def _changes(task: _Task) -> bool:
    """Whether the metadata alone show that a rebuild would change archived frames, or let others in."""
    plan, schema = task.plan, _schema(task, task.inventory.bits)
    frames = (plan.late, plan.republished, plan.renumbered, task.dropped)
    return any(frames) or not _is_alike(task.inventory, schema)


def sources(job: Job, plan: Plan, inventory: Inventory) -> tuple[list[FrameEntry], list[FrameEntry]]:
    """The frames a rebuild takes from the service, and those it takes over from the archive."""
    fresh = sorted((*plan.new, *plan.archived, *plan.late, *plan.republished), key=lambda entry: entry.time)
    gone = set(map(_key, (*fresh, *(plan.withdrawn if job.drop_withdrawn else ()))))
    kept = [entry for entry in map(inventory.entry, range(len(inventory))) if _key(entry) not in gone]
    return fresh, kept


def _begun(run: Run, task: _Task) -> Inventory | None:
    """What an earlier rebuild has done of this one already; what does not fit is removed."""
    store, side = run.store, side_folder(run.folder)
    try:
        begun = recover(store, side)
    except IncompatibleError as error:
        _begin_anew(run, error.what)
        return None
    if begun is not None and _fits(begun, task, store.get(f"{side}/{_SOURCES}")):
        return begun
    if begun is not None:
        _begin_anew(run, "the rebuild that was begun before does not fit any more")
    elif store.exists(side):
        drop_side(store, run.folder)
    return None


def _begin_anew(run: Run, why: str) -> None:
    log.warning("%s; beginning anew", why, extra={"event": "rebuild_begun_anew"})
    drop_side(run.store, run.folder)


_RESUMED = timedelta(days=1)
"""A rebuild that has stood still for longer begins anew: the service may show other frames by now."""


def _is_recent(rebuilt: Inventory) -> bool:
    newest = int(rebuilt.columns["archived_at"].max())
    return datetime.now(UTC).timestamp() - newest <= _RESUMED.total_seconds()


def _is_alike(inventory: Inventory, schema: Schema) -> bool:
    """Whether a group looks as it should, but for the keys of its chunks."""
    found = (inventory.layout, inventory.grid, inventory.factors)
    return found == (schema.layout, schema.grid, schema.factors)


def _taken_over(recorded: bytes | None) -> set[tuple[str, str]] | None:
    """The frames that a rebuild takes over from the archive; None where that is not recorded."""
    try:
        return {(time, satellite) for time, satellite in json.loads(recorded or b"")["kept"]}
    except (ValueError, LookupError, TypeError):
        return None


def _fits(begun: Inventory, task: _Task, recorded: bytes | None) -> bool:
    """Whether what was rebuilt before is the beginning of what is to be rebuilt, from the same sources."""
    schema, taken_over = _schema(task, begun.bits), _taken_over(recorded)
    if not _is_recent(begun) or begun.keys != schema.keys or not _is_alike(begun, schema):
        return False
    if taken_over is None:
        return False
    now = set(_recorded(task.kept))
    if any((key in taken_over) != (key in now) for key in _recorded(map(begun.entry, range(len(begun))))):
        return False
    plan = plan_frames([*task.fresh, *task.kept], begun)
    return not (plan.late or plan.republished or plan.renumbered or plan.withdrawn)


def _build(run: Run, task: _Task, begun: Inventory | None) -> None:
    """Bring the side group up to the last frame."""
    store, report, inventory = run.store, run.report, task.inventory
    side = side_folder(run.folder)
    # Of a rebuild that goes on as well: its frames to come may be others than those recorded.
    store.put(f"{side}/{_SOURCES}", to_json({"kept": sorted(_recorded(task.kept))}))
    plan = plan_frames([*task.fresh, *task.kept], begun)
    report.planned, report.skipped = len(plan.new), len(plan.archived)
    report.taken_over = len(task.kept)
    fields = {
        "frames": len(plan.new) + len(plan.archived),
        "rebuilt": len(plan.archived),
        "taken_over": len(task.kept),
    }
    log.info(
        "rebuilding %s: %d frames, %d of them rebuilt before, %d taken over from the archive",
        report.continent,
        *fields.values(),
        extra={"event": "rebuild_started", "fields": fields},
    )

    def open_appender(bits: int) -> Appender:
        if task.kept and bits != inventory.bits:
            raise IncompatibleError(
                f"the stream has {bits} bits now, and {len(task.kept)} frames would have to be taken over"
                f" from {inventory.bits}-bit video",
                "rebuild all dates the service has, or archive the new stream under another --archive",
            )
        if begun is not None and begun.bits != bits:
            raise StreamChangedError(f"the stream has {bits} bits now, {begun.bits} before", "run it again")
        return Appender(store, side, _schema(task, bits))

    def on_changed(entry: FrameEntry) -> None:
        raise StreamChangedError(f"{entry} shows another picture since the rebuild was begun", "run it again")

    listed = set(map(_key, task.fresh))
    from_service = Plan(
        new=tuple(entry for entry in plan.new if _key(entry) in listed),
        archived=tuple(entry for entry in plan.archived if _key(entry) in listed),
    )
    from_archive = [entry for entry in plan.new if _key(entry) not in listed]
    with closing(aligned_frames(run.service, task.listing, from_service, begun, on_changed)) as frames:
        new: Iterator[Frame | Archived] = frames
        both = heapq.merge(new, _archived(inventory, from_archive), key=_order)
        append(run, both, open_appender)


def _schema(task: _Task, bits: int) -> Schema:
    """What the new group looks like."""
    grid, keys = grid_of(task.listing), other_keys(task.inventory.keys)
    return Schema(task.inventory.continent, grid, bits, task.layout, keys, task.overviews)


def _archived(inventory: Inventory, entries: list[FrameEntry]) -> Iterator[Archived]:
    for entry in entries:
        yield Archived(entry, inventory, inventory.index[_key(entry)])


def _recorded(entries: Iterable[FrameEntry]) -> Iterator[tuple[str, str]]:
    return ((entry.time.isoformat(), entry.satellite) for entry in entries)


def _key(entry: FrameEntry) -> Key:
    return entry.time, entry.satellite


def _order(frame: Frame | Archived) -> tuple[datetime, int]:
    return frame.entry.time, frame.entry.number
