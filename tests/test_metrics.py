"""The text file for Prometheus."""

import json
import logging
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from etl.errors import StorageError
from etl.metrics import write_metrics
from etl.report import RunReport

NIGHT = datetime(2021, 3, 11, 2, 30, tzinfo=UTC)
NEWEST = datetime(2021, 3, 10, 10, 3, 9, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ndvi.prom"


def report(continent: str = "Europe", **changes: object) -> dict[str, Any]:
    """The report of a run that went well, as JSON gives it back, with some fields changed."""
    run = RunReport(
        continent,
        "/data",
        started=NIGHT,
        archived=20,
        skipped=7,
        empty=1,
        late=["frame 4", "frame 5"],
        renumbered=["frame 6"],
        newest_time=NEWEST,
        stale=False,
        bytes_in=12345678901,
        bytes_out=999,
        retries=3,
        seconds={"extract": 61.5, "load": 2.25},
        finished=NIGHT + timedelta(seconds=90.5),
        exit_code=0,
    )
    found: dict[str, Any] = json.loads(run.to_json())
    return found | changes


def failed(continent: str = "Europe", days: int = 1) -> dict[str, Any]:
    """The report of a run some days later that came to nothing, as when the login is refused."""
    start = NIGHT + timedelta(days=days)
    run = RunReport(continent, "/data", started=start, finished=start + timedelta(seconds=5), exit_code=3)
    found: dict[str, Any] = json.loads(run.to_json())
    return found


def figures(file: Path) -> Mapping[tuple[str, ...], float]:
    """Figures in the file by name without `ndvi_archive_`, continent, and further label."""
    found = {}
    for family in text_string_to_metric_families(file.read_text()):
        assert family.type == "gauge"
        for sample in family.samples:
            name = sample.name.removeprefix("ndvi_archive_")
            found[name, sample.labels.pop("continent"), *sample.labels.values()] = sample.value
    return found


def test_a_run_is_told_in_base_units(file: Path) -> None:
    write_metrics(file, [report()])

    kinds = {"skipped": 7, "empty": 1, "late": 2, "renumbered": 1}
    kinds |= dict.fromkeys(("republished", "withdrawn", "duplicate", "ahead"), 0)
    expected: dict[tuple[str, ...], float] = {
        ("frames", "Europe", kind): count for kind, count in kinds.items()
    }
    assert figures(file) == expected | {
        ("frames_archived", "Europe"): 20,
        ("read_bytes", "Europe"): 12345678901,
        ("written_bytes", "Europe"): 999,
        ("retries", "Europe"): 3,
        ("stage_seconds", "Europe", "extract"): 61.5,
        ("stage_seconds", "Europe", "load"): 2.25,
        ("run_seconds", "Europe"): 90.5,
        ("stale", "Europe"): 0,
        ("newest_frame_timestamp_seconds", "Europe"): NEWEST.timestamp(),
        ("last_run_timestamp_seconds", "Europe"): NIGHT.timestamp() + 90.5,
        ("last_run_exit_code", "Europe"): 0,
        ("last_success_timestamp_seconds", "Europe"): NIGHT.timestamp() + 90.5,
    }


def test_each_continent_has_lines_of_its_own(file: Path) -> None:
    write_metrics(file, [report(), report("South America", archived=4, stale=True)])

    found = figures(file)
    assert found["frames_archived", "Europe"] == 20
    assert found["frames_archived", "South America"] == 4
    assert found["stale", "South America"] == 1


def test_a_failed_run_keeps_the_last_success_and_the_newest_frame_of_the_file(file: Path) -> None:
    write_metrics(file, [report()])
    for days in (1, 2):
        write_metrics(file, [failed(days=days)])

    found = figures(file)
    assert found["last_run_exit_code", "Europe"] == 3
    assert found["last_run_timestamp_seconds", "Europe"] == (NIGHT + timedelta(days=2, seconds=5)).timestamp()
    assert found["last_success_timestamp_seconds", "Europe"] == NIGHT.timestamp() + 90.5
    assert found["newest_frame_timestamp_seconds", "Europe"] == NEWEST.timestamp()
    assert ("stale", "Europe") not in found


def test_a_failed_run_keeps_the_last_success_of_earlier_reports(file: Path) -> None:
    write_metrics(file, [report(), failed(days=1), failed(days=2)])

    found = figures(file)
    assert found["frames_archived", "Europe"] == 0
    assert found["last_run_exit_code", "Europe"] == 3
    assert found["last_success_timestamp_seconds", "Europe"] == NIGHT.timestamp() + 90.5
    assert found["newest_frame_timestamp_seconds", "Europe"] == NEWEST.timestamp()


def test_a_continent_that_never_succeeded_has_no_time_of_success(file: Path) -> None:
    write_metrics(file, [report(), failed("Africa")])

    found = figures(file)
    assert ("last_run_exit_code", "Africa") in found
    assert ("last_success_timestamp_seconds", "Africa") not in found
    assert ("newest_frame_timestamp_seconds", "Africa") not in found


def test_of_a_killed_run_only_what_is_known_is_told(file: Path) -> None:
    write_metrics(file, [{"continent": "Europe", "exit_code": 137, "error": "killed by SIGKILL"}])

    assert figures(file) == {("last_run_exit_code", "Europe"): 137}


@pytest.mark.parametrize("before", [b"", b"{not metrics", b"\xff\xfe", b'a{continent="x"} 1 2 3 4\n'])
def test_a_file_that_is_something_else_is_replaced(file: Path, before: bytes) -> None:
    file.write_bytes(before)

    write_metrics(file, [report()])

    assert figures(file)["frames_archived", "Europe"] == 20


def test_a_continent_that_falls_out_of_the_file_is_named(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_metrics(file, [report(), report("Africa")])
    assert not caplog.records

    with caplog.at_level(logging.WARNING):
        write_metrics(file, [report()])

    assert "told of Africa and no longer does" in caplog.text
    assert {key[1] for key in figures(file)} == {"Europe"}


def test_a_file_that_cannot_be_written_is_told_and_stays_as_it_was(file: Path) -> None:
    file.mkdir()

    with pytest.raises(StorageError, match=r"cannot write the metrics .*; check --metrics"):
        write_metrics(file, [report()])

    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_names_follow_the_rules_of_prometheus(file: Path) -> None:
    write_metrics(file, [report(), failed("Africa")])
    units = ("_seconds", "_bytes")

    for family in text_string_to_metric_families(file.read_text()):
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_info", "_gauge"))
        words = family.name.split("_")
        assert not {"milliseconds", "minutes", "hours", "days", "kilobytes", "megabytes"} & set(words)
        assert all(family.name.endswith(unit) for unit in units if unit in family.name)


def test_promtool_finds_nothing_to_blame(file: Path) -> None:
    write_metrics(file, [report(), failed("Africa")])
    if not (promtool := shutil.which("promtool")):
        pytest.skip("NOT CHECKED WITH PROMTOOL: it is not installed")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=file.read_bytes(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
