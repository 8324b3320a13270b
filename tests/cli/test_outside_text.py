"""What services and files say cannot control a terminal, nor look like something else."""

import json
import os
from datetime import date
from pathlib import Path

import pytest

from etl.demo.encoder import Encoding
from etl.demo.scene import scene
from etl.demo.service import StandIn, publish
from tests.conftest import BBOX
from tests.extract.scripted import Answer, scripted
from tests.program import at_a_terminal, convert, run, with_token

CONTROLS = "\x1b[31m\x1b]0;title\x07\x9b2J\x08\x7f"
MARKS = "\u202egnp.\u202c\u2066\u200b\xad[bold]"
NASTY = CONTROLS + MARKS
SHOWN = r"\x1b[31m\x1b]0;title\x07\x9b2J\x08\x7f\u202egnp.\u202c\u2066\u200b\xad[bold]"


def assert_harmless(shown: str) -> None:
    assert "\x1b[31m\x1b]" not in shown
    assert not set(shown) & set("\x07\x08\x7f\x9b\u202e\u202c\u2066\u200b\u2028\xad")


@pytest.fixture
def service(tmp_path: Path) -> StandIn:
    """A stand-in of which the third of three segments has a nasty name, and is missing."""
    stream = publish(
        scene(84, 50, BBOX, date(2021, 3, 1), 12),
        tmp_path / "stream",
        BBOX,
        Encoding("hls-ts", lossless=True, gop=8, segment_seconds=0.3),
    )
    last = max(stream.file.parent.glob("*.ts"))
    stream.file.write_text(stream.file.read_text().replace(last.name, f"x{NASTY}.ts"))
    last.rename(last.with_name(f"x{NASTY}.ts"))
    service = StandIn({"Europe": stream})
    service.faults.missing = frozenset({f"x{NASTY}.ts"})
    return service


@pytest.mark.parametrize("verbose", ["-v", "-vv"])
def test_of_an_answer(archive: Path, verbose: str) -> None:
    body = json.dumps({"detail": f"{NASTY} \u2028"}).encode()
    answer = Answer(404, {}, body, reason=f"{CONTROLS}\x85[bold]")
    with scripted(lambda path, bytes_asked: answer) as url:
        shown = at_a_terminal(
            *(verbose, "convert", "Europe", "--archive", archive),
            stream="stderr",
            variables={"NDVI_ARCHIVE_API_URL": url, "NDVI_ARCHIVE_TOKEN": "token"},
            code=4,
        )
    assert_harmless(shown)
    assert rf"answered 404 {SHOWN[:38]}\x85[bold]: {SHOWN} \u2028; check" in shown
    assert ("Traceback" in shown) == (verbose == "-vv")


@pytest.mark.parametrize("verbose", ["-v", "-vv"])
def test_of_a_segment_at_a_terminal(service: StandIn, archive: Path, verbose: str) -> None:
    with service:
        shown = at_a_terminal(
            *(verbose, "convert", "Europe", "--archive", archive),
            stream="stderr",
            variables=with_token(service),
            code=4,
        )
    assert_harmless(shown)
    assert f"/streams/Europe/x{SHOWN}.ts answered 404 Not Found" in shown


def test_of_a_segment_in_logs_and_reports(service: StandIn, archive: Path, tmp_path: Path) -> None:
    report = tmp_path / "run.json"
    with service:
        ended = convert(service, archive, "--report", report)
        logged = run(
            *("--log-format", "json", "-vv", "convert", "Europe", "--archive", archive),
            variables=with_token(service),
        )
    assert_harmless(ended.err + ended.out)
    assert f"/streams/Europe/x{SHOWN}.ts answered 404" in json.loads(report.read_text())["error"]
    assert (logged.err + report.read_text()).isascii()
    assert json.loads(logged.err.splitlines()[-1])["message"].isprintable()


def test_of_an_archive_at_a_terminal(archive: Path, tmp_path: Path) -> None:
    runs = archive / "europe/runs"
    runs.mkdir(parents=True)
    told = {"continent": NASTY, "finished": "2021-03-01T00:00:00Z", "exit_code": 4, "error": NASTY}
    (runs / "20210301T000000.000000Z.json").write_text(json.dumps(told))
    (archive / "catalog.json").write_text("{}")
    shown = at_a_terminal("info", "--archive", archive, stream="stdout", variables={})
    assert_harmless(shown)
    assert f"{SHOWN}: nothing is archived yet" in shown
    assert f"what it archived; {SHOWN}" in shown


def test_of_the_command_line(archive: Path) -> None:
    shown = at_a_terminal(
        *("info", "--archive", archive.with_name(os.fsdecode(f"{NASTY}".encode() + b"\xff"))),
        stream="stderr",
        variables={},
        code=2,
    )
    assert_harmless(shown)
    assert rf"{SHOWN}\udcff" in shown
