"""Processes, here or in a Dask cluster, that each archive a share of the frames at a time."""

import logging
import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from multiprocessing import resource_tracker

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, wait
from distributed.comm import get_address_host_port
from distributed.versions import VersionMismatchWarning

from etl import __version__
from etl.errors import ArchiveError, UsageError
from etl.load.frames import Written
from etl.pipeline.share import Outcome, Share, archive_share

log = logging.getLogger(__name__)

_AHEAD = 2
"""Shares given out at a time, per worker: one is worked on, one waits."""

_RENEWALS = 5
"""How often a share's address is renewed without a frame in between."""

_CONNECTING = 10.0
"""Seconds in which a scheduler must answer."""

_JOINING = 120.0
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
        url = stream_url
        under_way: deque[_Task] = deque()

        def submit(share: Share) -> Future:
            return self._client.submit(archive_share, share.at(url), pure=False)

        try:
            while True:
                # Behind a frame that cannot be had, nothing is of use.
                if not any(task.error for task in under_way):
                    most = _AHEAD * self.count
                    while len(under_way) < most and (share := next(shares, None)):
                        under_way.append(_Task(share.at(url), submit(share)))
                if not under_way:
                    return
                self._wait_for_any(under_way)
                for task in under_way:
                    if task.future and task.future.done() and self._settle(task, task.future):
                        if task.share.listing.stream_url == url:
                            url = renew()
                            self.retries += 1
                        task.share = task.share.at(url)
                        task.future = submit(task.share)
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
            with _connection_told():
                self._client.cancel([task.future for task in under_way if task.future], force=True)

    def _settle(self, task: _Task, future: Future) -> bool:
        """Note what has become of a share; whether the rest of it is to be had at a new address."""
        outcome = _outcome(task.share, future)
        self.bytes_in += outcome.bytes_in
        self.retries += outcome.retries
        for record in outcome.warnings:
            logging.getLogger(record.name).handle(record)
        task.future = None
        task.written += outcome.written
        if outcome.error is None:
            return False
        if not outcome.has_expired:
            task.error = outcome.error
            return False
        task.renewals = 0 if outcome.written else task.renewals + 1
        task.share = replace(task.share.after(len(outcome.written)), can_renew=task.renewals < _RENEWALS)
        return True

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
                        wait(futures, timeout=_JOINING / 2, return_when="FIRST_COMPLETED")
                except TimeoutError:
                    is_deserted = self.count == 0
                    if is_deserted and was_deserted:
                        raise ArchiveError(
                            "the cluster has no workers any more", "see to it, then run the command again"
                        ) from None
                    was_deserted = is_deserted


def _outcome(share: Share, future: Future) -> Outcome:
    try:
        with _connection_told():
            outcome: Outcome = future.result()
    except KilledWorker:
        raise ArchiveError(
            f"worker after worker died while archiving {share}",
            "give them more memory or take fewer of them, then run the command again",
        ) from None
    return outcome


@contextmanager
def cluster(count: int | None, scheduler: str | None) -> Iterator[Workers]:
    """Have workers for a while.

    Args:
        count: processes to start on this machine; of a running cluster, how many must be there at least.
        scheduler: address of a running cluster, such as `tcp://host:8786`, or None.

    Raises:
        UsageError: The scheduler does not answer, or there are other workers than this program needs.
    """
    # What it has to say is said here, in one line.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        if scheduler is None:
            address = stack.enter_context(_processes(count or 1))
            client = stack.enter_context(Client(address, set_as_default=False))
        else:
            client = stack.enter_context(_connected(scheduler, count or 1))
        workers = Workers(client)
        found = workers.count
        fields = {"workers": found}
        log.info(
            "sharing the frames among %d worker%s",
            found,
            "" if found == 1 else "s",
            extra={"event": "workers_ready", "fields": fields},
        )
        yield workers


def _processes(count: int) -> LocalCluster:
    """Workers on this machine, which end with this process."""
    _start_tracker()
    # A terminal's Ctrl-C is for this process alone: what is blocked is so in all threads and processes that
    # are started from here.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ.PYTHONWARNINGS": "ignore",
                "distributed.scheduler.http.routes": [],
                "distributed.worker.http.routes": [],
            }
        ):
            return LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                # A worker that is paused or restarted for its memory gets no further.
                memory_limit=0,
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                # Else whoever can log in to this machine can have them do anything.
                security=True,
                silence_logs=logging.CRITICAL,
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_tracker() -> None:
    """Start Python's tracker of semaphores, which would otherwise tell on the screen of workers that died.

    It is started later anyway, and would then let signals through that are blocked.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, "ignore:resource_tracker")))
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


@contextmanager
def _connected(scheduler: str, count: int) -> Iterator[Client]:
    remedy = "check --scheduler, and that the cluster runs"
    with warnings.catch_warnings():
        # It is told below, where it matters.
        warnings.simplefilter("ignore", VersionMismatchWarning)
        try:
            # The client itself does not end well where this fails.
            get_address_host_port(scheduler)
            client = Client(scheduler, set_as_default=False, timeout=_CONNECTING)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(f"the scheduler {scheduler} does not answer: {error}", remedy) from error
        with client:
            try:
                client.wait_for_workers(count, timeout=_JOINING)
            except TimeoutError:
                found = len(client.nthreads())
                raise UsageError(
                    f"the cluster {scheduler} has {found} workers, not {count}", remedy
                ) from None
            _check_software(client, scheduler)
            yield client


def _check_software(client: Client, scheduler: str) -> None:
    """Make sure that scheduler and workers run this program as it is here: they must write the same bytes."""
    here = _software()
    try:
        there = [client.run_on_scheduler(_software), *client.run(_software).values()]
    except Exception as error:  # noqa: BLE001 - whatever it is that they lack
        there, reason = [], f"{type(error).__name__}: {error}"
    else:
        reason = next((str(other) for other in there if other != here), "")
    if reason:
        raise UsageError(
            f"the cluster {scheduler} does not run this program: {reason}",
            f"install there what is installed here: {here}",
        )


def _software() -> dict[str, str]:
    """Versions of what must be the same in all processes."""
    return {"ndvi-archive": __version__} | {name: version(name) for name in ("distributed", "numcodecs")}


@contextmanager
def _connection_told() -> Iterator[None]:
    try:
        yield
    except (CancelledError, OSError) as error:
        raise ArchiveError(
            f"the connection to the cluster is lost: {error or type(error).__name__}",
            "check the scheduler, then run the command again",
        ) from error


def threads_each(count: int | None, threads: int | None) -> int:
    """Threads a worker uses for each of its two tasks.

    Args:
        count: workers that share this machine; None is a cluster, where a worker is to use what it has.
        threads: how many are asked for, or None.
    """
    if threads or count is None:
        return threads or 1
    return max(1, len(os.sched_getaffinity(0)) // count)
