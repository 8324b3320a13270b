"""Who holds a lease, told to those who want it."""

import json
import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

from etl.errors import BusyError

log = logging.getLogger(__name__)

LEASE = ".lease"
"""In a folder of the archive: who is writing there."""


def own_name() -> dict[str, object]:
    """What a lease says of its holder."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "process": os.getpid(), "since": now}


def name_of(text: bytes) -> str:
    """The holder that a lease names, in words."""
    try:
        holder = json.loads(text)
        return f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


def acquire(take: Callable[[], bytes | None], where: str, wait: float, poll: float = 0.2) -> None:
    """Try to take a lease until it is had or the time is over.

    Args:
        take: takes the lease and returns None, or returns what the lease of the present holder says.
        where: what is written to.
        wait: seconds to wait for the present holder; `math.inf` is for ever.
        poll: seconds between two tries.

    Raises:
        BusyError: It was not to be had.
    """
    end = time.monotonic() + wait
    told = False
    while (text := take()) is not None:
        holder, left = name_of(text), end - time.monotonic()
        if left <= 0:
            raise BusyError(
                f"{where} is being written by {holder}",
                "wait until it has finished, then run the command again",
            )
        if not told:
            fields = {"holder": holder, "seconds": wait}
            log.info(
                "waiting up to %g s for %s to finish writing",
                wait,
                holder,
                extra={"event": "waiting", "fields": fields},
            )
            told = True
        time.sleep(min(poll, left))
