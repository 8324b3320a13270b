"""Many processes, here or in a Dask cluster, that each archive a share of the frames."""

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from distributed import Client, Future, KilledWorker, LocalCluster

from etl.errors import ArchiveError, ServiceError, UsageError
from etl.extract.frame import FrameEntry
from etl.load.frames import Written
from etl.pipeline.share import Outcome, Share, archive_share

log = logging.getLogger(__name__)

_AHEAD = 2
"""Shares given out at a time, per worker: one is worked on, one waits."""

_RENEWALS = 5
"""How often a share's address is renewed without a frame in between."""


class Workers:
    """Processes that archive shares.

    Attributes:
        count: how many there are.
        bytes_in: bytes they have downloaded.
        retries: requests and connections they have tried again.
    """

    def __init__(self, client: Client, count: int) -> None:
        """Use a cluster.

        Args:
            client: a connection to its scheduler.
            count: number of its workers.
        """
        self._client = client
        self.count = count
        self.bytes_in = 0
        self.retries = 0

    def written(
        self, shares: Iterator[Share], renew: Callable[[tuple[FrameEntry, ...]], str]
    ) -> Generator[Written, None, None]:
        """Let shares be archived, and yield their frames in order.

        Args:
            shares: what to archive, in the order of the archive.
            renew: gives the stream's address for frames that are still to be read, once it has expired.

        Raises:
            ArchiveError: A frame could not be archived; all before it were yielded.
        """
        under_way: deque[tuple[Share, Future]] = deque()
        try:
            while True:
                while len(under_way) < _AHEAD * self.count and (share := next(shares, None)):
                    under_way.append((share, self._submit(share)))
                if not under_way:
                    return
                yield from self._settled(*under_way.popleft(), renew)
        finally:
            self._client.cancel([future for _, future in under_way], force=True)

    def _settled(
        self,
        share: Share,
        future: Future,
        renew: Callable[[tuple[FrameEntry, ...]], str],
    ) -> Generator[Written, None, None]:
        renewals = 0
        while True:
            outcome = self._outcome(share, future)
            self.bytes_in += outcome.bytes_in
            self.retries += outcome.retries
            yield from outcome.written
            if outcome.error is None:
                return
            renewals = 0 if outcome.written else renewals + 1
            if not outcome.has_expired or renewals > _RENEWALS:
                raise outcome.error
            self.retries += 1
            done = len(outcome.written)
            share = share.after(done, renew(share.entries[done:]))
            future = self._submit(share)

    def _submit(self, share: Share) -> Future:
        return self._client.submit(archive_share, share, pure=False)

    def _outcome(self, share: Share, future: Future) -> Outcome:
        try:
            outcome: Outcome = future.result()
        except KilledWorker:
            raise ArchiveError(
                f"worker after worker died while archiving {share.entries[0]} to {share.entries[-1]}",
                "give them more memory, or take fewer --workers, and run the command again",
            ) from None
        except OSError as error:
            raise ServiceError(
                f"the connection to the cluster was lost: {error}", "check the scheduler, then run it again"
            ) from error
        return outcome


@contextmanager
def cluster(count: int | None, scheduler: str | None) -> Iterator[Workers]:
    """Have workers for a while.

    Args:
        count: processes to start on this machine; of a running cluster, how many must be there at least.
        scheduler: address of a running cluster, such as `tcp://host:8786`, or None.

    Raises:
        UsageError: The scheduler does not answer.
    """
    with ExitStack() as stack:
        address: Any = scheduler
        if scheduler is None:
            address = stack.enter_context(
                LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    # A worker that is paused or restarted for its memory gets no further.
                    memory_limit=0,
                    dashboard_address=None,
                    silence_logs=logging.ERROR,
                )
            )
        try:
            client = stack.enter_context(Client(address, set_as_default=False, timeout="30s"))
            client.wait_for_workers(count or 1, timeout=120)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(
                f"the cluster {scheduler or ''} does not answer: {error}", "check --scheduler"
            ) from error
        found = len(client.scheduler_info(n_workers=-1)["workers"])
        log.info("%d workers", found, extra={"event": "workers_ready", "fields": {"workers": found}})
        yield Workers(client, found)


def threads_each(count: int | None, threads: int | None) -> int:
    """Threads a worker uses for each of its two tasks; 0 is one a core."""
    if threads or count is None:
        return threads or 0
    return max(1, len(os.sched_getaffinity(0)) // count)
