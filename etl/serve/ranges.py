"""The part of an object that a request asks for (RFC 9110, section 14)."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


@dataclass(frozen=True)
class Range:
    """A range of bytes as it was asked for.

    Attributes:
        first: position of the first byte; None for a suffix.
        last: position of the last byte, included, or the length of a suffix; None is up to the end.
    """

    first: int | None
    last: int | None

    def within(self, size: int) -> tuple[int, int] | None:
        """Position of the first byte and of the one after the last, or None if no byte is in the range."""
        if self.first is None:
            start, stop = max(0, size - (self.last or 0)), size
        else:
            start, stop = self.first, size if self.last is None else min(size, self.last + 1)
        return (start, stop) if start < stop else None


def parse_range(header: str | None) -> Range | None:
    """Read a `Range` header.

    Returns:
        None where the whole object is to be sent: no header, one that is not valid or of another unit, or
        several ranges, which a server need not serve apart.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None:
        return None
    first, last = (int(text) if text else None for text in found.groups())
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        return None
    return Range(first, last)
