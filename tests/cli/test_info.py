"""`ndvi-archive info` as a user runs it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from etl.extract.frame import Frame, FrameEntry, Scale
from etl.load.folder import LocalFolder
from etl.load.runs import keep_run
from etl.report import RunReport
from etl.transform.packing import pack
from tests.load.archives import SMALL
from tests.load.archives import archive as append
from tests.program import run

START = datetime(2021, 3, 1, 10, 3, 9, tzinfo=UTC)


@pytest.fixture
def europe_of(archive: Path) -> LocalFolder:
    """An archive of Europe: S3A on days 1, 2, 6 and 8 of March 2021, S3B on days 2 and 3."""
    store = LocalFolder(archive)
    seen = [(1, "S3A"), (2, "S3A"), (2, "S3B"), (3, "S3B"), (6, "S3A"), (8, "S3A")]
    codes = np.zeros((SMALL.grid.rows, SMALL.grid.columns), np.uint16)
    entries = [
        FrameEntry(number, START + timedelta(days=day - 1), satellite, Scale(-0.1, 0.9))
        for number, (day, satellite) in enumerate(seen, 1)
    ]
    append(store, [pack(Frame(entry, codes, SMALL.bits)) for entry in entries])
    return store


def keep(store: LocalFolder, folder: str = "europe", **fields: object) -> None:
    """Keep the report of a run that began two hours ago."""
    started = datetime.now(UTC) - timedelta(hours=2, minutes=1)
    finished = started + timedelta(seconds=30)
    report = RunReport(folder.title(), str(store), started, finished=finished, **fields)  # type: ignore[arg-type]
    keep_run(store, folder, report.to_json(), started)


def lines(archive: Path, *arguments: str) -> list[str]:
    ended = run("info", "--archive", archive, *arguments)
    assert (ended.code, ended.err) == (0, "")
    return ended.out.splitlines()


def figures(archive: Path, *arguments: str) -> dict[str, object]:
    """The figures of the only continent."""
    ended = run("info", "--archive", archive, "--json", *arguments)
    assert (ended.code, ended.err) == (0, "")
    (found,) = json.loads(ended.out)
    assert isinstance(found, dict)
    return found


def test_the_age_of_the_newest_frame_is_told(europe_of: LocalFolder) -> None:
    age = datetime.now(UTC) - (START + timedelta(days=7))

    text = lines(europe_of.root)
    found = figures(europe_of.root)

    assert text[0] == "Europe: 6 frames; S3A 4, S3B 2"
    assert text[1].startswith("  from 2021-03-01 10:03 to 2021-03-08 10:03 UTC, ")
    assert text[1].endswith(" ago")
    assert found["age_seconds"] == pytest.approx(age.total_seconds(), abs=120)


def test_an_archive_without_reports_has_no_last_run(europe_of: LocalFolder) -> None:
    found = figures(europe_of.root)

    assert len(lines(europe_of.root)) == 4
    assert (found["last_run"], found["rebuilding"]) == (None, False)
    assert "gaps" not in found


def test_the_last_run_is_told_with_what_it_did(europe_of: LocalFolder) -> None:
    keep(europe_of, archived=2, late=["frame 4"], duplicates=["frame 5", "frame 6"], exit_code=0)

    line = lines(europe_of.root)[-1]
    found = figures(europe_of.root)["last_run"]

    assert line.startswith("  last run ")
    assert line.endswith(" UTC, 2 hours ago: 2 frames archived, 1 late, 2 duplicates")
    assert isinstance(found, dict)
    assert (found["archived"], found["exit_code"], found["late"]) == (2, 0, ["frame 4"])


def test_a_failed_last_run_says_why(europe_of: LocalFolder) -> None:
    keep(europe_of, archived=1, exit_code=4, error="the stream\nends at \x1b[31mframe 7")

    (line,) = [line for line in lines(europe_of.root) if "last run" in line]
    assert line.endswith("failed with code 4, 1 frame archived; the stream ends at \\x1b[31mframe 7")


def test_a_continent_whose_runs_all_failed_is_told(archive: Path) -> None:
    keep(LocalFolder(archive), "africa", exit_code=3, error="the login is refused")

    text = lines(archive)
    found = figures(archive, "Africa")

    assert text[0] == "Africa: nothing is archived yet"
    assert text[1].endswith("failed with code 3, 0 frames archived; the login is refused")
    assert (found["continent"], found["frames"]) == ("Africa", 0)


@pytest.mark.parametrize(
    "report", ["{}", '{"started": "x", "archived": [], "late": 1}', '{"started": "2021-03-01T00:00:00"}']
)
def test_a_report_of_another_making_does_not_stop_it(europe_of: LocalFolder, report: str) -> None:
    keep_run(europe_of, "europe", report, START)

    (line,) = [line for line in lines(europe_of.root) if "last run" in line]
    assert line.startswith("  last run at a time that is not known: failed with code None")


def test_missing_days_are_named_for_each_satellite(europe_of: LocalFolder) -> None:
    text = lines(europe_of.root, "--gaps")
    found = figures(europe_of.root, "--gaps")

    assert text[4:] == [
        "  S3A: 2021-03-03 to 2021-03-05 (3 days)",
        "  S3A: 2021-03-07 (1 day)",
        "  S3B: no day is missing",
    ]
    assert found["gaps"] == {
        "S3A": [
            {"first": "2021-03-03", "last": "2021-03-05", "days": 3},
            {"first": "2021-03-07", "last": "2021-03-07", "days": 1},
        ],
        "S3B": [],
    }


def test_a_rebuild_that_is_not_done_is_told_in_one_line(europe_of: LocalFolder) -> None:
    europe_of.put("europe/.rebuild/ndvi.zarr/ndvi/0/0/0", b"a frame")

    assert [line for line in lines(europe_of.root) if "a rebuild" in line] == [
        "  a rebuild is under way, or was interrupted; readers see the archive as it was before"
    ]
    assert figures(europe_of.root)["rebuilding"] is True
