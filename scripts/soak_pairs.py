"""Two runs of scripts/soak.py at once, and how one can tell that the one had to wait for the other."""

# ruff: noqa: D102 - the kind of a fault says what it is; its methods are those of `Fault`

import signal
from dataclasses import replace

from soak_faults import Fault, Stage
from soak_runs import Ended, Runs, is_stopped, send, until

_WAITING = "waiting up to 100 s for"
_WAIT = ("--wait", "100")
_REFUSED = "was rebuilt at"
"""Why a rebuild is refused: readers may still use what the last one has replaced."""


class Twice(Fault):
    """A second run is started at the same instant, and must find the archive busy."""

    kind = "two runs at once"

    def meanwhile(self, runs: Runs) -> None:
        runs.start(*runs.options)

    def happened(self, ended: Ended) -> int:
        return int(5 in ended.codes)

    def is_right(self, ended: Ended, happened: bool) -> bool:
        return sorted(ended.codes) in ([0, 0], [0, 5])


class TwiceWaiting(Twice):
    """A second run is started at the same instant, and waits."""

    kind, options = "two runs at once, one waits", _WAIT

    def happened(self, ended: Ended) -> int:
        return int(_WAITING in ended.err)

    def is_right(self, ended: Ended, happened: bool) -> bool:
        # The other one must not rebuild again what has just been rebuilt.
        return super().is_right(ended, happened) if self.stage.rebuilding else [*ended.codes] == [0, 0]


class Overtaken(Fault):
    """A run waits while another one archives frames that the service had not listed before.

    The first one stands still, holding the lease, until the second one waits; then it goes on, or is killed.
    """

    _TASKS = ((), ("--rebuild",), ("--rebuild", "--drop-withdrawn"))
    _PAIRS = ((0, 1), (0, 2), (0, 2), (1, 0), (2, 0), (1, 1), (1, 2), (2, 2))
    _ENDS = (signal.SIGCONT, signal.SIGCONT, signal.SIGKILL)

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        dice = stage.dice
        first, second = dice.choice(self._PAIRS)
        self.options = (*_WAIT, *self._TASKS[first])
        self._second = (*_WAIT, *self._TASKS[second])
        self._end = dice.choice(self._ENDS)
        self._listed = dice.randrange(1, len(stage.stream.images))
        self._asked = len(stage.service.requests)
        names = ("appends", "rebuilds", "rebuilds and drops")
        self.kind = f"one run {names[first]}, another waits and {names[second]}, the stream grows"

    def meanwhile(self, runs: Runs) -> None:
        stage, first = self.stage, runs.processes[0]
        until(first, self._is_reading, stage.place.poll)
        grown = stage.service.streams["Europe"]
        # Without a lease it is about to end, and the other one does not have to wait.
        if send(first, signal.SIGSTOP) and is_stopped(first) and stage.place.read("europe/.lease"):
            stage.service.streams["Europe"] = replace(grown, images=grown.images[: self._listed])
        second = runs.start(*self._second)
        until(second, lambda: _WAITING in runs.err(), 0.01)
        stage.service.streams["Europe"] = grown
        if send(first, self._end) and self._end is signal.SIGKILL:
            first.join()
            stage.place.bury()

    def happened(self, ended: Ended) -> int:
        return int(_WAITING in ended.err)

    def is_right(self, ended: Ended, happened: bool) -> bool:
        allowed = {0, *[-signal.SIGKILL] * (self._end is signal.SIGKILL)}
        left = [code for code in ended.codes if code not in allowed]
        return left == [5] * len(left) and len(left) <= ended.err.count(_REFUSED)

    def _is_reading(self) -> bool:
        """Whether the stream is asked for, which is done while the lease is held."""
        return any(r.path.startswith("/streams/") for r in self.stage.service.requests[self._asked :])
