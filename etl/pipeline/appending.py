"""Frames into the archive, with a commit now and then."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic

from etl.extract.frame import Frame, FrameEntry
from etl.load.archive import Appender
from etl.load.inventory import Inventory
from etl.pipeline.job import Run
from etl.pipeline.telling import errors_logged
from etl.report import RunReport
from etl.signals import deferred
from etl.transform.packing import PackedFrame, pack

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Archived:
    """A frame that is archived in another group, and is to be taken over as it is.

    Attributes:
        entry: number, time, satellite and scale.
        inventory: that group.
        position: its position there.
    """

    entry: FrameEntry
    inventory: Inventory
    position: int

    @property
    def bits(self) -> int:
        """Bit depth of the codes its values were made from."""
        return self.inventory.bits


def packed(frames: Iterator[Frame], report: RunReport) -> Iterator[PackedFrame]:
    """Frames as they are stored, the time of each stage put into the report."""
    while True:
        with report.stage("extract"):
            frame = next(frames, None)
        if frame is None:
            return
        with report.stage("transform"):
            packed_frame = pack(frame)
        yield packed_frame


def append(
    run: Run, frames: Iterable[PackedFrame | Archived], open_appender: Callable[[int], Appender]
) -> None:
    """Archive frames; whatever ends it, those before are committed.

    A signal or the deadline ends it between two frames, or while the next one is waited for.

    Args:
        run: the run it belongs to.
        frames: what to append, in the order of the archive.
        open_appender: called with the bit depth of the first frame.
    """
    job, report, progress = run.job, run.report, run.progress
    appender: Appender | None = None
    committing = False
    committed_at = monotonic()
    if progress and report.planned:
        progress(0, report.planned)
    try:
        for done, frame in enumerate(frames, 1):
            with deferred():
                with report.stage("load"):
                    appender = appender or open_appender(frame.bits)
                    if isinstance(frame, Archived):
                        appender.take_over(frame.inventory, frame.position)
                    else:
                        appender.append(frame)
                if progress:
                    progress(done, report.planned)
                if appender.pending >= job.commit_frames or monotonic() - committed_at >= job.commit_seconds:
                    committing = True
                    _commit(appender, report)
                    committing = False
                    committed_at = monotonic()
    except BaseException:
        if appender and not committing:
            with errors_logged(), deferred():
                _commit(appender, report)
        raise
    if appender:
        with deferred():
            _commit(appender, report)


def _commit(appender: Appender, report: RunReport) -> None:
    try:
        with report.stage("load"):
            entries = appender.commit()
    finally:
        report.bytes_out = appender.bytes_written
    if entries:
        report.count(entries)
        log.info(
            "committed %d of %d frames, up to %s",
            report.archived,
            report.planned,
            entries[-1],
            extra={
                "event": "frames_committed",
                "fields": {
                    "frames": len(entries),
                    "archived": report.archived,
                    "planned": report.planned,
                    "newest": entries[-1].time.isoformat(),
                },
            },
        )
