"""Which objects of an archive are served, as what, and for how long others may keep them."""

import re
from pathlib import PurePosixPath

from etl.catalog.collection import OVERVIEW, THUMBNAIL
from etl.catalog.style import EXPORT, ITEMS
from etl.load.inventory import CATALOG, COLLECTION, GROUP, ROOT
from etl.load.levels import array_and_chunk

IMMUTABLE = "public, max-age=31536000, immutable"
FOR_AN_HOUR = "public, max-age=3600"
"""Of a frame asked for by its place alone: the second rebuild from now can put another one there."""

REVALIDATED = "no-cache"
"""To be kept, and to be asked about every time it is used."""

_CONTINENT = re.compile(r"(?=.{1,64}$)[a-z]+(-[a-z]+)*")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_OF_A_CONTINENT = (COLLECTION, EXPORT, OVERVIEW, THUMBNAIL)
_MEDIA_TYPES = {
    ".json": "application/json",
    ".geojson": "application/geo+json",
    ".png": "image/png",
    ".parquet": "application/vnd.apache.parquet",
}


def is_served(path: str) -> bool:
    """Whether a path, relative to the archive and without escapes, names an object of the archive.

    It is one of the Zarr groups', STAC's or a quicklook. What is hidden, the reports of runs and what else
    may lie there is not; nor is anything by a name that a file system could take for another one.
    """
    parts = path.split("/")
    if not all(_NAME.fullmatch(part) for part in parts):
        return False
    match parts:
        case [name]:
            return name == CATALOG
        case [continent, name]:
            ours = name in _OF_A_CONTINENT
            return ours and _CONTINENT.fullmatch(continent) is not None
        case [continent, folder, *_]:
            ours = folder == GROUP or (folder == ITEMS and PurePosixPath(path).suffix in _MEDIA_TYPES)
            return ours and _CONTINENT.fullmatch(continent) is not None
    return False


def continent_of_group(path: str) -> str | None:
    """The folder of the continent whose Zarr group a path names, with or without a slash at the end."""
    continent, _, name = path.removesuffix("/").partition("/")
    return continent if name == GROUP and _CONTINENT.fullmatch(continent) else None


def media_type(key: str) -> str:
    """The media type of an object by its name; a Zarr chunk is just bytes."""
    if key.partition("/")[2].startswith(f"{ITEMS}/") and _is_item(key):
        return "application/geo+json"
    return _MEDIA_TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")


def cache_control(key: str, *, by_checksum: bool = False) -> str:
    """How long the object of a key may be kept.

    Args:
        key: the object's key.
        by_checksum: it was asked for with its frame's checksum as `crc32c` in the query, so that no other
            contents are ever asked for by the same address.
    """
    _, _, inside = key.partition(f"/{GROUP}/")
    array, chunk = array_and_chunk(inside)
    if array.rpartition("/")[2] != "ndvi" or chunk == ROOT:
        return REVALIDATED
    return IMMUTABLE if by_checksum else FOR_AN_HOUR


def _is_item(key: str) -> bool:
    return key.endswith(".json") and not key.endswith((f"/{CATALOG}", f"/{COLLECTION}"))
