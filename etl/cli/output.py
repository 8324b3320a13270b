"""What the program tells: log lines and errors on standard error, results on standard output."""

import io
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic

import click
from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.text import Text

from etl.errors import ArchiveError
from etl.report import Progress, duration, json_line
from etl.text import one_line, printable

log = logging.getLogger("etl")

_LEVELS = {-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}
_SECONDS_BETWEEN_LINES = 10.0


class Output:
    """Where the program's words go; text from outside is made fit to be shown here, and nowhere else.

    Attributes:
        as_json: log lines and results are JSON objects, one a line.
    """

    def __init__(self) -> None:
        self.as_json = False
        self._verbosity = 0
        self._console = Console(stderr=True)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Else a letter that a terminal's encoding lacks would end the program.
            sys.stdout.reconfigure(errors="backslashreplace")

    def configure(self, verbosity: int, *, as_json: bool) -> None:
        """Set up logging.

        Args:
            verbosity: 0 is the normal amount, more is more, less is less.
            as_json: JSON instead of text.
        """
        self.as_json = as_json
        self._verbosity = verbosity
        # Python's own warnings, and those of libraries, are lines of this log.
        logging.captureWarnings(capture=True)
        if as_json:
            handler: logging.Handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(_JsonFormatter())
        elif self._console.is_terminal:
            handler = RichHandler(
                console=self._console,
                show_path=False,
                log_time_format="%H:%M:%S",
                highlighter=NullHighlighter(),
            )
        else:
            handler = logging.StreamHandler(sys.stderr)
            formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
            formatter.converter = time.gmtime
            handler.setFormatter(formatter)
        handler.addFilter(_make_printable)
        logging.lastResort = handler
        for logger in (log, logging.getLogger("py.warnings")):
            logger.handlers = [handler]
            logger.setLevel(logging.ERROR if verbosity < -1 else _LEVELS.get(verbosity, logging.DEBUG))
            logger.propagate = False

    def result(self, text: str, as_json: str) -> None:
        """Print what the command was asked for, in the format in force."""
        if self.as_json:
            click.echo(as_json)
        else:
            self.say(text)

    def say(self, text: str, *, err: bool = False) -> None:
        """Print text on standard output, or on standard error."""
        click.echo(printable(text), err=err)

    def error(self, text: str, exit_code: int = 1) -> None:
        """Print why the program ends, on one line; with `-vv` the traceback of the present exception too."""
        line = one_line(text)
        if self.as_json:
            fields: dict[str, object] = {"exit_code": exit_code}
            if self._verbosity >= 2 and sys.exc_info()[0]:
                fields["traceback"] = traceback.format_exc()
            log.error("%s", line, extra={"event": "error", "fields": fields})
            return
        if self._verbosity >= 2 and sys.exc_info()[0]:
            self.say(traceback.format_exc(), err=True)
        self.say(f"Error: {line}", err=True)

    @contextmanager
    def errors_told(self) -> Iterator[None]:
        """Log an error of the program instead of raising it: an earlier one is on its way to the user."""
        try:
            yield
        except ArchiveError as error:
            log.warning(
                "%s", error, extra={"event": "another_error", "fields": {"exit_code": error.exit_code}}
            )

    @contextmanager
    def progress(self, *, bar: bool) -> Iterator[Progress]:
        """Show how far a run is: as a bar on a terminal, else as log lines now and then.

        Args:
            bar: a bar is wanted where it can be shown.
        """
        if not bar or self.as_json or not self._console.is_terminal or self._verbosity < 0:
            yield _progress_lines()
            return
        name = TextColumn("{task.description}", markup=False)
        columns = (name, BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
        shown = ProgressBar(*columns, console=self._console)
        task = shown.add_task("frames", total=None)

        def show(done: int, planned: int, what: str = "frames", /) -> None:
            # Not before: a login may have to ask for a password.
            shown.start()
            if what != shown.tasks[0].description:
                shown.reset(task, description=what)
            shown.update(task, completed=done, total=planned)

        try:
            yield show
        finally:
            shown.stop()


def _make_printable(record: logging.LogRecord) -> bool:
    record.msg, record.args = one_line(record.getMessage()), ()
    if record.exc_info and record.exc_info[0]:
        record.exc_text = printable("".join(traceback.format_exception(*record.exc_info)))
    return True


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.1f} {task.description}/s")


def _progress_lines() -> Progress:
    begun = told = monotonic()
    told_of = "frames"

    def tell(done: int, planned: int, what: str = "frames", /) -> None:
        nonlocal begun, told, told_of
        now = monotonic()
        if what != told_of:
            begun, told_of = now, what
        if done and now - told >= _SECONDS_BETWEEN_LINES:
            told = now
            speed = done / (now - begun)
            left = (planned - done) / speed
            fields = {
                "what": what,
                "done": done,
                "planned": planned,
                f"{what}_per_second": round(speed, 3),
                "seconds_left": round(left, 1),
            }
            log.info(
                "%d of %d %s, %.1f %s/s, %s left",
                done,
                planned,
                what,
                speed,
                what,
                duration(left),
                extra={"event": "progress", "fields": fields},
            )

    return tell


class _JsonFormatter(logging.Formatter):
    """One object a line: time, level, event, logger, message, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        own = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "log"),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json_line(own | getattr(record, "fields", {}) | own)
