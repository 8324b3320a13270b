"""Being told to end: signals and a deadline end a run at the next moment at which nothing is half done."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from etl.errors import DeadlineError

Result = TypeVar("Result")


class Interrupted(BaseException):
    """The process was asked to end by SIGINT or SIGTERM.

    Attributes:
        exit_code: 128 and the number of the signal, as shells count.
        remedy: what the user can do about it.
    """

    remedy = "what was committed is archived, run the command again to go on"

    def __init__(self, number: int, remedy: str = remedy) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number
        self.remedy = remedy


_depth = 0
_asked: BaseException | None = None
"""Why the run is to end. It stays, because Python drops what is raised in finalizers and callbacks."""


@contextmanager
def ending_on_signals(deadline: float | None = None, remedy: str = Interrupted.remedy) -> Iterator[None]:
    """Raise `Interrupted` on SIGINT and SIGTERM, and `DeadlineError` when the time is over.

    Wherever the program then is, that is raised at once, except within `deferred`. Only the main thread of
    a process can use this.

    Args:
        deadline: seconds the block may take; None is any time.
        remedy: what the user can do about a signal.

    Raises:
        Interrupted: A signal came.
        DeadlineError: The deadline passed.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        _raise(Interrupted(number, remedy))

    def on_deadline(number: int, frame: FrameType | None) -> None:
        _raise(
            DeadlineError(
                f"the deadline of {deadline:g} seconds has passed",
                "what was committed is archived; run the command again to go on, or give it more time",
            )
        )

    handlers = {signal.SIGINT: on_signal, signal.SIGTERM: on_signal, signal.SIGALRM: on_deadline}
    global _asked  # noqa: PLW0603 - signals belong to the process
    _asked = None
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    if deadline is not None:
        signal.setitimer(signal.ITIMER_REAL, deadline)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _asked = None
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Let the block finish before a signal or the deadline ends the run.

    Raises:
        Interrupted: A signal came during the block, which is now done.
        DeadlineError: The deadline passed during the block, which is now done.
    """
    global _depth  # noqa: PLW0603 - signals belong to the process
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            raise_if_asked()


def at_once(call: Callable[[], Result]) -> Result:
    """Within `deferred`, do something that a signal or the deadline ends at once.

    Raises:
        Interrupted: A signal came, in the call or in the block before.
        DeadlineError: The deadline passed, in the call or in the block before.
    """
    global _depth  # noqa: PLW0603 - signals belong to the process
    depth, _depth = _depth, 0
    try:
        raise_if_asked()
        return call()
    finally:
        _depth = depth


def raise_if_asked() -> None:
    """Raise why the run is to end, unless that is on its way already; within `deferred`, too.

    Raises:
        Interrupted: A signal came.
        DeadlineError: The deadline passed.
    """
    raised = sys.exc_info()[1]
    while raised is not None and raised is not _asked:
        raised = raised.__context__
    if _asked is not None and raised is None:
        raise _asked


def _raise(error: BaseException) -> None:
    global _asked  # noqa: PLW0603 - signals belong to the process
    _asked = _asked or error
    if not _depth:
        raise _asked
