"""What a verification finds, and the comparison of JSON documents that most of it rests on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Kind = Literal["damage", "difference"]
"""`damage`: the archive contradicts itself; `difference`: it is sound, and the service says otherwise now."""


MOST_NAMED = 20
"""Findings of one kind that are named; of the others only how many they are."""


@dataclass(frozen=True)
class FrameName:
    """A frame, by all that tells it from the others; what cannot be read is None.

    Attributes:
        position: its position in the archive, from 0.
        number: its number in the stream when it was archived.
        time: sensing start, UTC.
        satellite: `S3A`, `S3B`, …
    """

    position: int
    number: int | None = None
    time: datetime | None = None
    satellite: str | None = None

    def __str__(self) -> str:
        known = (f"{self.time:%Y-%m-%dT%H:%M:%S}" if self.time else None, self.satellite)
        label = " ".join(part for part in known if part)
        number = "?" if self.number is None else self.number
        return f"frame {number}{f' ({label})' if label else ''} at position {self.position}"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        check: what was looked at: `root`, `metadata`, `column`, `coordinate`, `object`, `frame`, `catalog`
            or `source`.
        what: what is wrong, in a sentence without a full stop.
        where: key of the object in the archive.
        frame: the frame it concerns, if it concerns one.
        kind: damage, or a difference from the service.
    """

    check: str
    what: str
    where: str
    frame: FrameName | None = None
    kind: Kind = "damage"

    def __str__(self) -> str:
        return f"{f'{self.frame}: ' if self.frame else ''}{self.what} [{self.where}]"


@dataclass
class Verdict:
    """What was found so far.

    Attributes:
        findings: what is wrong.
        notes: what is worth knowing and not wrong.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def found(self, check: str, what: str, where: str, frame: FrameName | None = None) -> None:
        """Add damage."""
        self.findings.append(Finding(check, what, where, frame))

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True)
class Difference:
    """Where two JSON documents differ.

    Attributes:
        path: the place, such as `extent.temporal.interval[0][1]`; empty for the whole document.
        what: what is there, and what should be.
    """

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path or 'the document'} {self.what}"


def differences(found: object, expected: object, path: str = "") -> Iterator[Difference]:
    """The places at which a JSON value is not the expected one; numbers are compared by value."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for key in expected:
            below = f"{path}.{key}" if path else str(key)
            if key in found:
                yield from differences(found[key], expected[key], below)
            else:
                yield Difference(below, f"is missing; it should be {_shown(expected[key])}")
        for key in found:
            if key not in expected:
                yield Difference(f"{path}.{key}" if path else str(key), "should not be there")
    elif isinstance(found, list) and isinstance(expected, list):
        if len(found) != len(expected):
            yield Difference(path, f"has {len(found)} values, not {len(expected)}")
        for index, (mine, theirs) in enumerate(zip(found, expected, strict=False)):
            yield from differences(mine, theirs, f"{path}[{index}]")
    elif isinstance(found, bool) != isinstance(expected, bool) or found != expected:
        yield Difference(path, f"is {_shown(found)}, not {_shown(expected)}")


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text[:80]}…" if len(text) > 80 else text
