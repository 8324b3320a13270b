"""Bars of a terminal: their heights, their gaps and their width."""

import numpy as np
import pytest
import xarray as xr

from etl.analysis.sparkline import BARS, PLAIN_BARS, sparklines


def series(values: dict[str, list[float]], stat: str = "mean") -> xr.Dataset:
    """One value a day of each satellite, from 2021-03-01 on."""
    times, names, numbers = [], [], []
    for day in range(max(map(len, values.values()))):
        for name, each in values.items():
            times.append(np.datetime64("2021-03-01", "ns") + np.timedelta64(day, "D"))
            names.append(name)
            numbers.append(each[day])
    return xr.Dataset(
        {"value": ("time", np.array(numbers, np.float64))},
        {"time": times, "satellite": ("time", names)},
        {"statistic": stat},
    )


def test_bars_rise_with_the_values() -> None:
    lines = sparklines(series({"S3A": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]}), 80).splitlines()

    assert lines == [f"S3A  {BARS}  0.1000 to 0.8000", "     2021-03-01  2021-03-08"]


def test_satellites_have_a_line_each_on_one_scale() -> None:
    lines = sparklines(series({"S3A": [0.2, 0.2, 0.4], "S3B": [0.4, 0.8, 0.8]}), 80).splitlines()

    assert lines[:2] == ["S3A  ▁▁▃  0.2000 to 0.4000", "S3B  ▃██  0.4000 to 0.8000"]


def test_gaps_are_blank() -> None:
    nan = float("nan")

    lines = sparklines(series({"S3A": [0.2, nan, 0.4], "S3B": [nan, nan, nan]}), 80).splitlines()

    assert lines[:2] == ["S3A  ▁ █  0.2000 to 0.4000", "S3B       no data"]


def test_nothing_but_gaps_can_be_drawn() -> None:
    assert sparklines(series({"S3A": [float("nan")]}), 80) == "S3A     no data\n     2021-03-01"


def test_values_that_are_all_the_same_are_one_low_line() -> None:
    assert sparklines(series({"S3A": [0.3, 0.3]}), 80).startswith("S3A  ▁▁  0.3000 to 0.3000\n")


@pytest.mark.parametrize("width", [50, 80, 200])
def test_long_series_are_averaged_into_the_width_of_the_terminal(width: int) -> None:
    values = np.linspace(0, 0.8, 1000).tolist()

    line, dates = sparklines(series({"S3A": values}), width).splitlines()

    assert len(line) == width
    bars = line[5 : -len("  0.0000 to 0.8000")]
    assert [*bars] == sorted(bars)
    assert set(bars) == set(BARS)
    assert dates.split() == ["2021-03-01", "2023-11-25"]
    assert len(dates) == 5 + len(bars)


def test_counts_are_told_as_such_and_terminals_of_ascii_have_letters() -> None:
    text = sparklines(series({"S3A+S3B": [10.0, 250_000.0]}, "count"), 80, PLAIN_BARS)

    assert text == "S3A+S3B  _#  10 to 250000\n         2021-03-01  2021-03-02"
    assert text.isascii()
