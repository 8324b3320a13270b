"""Frames shared out among many workers: who gets which, and where each frame belongs."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from etl.extract.api import Listing
from etl.extract.frame import FrameEntry
from etl.load.archive import Appender
from etl.load.frames import Written
from etl.pipeline.job import Run
from etl.pipeline.share import Share, cut
from etl.pipeline.workers import cluster, threads_each

_SHARES_EACH = 4
"""Shares a worker gets at least, where there are frames enough: so that all end at about the same time."""

_FEWEST, _MOST = 8, 64
"""Frames a share has, about: few cost seeking, many are lost with a worker."""


def share_out(
    run: Run, listing: Listing, entries: tuple[FrameEntry, ...], appender: Appender
) -> Generator[Written, None, None]:
    """Let many workers write frames behind the others, and yield the frames in order.

    Args:
        run: the run it belongs to; its job says how many workers there are, and where.
        listing: what the service lists.
        entries: the frames.
        appender: keeps their positions.

    Raises:
        UsageError: There are no workers to be had.
        ArchiveError: A frame could not be archived; all before it were yielded.
    """
    job, report = run.job, run.report
    # Workers replace nothing, so what an interrupted run has left is cleared away for them.
    appender.writer.clear(appender.next_position)

    def renew(to_come: tuple[FrameEntry, ...]) -> str:
        return run.service.stream_url(listing, to_come)

    with cluster(job.workers, job.scheduler) as workers:
        shares = _shares(run, listing, entries, appender, workers.count)
        try:
            with closing(workers.written(shares, renew)) as written:
                yield from written
        finally:
            report.bytes_in += workers.bytes_in
            report.retries += workers.retries


def _shares(
    run: Run, listing: Listing, entries: tuple[FrameEntry, ...], appender: Appender, workers: int
) -> Iterator[Share]:
    """The shares, in the order of the archive; their positions are reserved as they are given out."""
    job = run.job
    archive = run.store.location("")
    if "://" not in archive:
        # The workers may be in another folder.
        archive = str(Path(archive).absolute())
    video = run.service.video(listing)
    size = min(max(-(-len(entries) // (_SHARES_EACH * workers)), _FEWEST), _MOST)
    shape = listing.rows, listing.columns
    bare = replace(listing, entries=())
    for part in cut(entries, size, video.key_frame_before):
        positions = [appender.reserve(entry, shape, appender.schema.bits) for entry in part]
        yield Share(
            archive=archive,
            group=appender.writer.group,
            document=appender.writer.document,
            first=positions[0],
            entries=tuple(part),
            bits=appender.schema.bits,
            threads=threads_each(job.workers if not job.scheduler else None, job.threads),
            listing=bare,
        )
