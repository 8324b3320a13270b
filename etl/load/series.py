"""What the `series` group of a continent looks like: the same values in chunks for reading along time.

It lies inside the continent's group and holds the first frames, as many whole periods as were closed when it
was last extended. One shard is one period of 512 × 512 pixels; its chunks are one period deep and narrow. It
has what readers need to open it alone: coordinates, and consolidated metadata of its own. The root of the
continent's group lists it too, and decides which frames are in it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from etl.errors import IncompatibleError
from etl.load.attributes import SERIES
from etl.load.inventory import ROOT, Inventory
from etl.load.schema import CHUNK, Schema, empty_group
from etl.load.stores import Store

PERIOD = 32
"""Frames in a chunk. Deeper ones mean fewer requests, and more newest frames outside the series."""

SIDE = 32
"""Rows and columns of a chunk."""

COLUMNS_OF_SERIES = ("time", "satellite")
"""The arrays with one value a frame that a series has too."""

ALONG_TIME_OF_SERIES = ("ndvi", *COLUMNS_OF_SERIES)

ARRAYS_OF_SERIES = (*ALONG_TIME_OF_SERIES, "latitude", "longitude", "crs")

_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Series:
    """The metadata of a series.

    Attributes:
        attributes: those of its group.
        arrays: metadata documents of its arrays by name.
    """

    attributes: Document
    arrays: Mapping[str, Document]

    def __len__(self) -> int:
        """Number of frames in it."""
        return int(self.arrays["ndvi"]["shape"][0])

    @property
    def period(self) -> int:
        """Frames in a chunk, and in a shard."""
        return self.shard[0]

    @property
    def shard(self) -> tuple[int, int, int]:
        """Frames, rows and columns of a shard."""
        return _three(self.arrays["ndvi"]["chunk_grid"]["configuration"]["chunk_shape"])

    @property
    def chunk(self) -> tuple[int, int, int]:
        """Frames, rows and columns of a chunk."""
        return _three(self.arrays["ndvi"]["codecs"][0]["configuration"]["chunk_shape"])

    def of_length(self, length: int) -> "Series":
        """The same with so many frames."""
        arrays = {
            name: {**document, "shape": [length, *document["shape"][1:]]}
            if name in ALONG_TIME_OF_SERIES
            else document
            for name, document in self.arrays.items()
        }
        return Series(self.attributes, arrays)

    @property
    def own_root(self) -> dict[str, Any]:
        """The metadata document of its group, as it lies in the group."""
        return _group(self.attributes, self.arrays)

    def within(self, root: Document) -> dict[str, Any]:
        """The root metadata document of the continent's group with this series in it."""
        consolidated = root["consolidated_metadata"]
        others = {
            name: document for name, document in consolidated["metadata"].items() if not is_of_series(name)
        }
        mine = {f"{SERIES}/{name}": document for name, document in self.arrays.items()}
        documents = {**others, SERIES: _group(self.attributes, {}), **mine}
        return {**root, "consolidated_metadata": {**consolidated, "metadata": documents}}


def series_of(root: Document) -> Series | None:
    """The series that a root metadata document lists; None where there is none yet.

    Raises:
        LookupError: It is damaged; or TypeError or ValueError.
    """
    documents = root["consolidated_metadata"]["metadata"]
    if SERIES not in documents:
        return None
    arrays = {name: documents[f"{SERIES}/{name}"] for name in ARRAYS_OF_SERIES}
    series = Series(documents[SERIES]["attributes"], arrays)
    if len(series) < 0 or min(series.shard + series.chunk) < 1 or len(series) % series.period:
        raise ValueError("the series' chunks and length do not go together")
    return series


def committed_series(inventory: Inventory) -> Series | None:
    """The series of a continent as it is committed; None where there is none yet.

    Raises:
        IncompatibleError: Its metadata are damaged.
    """
    try:
        return series_of(inventory.root)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise IncompatibleError(
            f"the series in {inventory.store.location(inventory.group_key)} is damaged:"
            f" {type(error).__name__}: {error}",
            f"restore {ROOT} from a copy",
        ) from error


def empty_series(schema: Schema, period: int = PERIOD) -> tuple[Series, dict[str, bytes]]:
    """A series without frames, and the objects it begins with, by their keys in the series' group.

    Args:
        schema: what the frames of the continent share.
        period: frames in a chunk.
    """
    objects = empty_group(replace(schema, overviews=False))
    root = json.loads(objects[ROOT])
    documents = root["consolidated_metadata"]["metadata"]
    ndvi = documents["ndvi"]
    shard = [period, *(min(CHUNK, -(-side // SIDE) * SIDE) for side in ndvi["shape"][1:])]
    codecs = ndvi["codecs"]
    if codecs[0]["name"] == "sharding_indexed":
        codecs = codecs[0]["configuration"]["codecs"]
    sharding = {
        "chunk_shape": [period, SIDE, SIDE],
        "codecs": codecs,
        "index_codecs": _INDEX_CODECS,
        "index_location": "end",
    }
    arrays = {name: documents[name] for name in ARRAYS_OF_SERIES}
    arrays["ndvi"] = {
        **ndvi,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {**ndvi["attributes"], "coordinates": "satellite"},
    }
    attributes = {name: each for name, each in root["attributes"].items() if name != "ndvi_archive_format"}
    attributes["title"] += ", in chunks for reading along time"
    static = {
        key: data
        for key, data in objects.items()
        if key.partition("/")[0] in ARRAYS_OF_SERIES and key.rpartition("/")[2] != ROOT
    }
    return Series(attributes, arrays), static


def is_of_series(name: str) -> bool:
    """Whether the name of a node in a continent's group, or a key there, is the series' or below it."""
    return name.partition("/")[0] == SERIES


def remove_series_metadata(store: Store, group_key: str) -> None:
    """Remove the metadata that a group's series has of its own; its objects stay for those who know them.

    Raises:
        StorageError: The storage refuses a removal.
    """
    folders = ("", *(f"{name}/" for name in ARRAYS_OF_SERIES))
    store.remove([f"{group_key}/{SERIES}/{name}{ROOT}" for name in folders])


def _group(attributes: Document, arrays: Mapping[str, Document]) -> dict[str, Any]:
    consolidated = {"kind": "inline", "must_understand": False, "metadata": dict(arrays)}
    return {
        "attributes": attributes,
        "zarr_format": 3,
        "consolidated_metadata": consolidated,
        "node_type": "group",
    }


def _three(shape: list[int]) -> tuple[int, int, int]:
    frames, rows, columns = (int(side) for side in shape)
    return frames, rows, columns
