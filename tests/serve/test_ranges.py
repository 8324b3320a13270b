"""Ranges as they are asked for, against what slices of bytes are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.serve.ranges import Range, parse_range

POSITIONS = st.integers(0, 40)
DATA = bytes(range(32))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", Range(0, 0)),
        ("bytes=5-", Range(5, None)),
        ("bytes=-5", Range(None, 5)),
        ("Bytes= 2-3 ", Range(2, 3)),
    ],
)
def test_a_range_is_read(header: str, expected: Range) -> None:
    assert parse_range(header) == expected


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes", "bytes=", "bytes=-", "bytes=4-3", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b"],
)
def test_what_is_no_single_range_asks_for_all(header: str | None) -> None:
    assert parse_range(header) is None


@pytest.mark.parametrize(
    "header", ["bytes=--1", "bytes=0-" + "9" * 19, "bytes=0x0-0x5", "bytes=\u0660-\u0665"]
)
def test_what_is_no_number_asks_for_all(header: str) -> None:
    assert parse_range(header) is None


@given(POSITIONS, POSITIONS, POSITIONS)
def test_a_range_is_a_slice(size: int, first: int, length: int) -> None:
    data = DATA[: min(size, len(DATA))]
    wanted = Range(first, first + length)

    span = wanted.within(len(data))

    assert (data[slice(*span)] if span else b"") == data[first : first + length + 1]


@given(POSITIONS, POSITIONS)
def test_a_suffix_is_the_end(size: int, length: int) -> None:
    data = DATA[: min(size, len(DATA))]

    span = Range(None, length).within(len(data))

    assert (data[slice(*span)] if span else b"") == (data[-length:] if length else b"")
