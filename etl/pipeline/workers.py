"""Workers of a Dask cluster, that each archive a share of the frames at a time."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from distributed import Client, Future, KilledWorker, wait

from etl.errors import ArchiveError, DeadlineError
from etl.load.frames import Written
from etl.pipeline.share import Outcome, Share, archive_share

log = logging.getLogger(__name__)

_AHEAD = 2
"""Shares given out at a time, per worker: one is worked on, one waits."""

_RENEWALS = 20
"""How often a share's address is renewed without a frame in between: the other workers use it up, too."""

JOINING = 120.0
"""Seconds in which the workers must be there, and after which a cluster without any is given up."""


@dataclass
class _Task:
    """A share that was given out.

    Attributes:
        share: what is left of it.
        future: tells what becomes of that; None once nothing is left to be done.
        written: frames that were written and not yielded yet.
        renewals: how often its address was renewed since the last frame.
        error: why the next frame cannot be had.
    """

    share: Share
    future: Future | None
    written: list[Written] = field(default_factory=list)
    renewals: int = 0
    error: ArchiveError | None = None


class Workers:
    """Processes that archive shares.

    Attributes:
        bytes_in: bytes they have downloaded.
        retries: requests and connections they have tried again.
    """

    def __init__(self, client: Client) -> None:
        """Use a cluster.

        Args:
            client: a connection to its scheduler.
        """
        self._client = client
        self._url = ""
        self.bytes_in = 0
        self.retries = 0

    @property
    def count(self) -> int:
        """How many shares they work on at a time."""
        with _connection_told():
            return sum(self._client.nthreads().values())

    def written(
        self, shares: Iterator[Share], stream_url: str, renew: Callable[[], str]
    ) -> Generator[Written, None, None]:
        """Let shares be archived, and yield their frames in order.

        Args:
            shares: what to archive, in the order of the archive.
            stream_url: where the stream is.
            renew: gives the address that the stream has now.

        Raises:
            ArchiveError: A frame could not be archived; all before it were yielded.
        """
        self._url = stream_url
        under_way: deque[_Task] = deque()
        try:
            while True:
                # Behind a frame that cannot be had, nothing is of use.
                if not any(task.error for task in under_way):
                    most = _AHEAD * self.count
                    while len(under_way) < most and (share := next(shares, None)):
                        under_way.append(self._begun(share))
                if not under_way:
                    return
                self._wait_for_any(under_way)
                for task in under_way:
                    if task.future and task.future.done() and self._settle(task, task.future):
                        self._go_on(task, renew)
                while under_way:
                    head = under_way[0]
                    yield from head.written
                    head.written.clear()
                    if head.error:
                        raise head.error
                    if head.future:
                        break
                    under_way.popleft()
        finally:
            # Whatever ended it is to be told, not that there is nobody to be told to stop.
            with suppress(CancelledError, OSError):
                self._client.cancel([task.future for task in under_way if task.future], force=True)

    def _settle(self, task: _Task, future: Future) -> bool:
        """Note what has become of a share; whether the rest of it is to be had at a new address."""
        task.future = None
        try:
            with _connection_told():
                outcome: Outcome = future.result()
        except KilledWorker:
            task.error = ArchiveError(
                f"worker after worker died while archiving {task.share}",
                "give them more memory or take fewer of them, then run the command again",
            )
            return False
        self.bytes_in += outcome.bytes_in
        self.retries += outcome.retries
        for record in outcome.warnings:
            logging.getLogger(record.name).handle(record)
        task.written += outcome.written
        if outcome.error is None:
            return False
        if not outcome.has_expired:
            task.error = outcome.error
            return False
        task.renewals = 0 if outcome.written else task.renewals + 1
        task.share = replace(task.share.after(len(outcome.written)), can_renew=task.renewals < _RENEWALS)
        return True

    def _go_on(self, task: _Task, renew: Callable[[], str]) -> None:
        """Give out what is left of a share, at the address that the stream has now."""
        try:
            if task.share.listing.stream_url == self._url:
                self._url = renew()
                self.retries += 1
        except DeadlineError:
            raise
        except ArchiveError as error:
            task.error = error
            return
        begun = self._begun(task.share)
        task.share, task.future = begun.share, begun.future

    def _begun(self, share: Share) -> _Task:
        current = share.at(self._url)
        return _Task(current, self._client.submit(archive_share, current, pure=False))

    def _wait_for_any(self, tasks: deque[_Task]) -> None:
        """Wait until one of the shares is done.

        Raises:
            ArchiveError: There are no workers any more.
        """
        futures = [task.future for task in tasks if task.future]
        was_deserted = False
        with _connection_told():
            while not any(future.done() for future in futures):
                try:
                    with self._client.as_current():
                        wait(futures, timeout=JOINING / 2, return_when="FIRST_COMPLETED")
                except TimeoutError:
                    is_deserted = self.count == 0
                    if is_deserted and was_deserted:
                        raise ArchiveError(
                            "the cluster has no workers any more", "see to it, then run the command again"
                        ) from None
                    was_deserted = is_deserted


@contextmanager
def _connection_told() -> Iterator[None]:
    try:
        yield
    except (CancelledError, OSError) as error:
        raise ArchiveError(
            "the connection to the cluster is lost", "check the scheduler, then run the command again"
        ) from error
