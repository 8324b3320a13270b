"""Frames shared out among many workers: who gets which, and where each frame belongs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from etl.extract.api import Listing
from etl.extract.frame import FrameEntry
from etl.load.archive import Appender
from etl.load.frames import Written
from etl.load.holder import LEASE, name_of
from etl.pipeline.cluster import cluster, threads_each
from etl.pipeline.job import Run
from etl.pipeline.overlapping import MOST_UNASKED
from etl.pipeline.share import Share, cut

_SHARES_EACH = 4
"""Shares a worker gets at least, where there are frames enough: so that all end at about the same time."""

_FEWEST, _MOST = 8, 64
"""Frames a share has, about: few cost seeking, many are lost with a worker."""


def is_worth_sharing(frames: int) -> bool:
    """Whether there are more frames than one worker would get anyway."""
    return frames > _FEWEST


@contextmanager
def shared_out(
    run: Run, listing: Listing, entries: tuple[FrameEntry, ...], appender: Appender
) -> Iterator[Iterator[Written]]:
    """Have many workers write frames behind the others.

    Args:
        run: the run it belongs to; its job says how many workers there are, and where.
        listing: what the service lists.
        entries: the frames.
        appender: keeps their positions.

    Yields:
        The frames in order; it raises `ArchiveError` where one could not be archived, after all before it.

    Raises:
        UsageError: There are no workers to be had.
    """
    job, report = run.job, run.report
    with cluster(job.workers, job.scheduler) as workers:
        # They replace nothing, so what an interrupted run has left is cleared away for them.
        first = appender.next_position
        appender.writer.clear(range(first, first + len(entries)))
        size = min(max(-(-len(entries) // (_SHARES_EACH * workers.count)), _FEWEST), _MOST)
        shares = _shares(run, listing, entries, appender, size)

        def renew() -> str:
            return run.service.stream_url(listing, entries)

        try:
            with closing(workers.written(shares, listing.stream_url, renew)) as written:
                yield written
        finally:
            report.bytes_in += workers.bytes_in
            report.retries += workers.retries


def _shares(
    run: Run, listing: Listing, entries: tuple[FrameEntry, ...], appender: Appender, size: int
) -> Iterator[Share]:
    """The shares, in the order of the archive; their positions are reserved as they are given out."""
    job, store = run.job, run.store
    archive = store.location("")
    if "://" not in archive:
        # The workers may be in another folder.
        archive = str(Path(archive).absolute())
    threads = threads_each(None if job.scheduler else job.workers, job.threads)
    video = run.service.video(listing)
    shape = listing.rows, listing.columns
    for part in cut(entries, size, video.key_frame_near):
        positions = [appender.reserve(entry, shape, appender.schema.bits) for entry in part]
        yield Share(
            archive=archive,
            folder=run.folder,
            holder=name_of(store.get(f"{run.folder}/{LEASE}") or b""),
            group=appender.writer.group,
            arrays=appender.writer.arrays,
            first=positions[0],
            entries=part,
            bits=appender.schema.bits,
            threads=threads,
            writers=job.threads or min(threads, MOST_UNASKED),
            listing=replace(listing, entries=()),
        )
