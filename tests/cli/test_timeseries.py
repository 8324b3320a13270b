"""`ndvi-archive timeseries`, as a user runs it."""

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import etl
from etl.analysis.region import box, point
from etl.analysis.selection import Selection
from etl.analysis.sparkline import BARS
from etl.analysis.table import as_csv, as_text
from etl.demo.service import StandIn, Stream
from tests.forked import clean_environment
from tests.program import PROGRAM, Ended, at_a_terminal, contents, convert, run


@pytest.fixture(scope="module")
def europe_archive(europe: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days of two satellites; to be read only."""
    folder = tmp_path_factory.mktemp("timeseries") / "archive"
    with StandIn({"Europe": europe}) as service:
        assert convert(service, folder).code == 0
    return folder


def timeseries(archive: Path, *arguments: str | Path, variables: dict[str, str] | None = None) -> Ended:
    return run("timeseries", "Europe", "--archive", archive, *arguments, variables=variables)


def terminal(*arguments: str | Path, **variables: str) -> str:
    """What is shown by a terminal of 70 columns."""
    return at_a_terminal(*arguments, stream="stdout", variables={"COLUMNS": "70"} | variables)


def test_without_a_terminal_it_is_a_table_and_nothing_else(europe_archive: Path) -> None:
    ended = timeseries(europe_archive, "--lon", "11.6", "--lat", "48.1")

    assert (ended.code, ended.err) == (0, "")
    place = Selection(europe_archive, "Europe", region=point(11.6, 48.1))
    assert ended.out == as_text(etl.timeseries(place)) + "\n"
    assert len(ended.out.splitlines()) == 21


def test_table_and_chart_go_into_files(europe_archive: Path, tmp_path: Path) -> None:
    table, picture = tmp_path / "ndvi.csv", tmp_path / "ndvi.PNG"

    ended = timeseries(
        europe_archive,
        *("--bbox", "-5,40,15,50", "--start", "2021-03-02", "--end", "2021-03-08", "--satellite", "S3B"),
        *("--stat", "median", "--no-mask", "--csv", table, "--plot", picture),
    )

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == f"written to {table} and {picture}"
    rows = list(csv.DictReader(io.StringIO(table.read_bytes().decode(), newline="")))
    opened = etl.open_archive(europe_archive, "Europe", mask=False)
    assert {row["satellite"] for row in rows} == {"S3B"}
    assert [row["time"][:10] for row in rows] == [f"2021-03-{day:02}" for day in range(2, 9)]
    within = opened.sel(
        longitude=slice(-5, 15), latitude=slice(50, 40), time=slice("2021-03-02", "2021-03-08")
    )
    s3b = within.ndvi.values[within.satellite.values == "S3B"]
    for row, values in zip(rows, s3b, strict=True):
        assert int(row["pixels"]) == np.isfinite(values).sum()
        assert float(row["value"]) == pytest.approx(np.nanmedian(values), abs=0.02)
    with Image.open(picture) as found:
        assert (found.format, found.size) == ("PNG", (1350, 675))
    assert sorted(contents(tmp_path)) == ["ndvi.PNG", "ndvi.csv"]


def test_the_table_goes_to_standard_output_as_csv(europe_archive: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "timeseries", "Europe", "--archive", europe_archive, "--together", "--csv", "-"],
        env=clean_environment(),
        capture_output=True,
        check=True,
    )

    selection = Selection(europe_archive, "Europe")
    assert done.stdout.decode() == as_csv(etl.timeseries(selection, together=True))
    assert done.stdout.count(b"\r\n") == 11
    assert done.stderr == b""


def test_programs_get_json(europe_archive: Path) -> None:
    ended = timeseries(europe_archive, "--stat", "max", "--bbox", "5,45,15,50", "--json")

    assert len(ended.out.splitlines()) == 1
    told = json.loads(ended.out)
    assert {name: told[name] for name in ("continent", "region", "stat")} == {
        "continent": "Europe",
        "region": "45°N 5°E to 50°N 15°E",
        "stat": "max",
    }
    series = etl.timeseries(Selection(europe_archive, "Europe", region=box(5, 45, 15, 50)), stat="max")
    values = [np.nan if row["value"] is None else row["value"] for row in told["rows"]]
    np.testing.assert_allclose(values, series.value.values, atol=5.1e-7)
    assert told["rows"][0]["time"] == "2021-03-01T09:49:07+00:00"


def test_a_terminal_shows_the_table_and_bars_below(europe_archive: Path) -> None:
    shown = terminal("timeseries", "Europe", "--archive", europe_archive, PYTHONUTF8="1")

    table, bars = shown.rstrip("\n").split("\n\n")
    series = etl.timeseries(Selection(europe_archive, "Europe"))
    assert table == as_text(series)
    title, s3a, s3b, dates = bars.split("\n")
    assert title == "Europe: mean NDVI"
    assert set(s3a[5:15]) | set(s3b[5:15]) <= set(BARS)
    assert (s3a[:5], s3b[:5]) == ("S3A  ", "S3B  ")
    assert dates.split() == ["2021-03-01", "2021-03-10"]


def test_a_terminal_without_such_letters_shows_bars_of_ascii(europe_archive: Path, tmp_path: Path) -> None:
    shown = terminal(
        *("timeseries", "Europe", "--archive", europe_archive, "--csv", tmp_path / "ndvi.csv"),
        PYTHONIOENCODING="ascii",
    )

    assert shown.isascii()
    assert shown.startswith("Europe: mean NDVI\nS3A  ")
    assert shown.endswith(f"written to {tmp_path}/ndvi.csv\n")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("--lon", "100", "--lat", "10"), 2, "10°N 100°E lies outside of the archive; choose a place within"),
        (
            ("--plot", "ndvi.jpg"),
            2,
            "--plot ndvi.jpg is of no known kind; end its name in .png, .svg or .pdf",
        ),
        (
            ("--csv", "-", "--json"),
            2,
            "CSV and JSON are both to go to standard output; name a file for --csv",
        ),
        (("--plot", "/proc/ndvi.png"), 1, "cannot write /proc/ndvi.png"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    europe_archive: Path, arguments: tuple[str, ...], code: int, error: str
) -> None:
    ended = timeseries(europe_archive, *arguments)

    assert (ended.code, ended.out) == (code, "")
    assert ended.error.startswith(error)


def test_a_chart_without_matplotlib_is_refused_before_anything_is_read(
    europe_archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['matplotlib'] = None")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)

    ended = timeseries(europe_archive, "--plot", tmp_path / "ndvi.png", variables={"PYTHONPATH": path})

    assert ended.code == 2
    assert ended.error == "charts need matplotlib; run pip install 'ndvi-archive[analysis]'"
    assert not (tmp_path / "ndvi.png").exists()
