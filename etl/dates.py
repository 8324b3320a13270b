"""Dates and times as people give them; UTC unless they say otherwise."""

import re
from calendar import monthrange
from datetime import UTC, date, datetime

from etl.errors import UsageError


def moment(given: str | date, *, end: bool = False) -> datetime:
    """The moment at which a time, or a day, month or year begins or ends.

    Args:
        given: ISO 8601, such as `2021`, `2021-03`, `2021-03-31` or `2021-03-31T10:00`, or a date or datetime
            of Python. UTC, unless it has a time zone of its own.
        end: of a day, month or year take its last second instead of its first.

    Returns:
        That moment, with the time zone UTC.

    Raises:
        UsageError: It is no such date.
    """
    try:
        return _last_second(given) if end and _is_period(given) else _first(given)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{given!r} is no date such as 2021-01-31, 2021-01 or 2021-01-31T10:00",
            "give a year, month, day or time; it is UTC",
        ) from None


def _is_period(given: str | date) -> bool:
    if isinstance(given, str):
        return len(given) <= len("2021-01-31")
    return not isinstance(given, datetime)


def _first(given: str | date) -> datetime:
    if isinstance(given, str):
        if "W" in given.upper():
            raise ValueError("a week is neither a day, a month nor a year")
        if re.fullmatch(r"\d{4}(-\d\d)?", given, re.ASCII):
            return datetime(int(given[:4]), int(given[5:] or 1), 1, tzinfo=UTC)
        given = datetime.fromisoformat(given)
    if not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day, tzinfo=UTC)
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


def _last_second(period: str | date) -> datetime:
    last = _first(period)
    length = len(period) if isinstance(period, str) else len("2021-01-31")
    if length == len("2021"):
        last = last.replace(month=12)
    if length <= len("2021-12"):
        last = last.replace(day=monthrange(last.year, last.month)[1])
    return last.replace(hour=23, minute=59, second=59)
