"""Text from outside, as it is shown."""

import unicodedata

import pytest

from etl.errors import ServiceError, StreamError
from etl.text import LONGEST_LINE, one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – 84 × 50, Größe, 日本, 🌍", "plain – 84 × 50, Größe, 日本, 🌍"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x9b2J\x85\x7f", r"\x9b2J\x85\x7f"),
        ("\u202ecod.exe\u202c\u2066\u2069\u200f\u061c", r"\u202ecod.exe\u202c\u2066\u2069\u200f\u061c"),
        ("a\u200bb\u2060\ufeff\u00ad", r"a\u200bb\u2060\ufeff\xad"),
        ("a\u2028b\u2029c\xa0d", r"a\u2028b\u2029c\xa0d"),
        ("\udc9b\ud800", r"\udc9b\ud800"),
        ("\u3164\u115f\U000e0041\ufe0f", r"\u3164\u115f\U000e0041\ufe0f"),
        ("back\\slash", "back\\slash"),
    ],
    ids=["visible", "C0", "C1", "bidi", "zero width", "separators", "surrogates", "invisible", "backslash"],
)
def test_all_but_visible_letters_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == one_line(text) == shown


def test_no_control_or_format_character_of_unicode_is_left() -> None:
    every = "".join(map(chr, range(0x110000)))
    left = {unicodedata.category(letter) for letter in printable(every)} - {"Cc"}
    assert not left & {"Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert {letter for letter in printable(every) if unicodedata.category(letter) == "Cc"} == {"\n"}


def test_lines_stay_lines_unless_there_may_be_only_one() -> None:
    assert printable("a\n  b\r\n\tc\n") == "a\n  b\\r\n\\tc\n"
    assert one_line(" a\n  b\r\n\tc\n") == "a b c"


def test_a_line_has_an_end() -> None:
    line = one_line("\u202e" * 10_000_000)
    assert line.startswith(r"\u202e\u202e")
    assert line.endswith("… (9998000 more)")
    assert len(line) < 7 * LONGEST_LINE


def test_an_error_is_one_printable_line() -> None:
    error = ServiceError("\x1b[31m answered\n  \u202e", "see\u2028 that")
    assert str(error) == r"\x1b[31m answered \u202e; see\u2028 that"
    again = StreamError(*StreamError("\x07" * 3000, "\n", 3).args)
    assert again.what.endswith("… (1000 more)")
    assert again.number == 3
