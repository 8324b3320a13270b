"""Dask, here or elsewhere: how workers are had, and what they must be."""

import logging
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from multiprocessing import resource_tracker

import dask
from distributed import Client, LocalCluster
from distributed.comm import get_address_host_port
from distributed.versions import VersionMismatchWarning

from etl import __version__
from etl.errors import UsageError
from etl.pipeline.workers import JOINING, Workers

log = logging.getLogger(__name__)

_CONNECTING = 10.0
"""Seconds in which a scheduler must answer."""


@contextmanager
def cluster(count: int | None, scheduler: str | None) -> Iterator[Workers]:
    """Have workers for a while.

    Args:
        count: processes to start on this machine; of a running cluster, how many must be there at least.
        scheduler: address of a running cluster, such as `tcp://host:8786`, or None.

    Raises:
        UsageError: The scheduler does not answer, or there are other workers than this program needs.
    """
    _silence()
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


def _silence() -> None:
    """Let Dask and what it is built on log nothing: what matters is said here, in one line."""
    for name in ("distributed", "tornado", "asyncio", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).handlers = [logging.NullHandler()]


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
                client.wait_for_workers(count, timeout=JOINING)
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


def threads_each(count: int | None, threads: int | None) -> int:
    """Threads that a worker decodes by.

    Args:
        count: workers that share this machine; None is a cluster, where a worker is to use what it has.
        threads: how many are asked for, or None.
    """
    if threads or count is None:
        return threads or 1
    return max(1, len(os.sched_getaffinity(0)) // count)
