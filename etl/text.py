"""Text from outside, made fit to be shown.

What a service, a file or a name holds may neither control a terminal nor look like other text. All that this
program prints or logs as text goes through here; JSON is ASCII with escapes of its own, and stays exact.
"""

import re

LONGEST_LINE = 2000
"""Letters of one message that are shown at most."""

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that are seen no more than a zero-width space, though Unicode calls them printable."""


def printable(text: str) -> str:
    r"""The text with an escape such as `\u202e` for all but visible letters, spaces and ends of lines.

    Escaped are control characters, marks that change the direction of text, separators, invisible letters and
    halves of surrogate pairs.
    """
    return "\n".join(map(_escaped, text.split("\n")))


def one_line(text: str) -> str:
    """The same on one line, of which no more than its beginning is kept where it is very long."""
    left_out = len(text) - LONGEST_LINE
    line = _escaped(" ".join(re.split(r"[ \t\r\n]+", text[:LONGEST_LINE].strip(" \t\r\n"))))
    return f"{line}… ({left_out} more)" if left_out > 0 else line


def _escaped(line: str) -> str:
    if line.isprintable() and not _INVISIBLE.search(line):
        return line
    return "".join(
        letter
        if letter.isprintable() and not _INVISIBLE.match(letter)
        else letter.encode("unicode_escape").decode()
        for letter in line
    )
