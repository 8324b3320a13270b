"""Dates as people give them; tests of the command line hold them for options."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from etl.dates import moment
from etl.errors import UsageError


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ("2021", "2021-01-01T00:00:00", "2021-12-31T23:59:59"),
        ("9999", "9999-01-01T00:00:00", "9999-12-31T23:59:59"),
        ("2021-12", "2021-12-01T00:00:00", "2021-12-31T23:59:59"),
        ("2024-02", "2024-02-01T00:00:00", "2024-02-29T23:59:59"),
        ("2021-01-31", "2021-01-31T00:00:00", "2021-01-31T23:59:59"),
        ("20210131", "2021-01-31T00:00:00", "2021-01-31T23:59:59"),
        ("2021-01-31T10", "2021-01-31T10:00:00", "2021-01-31T10:00:00"),
        ("2021-01-31 10:00+02:00", "2021-01-31T08:00:00", "2021-01-31T08:00:00"),
        (date(2021, 1, 31), "2021-01-31T00:00:00", "2021-01-31T23:59:59"),
        (datetime(2021, 1, 31, 10), "2021-01-31T10:00:00", "2021-01-31T10:00:00"),
        (
            datetime(2021, 1, 31, 10, tzinfo=timezone(timedelta(hours=2))),
            "2021-01-31T08:00:00",
            "2021-01-31T08:00:00",
        ),
    ],
)
def test_a_date_begins_and_ends_in_utc(given: str | date, first: str, last: str) -> None:
    assert moment(given) == datetime.fromisoformat(first).replace(tzinfo=UTC)
    assert moment(given, end=True) == datetime.fromisoformat(last).replace(tzinfo=UTC)
    assert moment(given).tzinfo is UTC


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("given", ["", "202", "2021-1", "2021-13", "2021-W05", "0000", "٢٠٢١", "yesterday"])
def test_what_is_no_date_is_told_with_dates_that_are(given: str, end: bool) -> None:
    with pytest.raises(
        UsageError, match="is no date such as 2021-01-31, 2021-01 or 2021-01-31T10:00; give a"
    ):
        moment(given, end=end)
