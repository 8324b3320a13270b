"""Work that overlaps, with its order kept."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

MOST_UNASKED = 4
"""Calls made at a time where no number is asked for: each holds a frame."""


def overlapped(calls: Iterator[Callable[[], Result]], threads: int = 0) -> Generator[Result, None, None]:
    """Make calls in threads while the next ones are being fetched, and yield their results in order.

    Where a call fails, or fetching the next one does, the results before it still come, then the error.

    Args:
        calls: what to call; it is asked for the next call in the thread that asks for the next result.
        threads: how many calls to make at a time; 0 is one a core this process may use, 4 at most.
    """
    count = threads or min(len(os.sched_getaffinity(0)), MOST_UNASKED)
    # Also with one thread the next call is fetched while one is being made.
    most = max(count, 2)
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count, "overlapped") as pool:
        try:
            while True:
                failure: BaseException | None = None
                try:
                    call = next(calls, None)
                except BaseException as error:  # noqa: BLE001 - raised again once the results are out
                    call, failure = None, error
                if call is not None:
                    under_way.append(pool.submit(call))
                while under_way and (call is None or len(under_way) >= most or under_way[0].done()):
                    yield under_way.popleft().result()
                if failure is not None:
                    raise failure
                if call is None:
                    return
        finally:
            for future in under_way:
                future.cancel()
