"""A time series as a table: every number of it, and gaps as gaps."""

import csv
import io
from datetime import UTC, datetime

import numpy as np
import pytest

import etl
from etl.analysis.region import box
from etl.analysis.selection import Selection
from etl.analysis.table import as_csv, as_text, rows_of

from .archives import Archived


@pytest.fixture
def selection(by_frames: Archived) -> Selection:
    return Selection(by_frames.place, "Europe", region=box(-5, 40, 10, 60))


def test_the_csv_reads_back_to_the_numbers(selection: Selection) -> None:
    series = etl.timeseries(selection)

    text = as_csv(series)

    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert list(rows[0]) == ["time", "satellite", "value", "pixels"]
    values = [float(row["value"] or "nan") for row in rows]
    np.testing.assert_allclose(values, series.value.values, atol=5.1e-7)
    assert [int(row["pixels"]) for row in rows] == series.pixels.values.tolist()
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    assert {time.tzinfo for time in times} == {UTC}
    naive = [time.replace(tzinfo=None) for time in times]
    np.testing.assert_array_equal(np.array(naive, "datetime64[s]"), series.time.values)
    assert [row["satellite"] for row in rows] == series.satellite.values.tolist()


def test_the_csv_is_of_the_form_that_its_standard_asks_for(selection: Selection) -> None:
    text = as_csv(etl.timeseries(selection))

    lines = text.split("\r\n")
    assert lines[0] == "time,satellite,value,pixels"
    assert lines[-1] == ""
    assert len(lines) == 12
    assert "\n" not in text.replace("\r\n", "")
    assert lines[4] == f"{lines[4][:20]},S3B,,0"


def test_counts_are_whole_numbers(selection: Selection) -> None:
    series = etl.timeseries(selection, stat="count")

    assert [row.value for row in rows_of(series)] == series.pixels.values.tolist()
    assert all(isinstance(row.value, int) for row in rows_of(series))


def test_people_get_aligned_columns(selection: Selection) -> None:
    lines = as_text(etl.timeseries(selection)).splitlines()

    assert len(lines) == 11
    assert {len(line) for line in lines} == {len(lines[0])}
    assert lines[0].split() == ["time", "satellite", "value", "pixels"]
    assert lines[4].split()[1:] == ["S3B", "-", "0"]
