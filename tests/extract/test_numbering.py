"""Numbers from times, and the true numbers of key frames whose times are wrong."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from etl.extract.numbering import BrokenError, Clock, Picture, with_true_numbers

CODES = np.zeros((1, 1), np.uint8)


@pytest.mark.parametrize(
    ("start", "time_base", "pts", "number"),
    [
        (Fraction(0), Fraction(1, 12800), 0, 1),
        (Fraction(0), Fraction(1, 12800), 512 * 298, 299),
        (Fraction(7, 5), Fraction(1, 90_000), 126_000, 1),
        (Fraction(7, 5), Fraction(1, 90_000), 126_000 + 3600 * 50, 51),
        (Fraction(7, 5), Fraction(1, 90_000), 126_000 + 3600 * 50 + 71, 51),
        (Fraction(7, 5), Fraction(1, 90_000), 126_000 - 3600, 0),
        (Fraction(-1, 25), Fraction(1, 1000), 0, 2),
    ],
)
def test_the_number_follows_from_the_time(
    start: Fraction, time_base: Fraction, pts: int, number: int
) -> None:
    assert Clock(start, time_base).number(pts) == number


@pytest.mark.parametrize("off", [73, -73, 1800, 900])
def test_a_time_between_two_frames_is_refused(off: int) -> None:
    with pytest.raises(BrokenError, match="not 25 a second"):
        Clock(Fraction(7, 5), Fraction(1, 90_000)).number(126_000 + off)


def test_a_frame_without_a_time_is_refused() -> None:
    with pytest.raises(BrokenError, match="has no time"):
        Clock(Fraction(0), Fraction(1, 25)).number(None)


def pictures(shown: str) -> Iterator[Picture]:
    """Pictures such as `47 48 K46 52`, in the order in which they are shown.

    `K` marks a key frame, decoded before all pictures of its number and later ones; `R` one that is decoded
    where it is shown; `!` is damage.
    """
    seen: list[int] = []
    for place, word in enumerate(shown.split()):
        if word == "!":
            raise BrokenError
        number = int(word.strip("KR"))
        order = min((at for at, other in enumerate(seen) if other >= number), default=place)
        if word[0] == "R":
            order = place
        seen.append(number)
        yield Picture(number, CODES, 8, word[0] in "KR", 2 * order - (word[0] == "K"))


def numbers(shown: str, *, from_start: bool) -> list[int]:
    came = []
    try:
        for picture in with_true_numbers(pictures(shown), from_start=from_start):
            came.append(picture.number)
    except BrokenError:
        assert "!" in shown
    return came


@pytest.mark.parametrize(
    ("shown", "true"),
    [
        ("", []),
        ("K1", [1]),
        ("K1 2 3 K4 5 6 K7", [1, 2, 3, 4, 5, 6, 7]),
        ("K1 2 3 K2 5 6", [1, 2, 3, 4, 5, 6]),
        ("K1 2 3 K2", [1, 2, 3, 4]),
        ("K1 K2 K3", [1, 2, 3]),
        ("K1 2 3 K4 !", [1, 2, 3]),
        ("K1 2 3 K2 !", [1, 2, 3]),
        ("K1 2 K3 8", [1, 2, 8]),
        ("K1 K2 6", [1, 6]),
        ("K1 2 3 K2 6", [1, 2, 3, 2, 6]),
        ("K1 K1 3", [1, 1, 3]),
        ("K1 2 3 R3 5", [1, 2, 3, 3, 5]),
        ("K1 2 3 R3", [1, 2, 3, 3]),
    ],
    ids=str,
)
def test_a_key_frame_has_the_number_between_its_neighbours(shown: str, true: list[int]) -> None:
    assert numbers(shown, from_start=True) == true


@pytest.mark.parametrize(
    ("shown", "true"),
    [
        ("K51 52 53", [51, 52, 53]),
        ("K47 52 53", [52, 53]),
        ("K51", []),
        ("47 48 K47 50", [47, 48, 49, 50]),
        ("K51 !", []),
    ],
    ids=str,
)
def test_after_a_seek_a_key_frame_needs_the_one_that_follows(shown: str, true: list[int]) -> None:
    assert numbers(shown, from_start=False) == true
