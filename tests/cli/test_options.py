"""Dates as people write them."""

from datetime import UTC, datetime

import click
import pytest

from etl.cli.options import IsoTime


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2021", utc(2021, 1, 1), utc(2021, 12, 31, 23, 59, 59)),
        ("2021-01", utc(2021, 1, 1), utc(2021, 1, 31, 23, 59, 59)),
        ("2021-02", utc(2021, 2, 1), utc(2021, 2, 28, 23, 59, 59)),
        ("2024-02", utc(2024, 2, 1), utc(2024, 2, 29, 23, 59, 59)),
        ("2021-12", utc(2021, 12, 1), utc(2021, 12, 31, 23, 59, 59)),
        ("2021-01-31", utc(2021, 1, 31), utc(2021, 1, 31, 23, 59, 59)),
        ("20210131", utc(2021, 1, 31), utc(2021, 1, 31, 23, 59, 59)),
        ("0001", utc(1, 1, 1), utc(1, 12, 31, 23, 59, 59)),
        ("9999", utc(9999, 1, 1), utc(9999, 12, 31, 23, 59, 59)),
        ("9999-12", utc(9999, 12, 1), utc(9999, 12, 31, 23, 59, 59)),
        ("9999-12-31", utc(9999, 12, 31), utc(9999, 12, 31, 23, 59, 59)),
    ],
)
def test_a_year_a_month_or_a_date_is_all_of_it(text: str, first: datetime, last: datetime) -> None:
    assert IsoTime().convert(text, None, None) == first
    assert IsoTime(end=True).convert(text, None, None) == last


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2021-01-31T10:00", utc(2021, 1, 31, 10)),
        ("2021-01-31 10:00:05", utc(2021, 1, 31, 10, 0, 5)),
        ("2021-01-31T10:00Z", utc(2021, 1, 31, 10)),
        ("2021-01-31T10:00+02:00", utc(2021, 1, 31, 8)),
        ("2021-12-31T23:30-05:30", utc(2022, 1, 1, 5)),
        ("20210131T1000", utc(2021, 1, 31, 10)),
    ],
)
def test_a_time_is_itself_and_utc_unless_it_says_otherwise(text: str, moment: datetime) -> None:
    for option in (IsoTime(), IsoTime(end=True)):
        found = option.convert(text, None, None)
        assert found == moment
        assert found.tzinfo is UTC


def test_what_is_a_time_already_is_taken() -> None:
    moment = utc(2021, 1, 31, 10)

    assert IsoTime(end=True).convert(moment, None, None) is moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "21",
        "2021-1",
        "2021-00",
        "2021-13",
        "2021-02-30",
        "0000",
        "10000",
        "-2021",
        " 2021",
        "2021 ",
        "2021\n",
        "٢٠٢١",
        "31.01.2021",
        "2021-01-31T25:00",
        "2021-01-31T10:00+99:00",
        "9999-12-31T23:00-05:00",
        "0001-01-01T00:00+05:00",
    ],
)
@pytest.mark.parametrize("end", [False, True])
def test_nonsense_is_refused_with_examples(text: str, end: bool) -> None:
    with pytest.raises(click.BadParameter) as refusal:
        IsoTime(end=end).convert(text, None, None)
    assert refusal.value.message == (f"{text!r} is no date such as 2021-01-31, 2021-01 or 2021-01-31T10:00")
