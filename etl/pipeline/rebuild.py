"""Writing a continent anew beside the archived one, so that late and re-published frames get in.

Frames in the dates asked for come from the service; all others, and those the service no longer lists, are
taken over from the archive. The new group is built by the same commits as any other, so that an interrupted
rebuild goes on where it was; in the end it replaces the archived one at once.
"""

import heapq
import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

from etl.errors import IncompatibleError
from etl.extract.api import Listing
from etl.extract.frame import FrameEntry
from etl.load.archive import Appender
from etl.load.generations import other_keys, replace_group, side_folder
from etl.load.inventory import Inventory, Key
from etl.load.recovery import recover
from etl.load.schema import Schema
from etl.pipeline.appending import append, packed
from etl.pipeline.asking import grid_of, plan_of
from etl.pipeline.job import Run
from etl.pipeline.telling import tell_odd
from etl.plan import Plan, plan_frames
from etl.signals import deferred
from etl.transform.packing import PackedFrame, crc32c

log = logging.getLogger(__name__)


def rebuild(run: Run, listing: Listing, inventory: Inventory) -> None:
    """Build the new group, then let it replace the archived one.

    Raises:
        IncompatibleError: Frames that would be taken over are damaged, or of another grid than the stream.
        ArchiveError: The same errors as `convert`; the archive is as it was then.
    """
    job, store, folder, report = run.job, run.store, run.folder, run.report
    plan = plan_of(job, listing, inventory)
    tell_odd("duplicates", list(plan.duplicates), report)
    tell_odd("withdrawn", list(plan.withdrawn), report)
    fresh, kept = sources(plan, inventory)
    listed = set(map(_key, fresh))
    grid = grid_of(listing)
    if kept and grid != inventory.grid:
        raise IncompatibleError(
            f"{len(kept)} archived frames, {kept[0]} first, would have to be taken over from another grid",
            "rebuild all dates the service has, or archive the new grid under another --archive",
        )

    side = side_folder(folder)
    begun = recover(store, side)
    following = plan_frames([*fresh, *kept], begun)
    if begun and (begun.grid != grid or not _goes_on(following)):
        log.info(
            "the rebuild that was begun before does not fit any more; beginning anew",
            extra={"event": "rebuild_begun_anew"},
        )
        store.delete(side)
        following = plan_frames([*fresh, *kept], None)
    report.planned, report.skipped = len(following.new), len(following.archived)
    log.info(
        "rebuilding %s: %d frames, %d of them rebuilt before, %d taken over from the archive",
        report.continent,
        report.planned + report.skipped,
        report.skipped,
        len(kept),
        extra={
            "event": "rebuild_started",
            "fields": {
                "frames": report.planned + report.skipped,
                "rebuilt": report.skipped,
                "taken_over": len(kept),
            },
        },
    )
    layout = job.layout or inventory.layout

    def open_appender(bits: int) -> Appender:
        schema = Schema(job.continent, grid, bits, layout, other_keys(inventory.keys))
        return Appender(store, side, schema)

    from_service = [entry for entry in following.new if _key(entry) in listed]
    from_archive = [entry for entry in following.new if _key(entry) not in listed]
    with closing(run.service.frames(listing, from_service)) as frames:
        both = heapq.merge(packed(frames, report), _archived(inventory, from_archive), key=_order)
        append(run, both, open_appender)
    with deferred(), report.stage("load"):
        replace_group(store, folder)
    report.replaced = True


def sources(plan: Plan, inventory: Inventory) -> tuple[list[FrameEntry], list[FrameEntry]]:
    """The frames a rebuild takes from the service, and those it takes over from the archive."""
    fresh = sorted((*plan.new, *plan.archived, *plan.late, *plan.republished), key=lambda entry: entry.time)
    listed = set(map(_key, fresh))
    kept = [entry for entry in map(inventory.entry, range(len(inventory))) if _key(entry) not in listed]
    return fresh, kept


def _goes_on(plan: Plan) -> bool:
    """Whether what was rebuilt before is the beginning of what is to be rebuilt now."""
    return not (plan.late or plan.republished or plan.renumbered or plan.withdrawn)


def _archived(inventory: Inventory, entries: list[FrameEntry]) -> Iterator[PackedFrame]:
    """Frames as they are in the archive, checked."""
    columns = inventory.columns
    for entry in entries:
        position = inventory.index[_key(entry)]
        values = inventory.frame(position)
        checksum = int(columns["checksum"][position])
        if crc32c(values) != checksum:
            raise IncompatibleError(
                f"{entry} in {inventory.store.location(inventory.group_key)} is damaged",
                "restore its object from a copy",
            )
        fraction, mean = (float(columns[name][position]) for name in ("valid_fraction", "ndvi_mean"))
        yield PackedFrame(entry, values, inventory.bits, fraction, mean, checksum)


def _key(entry: FrameEntry) -> Key:
    return entry.time, entry.satellite


def _order(frame: PackedFrame) -> tuple[datetime, int]:
    return frame.entry.time, frame.entry.number
