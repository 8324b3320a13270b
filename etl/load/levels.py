"""The levels beside a group's frames, as its metadata tell of them; see `etl.transform.overview`.

A level is a group of its own, `overviews/2`, `overviews/4`, …, with `ndvi`, `time` and the coordinates of its
cells. Its own metadata consolidate those of its arrays, so that it can be opened by itself.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from etl.load.attributes import OVERVIEWS, SERIES
from etl.load.schema import ALONG_TIME

Document = Mapping[str, Any]
Value = TypeVar("Value")

_LEVEL = re.compile(rf"{OVERVIEWS}/([1-9][0-9]*)/ndvi")
_ARRAY = re.compile(rf"((?:{OVERVIEWS}/[1-9][0-9]*/|{SERIES}/)?(?!(?:{OVERVIEWS}|{SERIES})/)[a-z_]+)/(.+)")


def level_name(factor: int, array: str = "ndvi") -> str:
    """The name of one of a level's arrays in the group of the frames."""
    return f"{OVERVIEWS}/{factor}/{array}"


def factors_of(documents: Iterable[str]) -> tuple[int, ...]:
    """The levels that there are.

    Args:
        documents: names of the group's metadata documents.
    """
    return tuple(sorted(int(match[1]) for name in documents if (match := _LEVEL.fullmatch(name))))


def arrays_of_frames(known: Mapping[str, Value]) -> dict[str, Value]:
    """The arrays that hold frames' values, `ndvi` first, then from level to level.

    Args:
        known: all arrays of the group, or their metadata documents, by name.
    """
    names = ["ndvi", *(level_name(factor) for factor in factors_of(known))]
    return {name: known[name] for name in names if name in known}


def along_time(documents: Iterable[str]) -> list[str]:
    """Names of all arrays that grow with every frame."""
    factors = factors_of(documents)
    return [*ALONG_TIME, *(level_name(factor, name) for factor in factors for name in ("ndvi", "time"))]


def changing(documents: Iterable[str]) -> list[str]:
    """Names of all documents that change with every commit: arrays', and those of groups that consolidate."""
    factors = factors_of(documents)
    groups = [OVERVIEWS, *(f"{OVERVIEWS}/{factor}" for factor in factors)] if factors else []
    return [*along_time(documents), *groups]


def own_document(documents: Mapping[str, Document], name: str) -> Document:
    """A document as it is written where it belongs: a group's holds those of all below it.

    Args:
        documents: the documents that the root consolidates.
        name: one of them.
    """
    document = documents[name]
    consolidated = document.get("consolidated_metadata")
    if not isinstance(consolidated, Mapping):
        return document
    below = {
        other.removeprefix(f"{name}/"): each
        for other, each in documents.items()
        if other.startswith(f"{name}/")
    }
    return {**document, "consolidated_metadata": {**consolidated, "metadata": below}}


def array_and_chunk(key: str) -> tuple[str, str]:
    """The name of an array, and the key in there, of an object in a group; both empty for one of no array."""
    found = _ARRAY.fullmatch(key)
    return (found[1], found[2]) if found else ("", "")
