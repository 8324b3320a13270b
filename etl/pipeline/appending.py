"""Frames into the archive, with a commit now and then."""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from time import monotonic

from etl.extract.frame import Frame, FrameEntry
from etl.load.archive import Appender
from etl.load.frames import Written
from etl.load.inventory import Inventory
from etl.pipeline.job import Run
from etl.pipeline.overlapping import overlapped
from etl.pipeline.telling import errors_logged
from etl.report import RunReport
from etl.signals import deferred

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


def append(
    run: Run,
    frames: Generator[Frame | Archived, None, None],
    open_appender: Callable[[int], Appender],
    share_out: Callable[[Appender], AbstractContextManager[Iterator[Written]]] | None = None,
) -> None:
    """Archive frames; whatever ends it, those before are committed.

    Frames are packed, encoded and written in threads while the next ones are decoded. A signal or the
    deadline ends it between two frames, or while the next one is waited for.

    Args:
        run: the run it belongs to.
        frames: what to append, in the order of the archive.
        open_appender: called with the bit depth of the first frame.
        share_out: has all frames but the first archived elsewhere; they are then not taken from `frames`.
    """
    job, report, progress = run.job, run.report, run.progress
    if progress and report.planned:
        progress(0, report.planned)
    timed = _timed(frames, report)
    first = next(timed, None)
    if first is None:
        return
    appender = open_appender(first.bits)
    begun = _write(appender, first)
    if share_out:
        # The decoder and what it holds are done with.
        frames.close()
        with share_out(appender) as others:
            _commit_all(run, appender, _after(begun, others))
    else:
        writes = (_write(appender, frame) for frame in timed)
        with closing(overlapped(chain([begun], writes), job.threads or 0)) as written:
            _commit_all(run, appender, written)


def _commit_all(run: Run, appender: Appender, written_frames: Iterator[Written]) -> None:
    job, report, progress = run.job, run.report, run.progress
    committing = False
    committed_at = monotonic()
    try:
        for done, written in enumerate(written_frames, 1):
            with deferred():
                appender.add(written)
                report.add(written.seconds)
                if progress:
                    progress(done, report.planned)
                if appender.pending >= job.commit_frames or monotonic() - committed_at >= job.commit_seconds:
                    committing = True
                    _commit(appender, report)
                    committing = False
                    committed_at = monotonic()
    except BaseException:
        if not committing:
            with errors_logged(), deferred():
                _commit(appender, report)
        raise
    with deferred():
        _commit(appender, report)


def _timed(frames: Iterator[Frame | Archived], report: RunReport) -> Iterator[Frame | Archived]:
    while True:
        with report.stage("extract"):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def _after(first: Callable[[], Written], others: Iterator[Written]) -> Iterator[Written]:
    yield first()
    yield from others


def _write(appender: Appender, frame: Frame | Archived) -> Callable[[], Written]:
    """The next frame's place, and what writes its objects there."""
    if isinstance(frame, Archived):
        inventory, there = frame.inventory, frame.position
        place = appender.reserve(frame.entry, (inventory.grid.rows, inventory.grid.columns), frame.bits)
        return partial(appender.writer.take_over, place, inventory, there)
    place = appender.reserve(frame.entry, frame.codes.shape, frame.bits)
    return partial(appender.writer.write, place, frame)


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
