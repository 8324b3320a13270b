"""Extending a continent's series by the periods that have been closed since."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter

from etl import __version__
from etl.catalog.publish import publish
from etl.catalog.templates import check_templates
from etl.errors import ArchiveError
from etl.load.absent import no_continent
from etl.load.continents import check_root, has_group
from etl.load.inventory import Inventory, folder_of
from etl.load.recovery import recover
from etl.load.series_writer import SeriesWriter
from etl.load.stores import open_store
from etl.pipeline.overlapping import overlapped
from etl.report import Progress, frames, json_line, size
from etl.signals import Interrupted, deferred

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Optimization:
    """What to optimise, and how.

    Attributes:
        continent: name of the continent.
        archive: address of the archive.
        period: frames in a chunk of a new series; None is the usual number.
        rewrite: write what is there again, too.
        templates: folder of the catalog's templates; None is those that come with the program.
        wait: seconds to wait for another run that is writing.
        threads: threads that read, encode and write; 0 is one a core, 4 at most.
    """

    continent: str
    archive: str
    period: int | None = None
    rewrite: bool = False
    templates: Path | None = None
    wait: float = 0.0
    threads: int = 0


@dataclass
class SeriesReport:
    """The figures of one optimisation; filled while it goes on.

    Attributes:
        continent: the continent's name.
        archive: address of the archive.
        started: when it began, UTC.
        frames: frames that are archived.
        optimised: frames that were put into the series.
        rewritten: frames of the series that were written again.
        in_series: frames in the series afterwards.
        period: frames in a chunk; None while that is not known.
        bytes_out: bytes written.
        seconds: time it took.
        finished: when it ended, UTC.
        error: what ended it early, or None.
        exit_code: exit code of the run.
        version: version of this program.
    """

    continent: str
    archive: str
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    frames: int = 0
    optimised: int = 0
    rewritten: int = 0
    in_series: int = 0
    period: int | None = None
    bytes_out: int = 0
    seconds: float = 0.0
    finished: datetime | None = None
    error: str | None = None
    exit_code: int | None = None
    version: str = __version__

    def to_json(self) -> str:
        """All figures as a JSON object on one line."""
        return json_line(asdict(self))

    def summary(self) -> str:
        """The figures in a few words for people."""
        rewritten = f", {self.rewritten} written again" if self.rewritten else ""
        return (
            f"{self.continent}: {frames(self.optimised)} put into the series{rewritten}, which has"
            f" {self.in_series} of {self.frames} now; {size(self.bytes_out)} written"
        )


def optimize(
    task: Optimization, report: SeriesReport | None = None, progress: Progress | None = None
) -> SeriesReport:
    """Extend a continent's series by all closed periods, and say so in the catalog.

    Every period is committed by itself: an interrupted run goes on where it was when it is started again.

    Args:
        task: what to optimise, and how.
        report: filled while it goes on.
        progress: called with the number of frames done and planned.

    Raises:
        UsageError: Nothing of the continent is archived there, or a template cannot be used.
        BusyError: Another process is writing to this continent's archive.
        IncompatibleError: A frame or the archive is damaged; the periods before are in the series.
        StorageError: The storage refuses to be read or written.
    """
    report = report or SeriesReport(task.continent, task.archive)
    begun = perf_counter()
    try:
        check_templates(task.templates)
        folder, store = folder_of(task.continent), open_store(task.archive)
        check_root(store)
        if not has_group(store, folder):
            raise no_continent(store, task.archive, task.continent)
        with store.lease(folder, task.wait):
            with deferred():
                inventory = recover(store, folder)
            if inventory is None or not len(inventory):
                raise no_continent(store, task.archive, task.continent)
            extend(inventory, task, report, progress)
            report.bytes_out += publish(store, folder, task.templates)
        report.exit_code = 0
    except BaseException as error:
        report.error = str(error) or type(error).__name__
        report.exit_code = error.exit_code if isinstance(error, ArchiveError | Interrupted) else 1
        raise
    finally:
        report.seconds = perf_counter() - begun
        report.finished = datetime.now(UTC)
    return report


def extend(
    inventory: Inventory, task: Optimization, report: SeriesReport, progress: Progress | None = None
) -> None:
    """Extend a series; hold the continent's lease.

    Raises:
        IncompatibleError: A frame or the series is damaged; the periods before are in the series.
        StorageError: The storage refuses a read or a write.
    """
    with deferred():
        writer = SeriesWriter(inventory, task.period)
        if task.rewrite:
            writer.restore()
    before = len(writer.series)
    report.frames, report.in_series, report.period = len(inventory), before, writer.series.period
    begin = 0 if task.rewrite else before
    planned = writer.closed - begin
    if task.period not in (None, writer.series.period):
        log.warning(
            "the series has periods of %d frames and keeps them",
            writer.series.period,
            extra={"event": "period_kept", "fields": {"period": writer.series.period}},
        )
    written = 0
    for first in range(begin, writer.closed, writer.series.period):
        writer.begin(first)
        share = writer.series.period / len(writer.bands)
        for band, north in enumerate(writer.bands):
            if progress:
                progress(int(first - begin + band * share), planned)
            for _ in _each(writer.read, writer.positions, north, task.threads):
                pass
            for count in _each(writer.write, writer.shards, north, task.threads):
                written += count
        with deferred():
            writer.commit()
            report.bytes_out = written + writer.bytes_written
            report.in_series = len(writer.series)
            report.optimised = len(writer.series) - before
            report.rewritten = min(first + writer.series.period, before) - begin if task.rewrite else 0
        fields = {"frames": writer.series.period, "in_series": len(writer.series), "closed": writer.closed}
        log.info(
            "%d of %d frames are in the series",
            len(writer.series),
            len(inventory),
            extra={"event": "series_extended", "fields": fields},
        )
    if progress and planned:
        progress(planned, planned)


def _each(call: Callable[[int, int], int | None], places: range, north: int, threads: int) -> Iterator[int]:
    """What a call returns for each of some places and one band, a few calls being under way at a time."""
    calls = (partial(call, place, north) for place in places)
    with closing(overlapped(calls, threads)) as results:
        for result in results:
            yield result or 0
