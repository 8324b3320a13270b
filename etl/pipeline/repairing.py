"""Writing damaged frames again in place, with exactly the values they were archived with.

Readers see nothing of it but frames that can be read again, so it need not wait for them as a rebuild must.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress

from etl.errors import IncompatibleError, LostError
from etl.extract.api import Listing
from etl.extract.frame import FrameEntry
from etl.load.encoding import frame_keys
from etl.load.frames import FrameWriter
from etl.load.inventory import Inventory
from etl.load.levels import arrays_of_frames
from etl.load.recovery import has_overviews_of
from etl.load.verify.chunks import fault_of_object, fault_of_shard, index_length
from etl.pipeline.job import Run
from etl.plan import Plan
from etl.signals import deferred
from etl.transform.packing import PackedFrame, pack

log = logging.getLogger(__name__)


def repair(run: Run, listing: Listing, inventory: Inventory, plan: Plan) -> bool:
    """Write the damaged frames in a plan's dates again.

    Where the overviews alone are damaged they are made of the archived frame; otherwise the frame comes from
    the service, if its stream still shows what was archived.

    Args:
        run: the run it belongs to.
        listing: what the service lists.
        inventory: what is archived.
        plan: how they compare.

    Returns:
        Whether there were damaged frames, and all of them are repaired.

    Raises:
        ServiceError: The service or its stream fails.
        StorageError: The storage refuses a read or a write.
    """
    report, index = run.report, inventory.index
    listed = {index[entry.time, entry.satellite]: entry for entry in plan.archived}
    others = {index[entry.time, entry.satellite] for entry in (*plan.republished, *plan.withdrawn)}
    count = len(listed) + len(others)
    log.warning(
        "a rebuild has to wait for readers; damaged frames among %d are looked for and repaired in place;"
        " --start and --end narrow that",
        count,
        extra={"event": "damage_looked_for", "fields": {"frames": count}},
    )
    with report.stage("load"):
        damaged = [position for position in sorted({*listed, *others}) if not _is_whole(inventory, position)]
    if not damaged:
        return False
    writer = FrameWriter(run.store, inventory.group_key, arrays_of_frames(inventory.documents))
    for position, frame in _as_archived(run, listing, inventory, damaged, listed):
        entry = inventory.entry(position)
        if frame is None:
            log.warning(
                "%s is damaged, and the service does not show it as it was archived: it is not repaired",
                entry,
                extra={"event": "frame_not_repaired", "fields": {"frame": str(entry)}},
            )
            continue
        with deferred(), report.stage("load"):
            report.bytes_out += writer.put(position, frame).size
            report.repaired.append(str(entry))
        log.info(
            "%s was damaged and is repaired",
            entry,
            extra={"event": "frame_repaired", "fields": {"frame": str(entry)}},
        )
    return len(report.repaired) == len(damaged)


def _as_archived(
    run: Run,
    listing: Listing,
    inventory: Inventory,
    positions: Sequence[int],
    listed: Mapping[int, FrameEntry],
) -> Iterator[tuple[int, PackedFrame | None]]:
    """Positions and frames, each with the committed values; None where these cannot be had."""
    lost: list[int] = []
    for position in positions:
        try:
            yield position, _archived(inventory, position)
        except IncompatibleError:
            lost.append(position)
    for position in lost:
        frame = None
        if position in listed:
            # One that the stream has no more does not keep the others from being repaired.
            with (
                suppress(LostError),
                run.report.stage("extract"),
                closing(run.service.frames(listing, [listed[position]])) as frames,
            ):
                frame = pack(next(frames))
        yield position, frame if frame and _is_same(frame, inventory, position) else None


def _archived(inventory: Inventory, position: int) -> PackedFrame:
    entry, columns = inventory.entry(position), inventory.columns
    names = ("valid_fraction", "ndvi_mean", "checksum")
    share, mean, checksum = (columns[name][position].item() for name in names)
    return PackedFrame(entry, inventory.frame(position), inventory.bits, share, mean, checksum)


def _is_same(frame: PackedFrame, inventory: Inventory, position: int) -> bool:
    shape = (inventory.grid.rows, inventory.grid.columns)
    return frame.values.shape == shape and frame.checksum == int(inventory.columns["checksum"][position])


def _is_whole(inventory: Inventory, position: int) -> bool:
    """Whether a frame and its overviews have all their objects, and the committed values."""
    if not all(_has_objects(inventory, name, position) for name in arrays_of_frames(inventory.documents)):
        return False
    try:
        return has_overviews_of(inventory, position, inventory.frame(position))
    except IncompatibleError:
        return False


def _has_objects(inventory: Inventory, name: str, position: int) -> bool:
    """Whether the objects of an array's frame are there, none of them missing or cut off."""
    array = inventory.array(name)
    for key in frame_keys(inventory.documents[name], position):
        data = inventory.store.get(f"{inventory.group_key}/{name}/{key}")
        if data is None:
            return False
        if array.shards and fault_of_shard(array, len(data), data[-index_length(array) :]):
            return False
        if fault_of_object(array, data):
            return False
    return True
