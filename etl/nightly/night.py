"""A night: one process for every continent, so that what happens to one does not touch the others."""

import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from time import monotonic
from types import FrameType
from typing import Any, TextIO

from etl.config import Config, Continent
from etl.load.inventory import folder_of
from etl.load.stores import open_store
from etl.nightly import child
from etl.nightly.outcome import Outcome, keep, unreported, verified

log = logging.getLogger(__name__)

GRACE_SECONDS = 900.0
"""A process that has not ended so long after its deadline cannot end by itself any more, and is killed."""

_Purpose = tuple[str, dict[str, Any]]
_ARCHIVED: _Purpose = ("begins", {"event": "continent_begun"})
_VERIFIED: _Purpose = ("is verified", {"event": "verification_started"})
"""Why a process runs: what the log says of its continent, and the event's name."""


class Night:
    """Archives the continents of a configuration.

    Args:
        config: what to archive, and where.
        tell: called with every line that the processes say, labelled with its continent; by several threads.
        options: global options of the program for the processes.
        as_json: these make it log JSON.
        dry_run: only find out what would be done.
        grace: seconds after its deadline at which a process is killed.

    Attributes:
        ended_by: number of the signal that ended the night early, or None.
    """

    def __init__(
        self,
        config: Config,
        tell: Callable[[str], None],
        options: Sequence[str] = (),
        *,
        as_json: bool = False,
        dry_run: bool = False,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self.ended_by: int | None = None
        self._config = config
        self._tell = tell
        self._options = options
        self._as_json = as_json
        self._dry_run = dry_run
        self._grace = grace
        self._store = open_store(config.archive)
        self._running: set[subprocess.Popen[str]] = set()
        # Held while a process is started: none may be, once a signal was passed on to those that run.
        self._lock = threading.RLock()

    def run(self, parallel: int = 1) -> list[Outcome]:
        """Archive all continents, and return what came of each, in the order of the configuration.

        SIGINT and SIGTERM are passed on to the processes, no further ones are started, and those that run
        are waited for. Only the main thread of a process can call this.

        Args:
            parallel: continents archived at once.
        """
        with TemporaryDirectory() as folder, self._signals_passed_on(), ThreadPoolExecutor(parallel) as pool:
            return list(
                pool.map(lambda continent: self._archive(continent, Path(folder)), self._config.continents)
            )

    @contextmanager
    def _signals_passed_on(self) -> Iterator[None]:
        def pass_on(number: int, frame: FrameType | None) -> None:
            with self._lock:
                self.ended_by = self.ended_by or number
                for process in self._running:
                    process.send_signal(number)

        before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _archive(self, continent: Continent, folder: Path) -> Outcome:
        name, started = continent.name, datetime.now(UTC)
        report_file = folder / f"{folder_of(name)}.json"
        words = child.command(self._config, continent, report_file, self._options)
        code, text, why = self._process(
            [*words, "--dry-run"] if self._dry_run else words, continent, _ARCHIVED
        )
        if code is None:
            return self._unreported(name, started, None, "was not begun: the night was ended before")
        if code < 0:
            outcome = self._unreported(name, started, 128 - code, why)
            if not self._dry_run:
                keep(self._store, outcome.report)
            return outcome
        try:
            report: dict[str, Any] = json.loads(report_file.read_text())
        except (OSError, ValueError):
            report = {}
        if code and not report:
            return self._unreported(name, started, code, why)
        own = {"exit_code": code, "error": report.get("error") or (why if code else None)}
        outcome = Outcome({"continent": name} | report | own, text)
        return _ended(outcome if code or self._dry_run else self._verified(outcome, continent))

    def _verified(self, outcome: Outcome, continent: Continent) -> Outcome:
        """The outcome of a run that went well, and of the verification after it, if one is configured."""
        if not self._config.verify_source:
            return outcome
        words = child.verification(self._config, continent, self._options)
        code, text, why = self._process(words, continent, _VERIFIED)
        return outcome if code is None else verified(outcome, text, 128 - code if code < 0 else code, why)

    def _process(
        self, command: Sequence[str], continent: Continent, purpose: _Purpose
    ) -> tuple[int | None, str, str]:
        """Run a process; return its exit code, None if none was started, what it printed, and its error."""
        with ExitStack() as stack:
            try:
                output = stack.enter_context(TemporaryFile("w+"))
                process = self._start(command, output)
            except OSError as error:
                return 1, "", f"its process cannot be started: {error.strerror}"
            if process is None:
                return None, "", ""
            told = self._attend(process, continent, purpose)
            output.seek(0)
            text = output.read().rstrip("\n")
        code = process.returncode
        ending = "it ended without a word" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        return code, text, told or ending

    def _start(self, command: Sequence[str], output: TextIO) -> subprocess.Popen[str] | None:
        with self._lock:
            if self.ended_by is not None:
                return None
            process = subprocess.Popen(  # noqa: S603 - this program; its arguments were checked
                command,
                env=child.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                # A terminal's Ctrl-C reaches it once, through this process.
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def _attend(self, process: subprocess.Popen[str], continent: Continent, purpose: _Purpose) -> str | None:
        """Pass on what a process says until it has ended; return the error it told, if any."""
        verb, event = purpose
        log.info(
            "%s %s as process %d",
            continent.name,
            verb,
            process.pid,
            extra=event | {"fields": {"continent": continent.name, "pid": process.pid}},
        )
        begun, longest = monotonic(), self._config.settings(continent)["deadline"] + self._grace
        killer = threading.Timer(longest, _kill, (process.pid,))
        killer.start()
        told: str | None = None
        with process:
            assert process.stderr is not None  # noqa: S101 - for the type checker
            for line in process.stderr:
                told = self._pass_on(continent.name, line.rstrip("\n")) or told
        killer.cancel()
        with self._lock:
            self._running.discard(process)
        if process.returncode == -signal.SIGKILL and monotonic() - begun >= longest:
            return f"killed: it had not ended {self._grace:g} seconds after its deadline"
        return told

    def _pass_on(self, name: str, line: str) -> str | None:
        labelled, error = child.labelled(name, line, as_json=self._as_json)
        # That nobody listens any more must not stop the process.
        with suppress(OSError):
            if labelled is not None:
                self._tell(labelled)
        return error

    def _unreported(self, name: str, started: datetime, code: int | None, error: str) -> Outcome:
        return _ended(Outcome(unreported(self._store, name, started, code, error)))


def _kill(leader: int) -> None:
    """Kill a process and its workers: one that hangs would keep the standard error that they share open."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _ended(outcome: Outcome) -> Outcome:
    name, code, error = outcome.continent, outcome.exit_code, outcome.report.get("error")
    log.log(
        logging.INFO if code == 0 else logging.ERROR,
        "%s",
        f"{name} {error}" if code is None else f"{name} ended with exit code {code}",
        extra={"event": "continent_ended", "fields": {"continent": name, "exit_code": code, "error": error}},
    )
    return outcome
