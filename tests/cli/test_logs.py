"""The log as machines read it."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from etl.cli.events import EVENTS
from etl.demo.service import StandIn
from etl.report import ODDITIES
from tests.program import run, with_token

HOUSE = Path(__file__).parents[2] / "etl"
KEYS = {"time", "level", "event", "logger", "message"}


def lines_of(text: str) -> list[dict[str, Any]]:
    """The objects in a log; every line must be one, with all the keys and an event that is known."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(set(line) >= KEYS for line in found)
    assert {line["event"] for line in found} <= set(EVENTS)
    return found


def names_in(path: Path) -> Iterator[str]:
    """The names a module gives to events where it logs them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "event" and isinstance(value, ast.Constant):
                    yield str(value.value)


def logged(*statements: str) -> list[dict[str, Any]]:
    """What a process that logs JSON says when it executes these."""
    first = "import logging, warnings; from etl.cli.output import Output; Output().configure(0, as_json=True)"
    program = [sys.executable, "-c", "\n".join([first, *statements])]
    return lines_of(subprocess.run(program, capture_output=True, text=True, check=True).stderr)


def test_every_event_that_is_logged_is_documented_and_no_other() -> None:
    named = {name for path in HOUSE.rglob("*.py") for name in names_in(path)}
    odd = {f"frame_{kind.removesuffix('s')}" for kind in ODDITIES}

    assert named | odd == set(EVENTS) - {"log"}


def test_a_run_logs_one_object_a_line_and_ends_with_its_report(service: StandIn, archive: Path) -> None:
    ended = run(
        "--log-format", "json", "convert", "Europe", "--archive", archive, variables=with_token(service)
    )

    assert lines_of(ended.err)
    report = json.loads(ended.out)
    assert (report["archived"], report["exit_code"]) == (20, 0)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("convert", "Atlantis"), 4), (("info",), 2), (("convert", "Europe", "--start", "no date"), 2)],
    ids=["a fault of the service", "nothing there", "bad usage"],
)
def test_an_error_is_an_event_with_the_exit_code(
    service: StandIn, archive: Path, arguments: tuple[str, ...], code: int
) -> None:
    ended = run("--log-format", "json", *arguments, "--archive", archive, variables=with_token(service))

    last = lines_of(ended.err)[-1]
    assert ended.code == code
    assert (last["event"], last["level"], last["exit_code"]) == ("error", "error", code)


def test_a_traceback_is_a_field_of_the_error(archive: Path) -> None:
    ended = run("--log-format", "json", "-vv", "info", "--archive", archive)

    (line,) = lines_of(ended.err)
    assert line["traceback"].startswith("Traceback (most recent call last):")
    assert "\n" not in line["message"]


def test_errors_are_told_however_quiet(archive: Path) -> None:
    ended = run("--log-format", "json", "-qqq", "info", "--archive", archive)

    assert [line["event"] for line in lines_of(ended.err)] == ["error"]


def test_fields_of_an_event_stand_beside_its_message() -> None:
    (line,) = logged(
        "from datetime import UTC, datetime",
        "moment = datetime(2021, 3, 1, tzinfo=UTC)",
        "fields = {'exit_code': 7, 'at': moment, 'scale': float('nan'), 'level': 'not this'}",
        "extra = {'event': 'error', 'fields': fields}",
        "logging.getLogger('etl.load').info('text of %s', 'a message', extra=extra)",
    )

    assert datetime.fromisoformat(line.pop("time")).tzinfo == UTC
    assert line == {
        "level": "info",
        "event": "error",
        "logger": "etl.load",
        "message": "text of a message",
        "exit_code": 7,
        "at": "2021-03-01T00:00:00+00:00",
        "scale": None,
    }


def test_a_message_without_a_name_is_a_log() -> None:
    (line,) = logged("logging.getLogger('etl').warning('text')")

    assert (set(line), line["event"], line["level"]) == (KEYS, "log", "warning")


def test_warnings_of_python_are_objects_too() -> None:
    (line,) = logged("warnings.warn('an old function', FutureWarning)")

    assert line["logger"] == "py.warnings"
    assert "FutureWarning: an old function" in line["message"]
