"""Which objects of the Zarr groups are served: those that committed metadata name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from etl.load.inventory import GROUP, ROOT
from etl.load.levels import array_and_chunk
from etl.serve.objects import Objects, contents

_CHUNK = re.compile("c|(c/)?(0|[1-9][0-9]{0,8})(/(0|[1-9][0-9]{0,8})){0,2}")


@dataclass(frozen=True)
class _Known:
    """The committed metadata of a group.

    Attributes:
        etag: entity tag of the root they were read from.
        documents: the metadata document of every array and group below the root by name.
    """

    etag: str | None
    documents: Mapping[str, Mapping[str, Any]]


class Groups:
    """The groups of an archive; their metadata stay known until a key is asked for that they do not name."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: dict[str, _Known] = {}

    async def hold(self, folder: str, key: str) -> bool:
        """Whether the metadata of a group name an object.

        Args:
            folder: the continent's folder in the archive.
            key: the object's key in the group.

        Raises:
            StorageError: The storage refuses, or cannot be reached.
        """
        if key == ROOT:
            return True
        known = self._known.get(folder)
        if known is not None and _names(known.documents, key):
            return True
        known = await self._read(folder, known)
        if known is None:
            return False
        return _names(known.documents, key) or await self._is_ahead(folder, known, key)

    async def _is_ahead(self, folder: str, known: _Known, key: str) -> bool:
        """Whether an array's own metadata name an object; a commit writes them before the root."""
        array, chunk = array_and_chunk(key)
        if array not in known.documents or chunk == ROOT:
            return False
        part = await self._objects.read(f"{folder}/{GROUP}/{array}/{ROOT}")
        try:
            own = None if part is None else from_json(await contents(part))
            return own is not None and _names({**known.documents, array: own}, key)
        except (ValueError, LookupError, TypeError):
            return False

    async def _read(self, folder: str, known: _Known | None) -> _Known | None:
        root = f"{folder}/{GROUP}/{ROOT}"
        meta = await self._objects.head(root)
        if meta is None:
            self._known.pop(folder, None)
            return None
        if known is not None and meta.etag is not None and meta.etag == known.etag:
            return known
        part = await self._objects.read(root)
        if part is None:
            return None
        try:
            documents = from_json(await contents(part))["consolidated_metadata"]["metadata"]
        except (ValueError, LookupError, TypeError):
            return None
        self._known[folder] = found = _Known(part.meta.etag, documents)
        return found


def _names(documents: Mapping[str, Mapping[str, Any]], key: str) -> bool:
    name, _, last = key.rpartition("/")
    if last == ROOT:
        return name in documents
    array, chunk = array_and_chunk(key)
    if not _CHUNK.fullmatch(chunk):
        return False
    own = "default" if chunk.startswith("c") else "v2"
    document = documents.get(array, documents["ndvi"])
    if document["chunk_key_encoding"]["name"] != own:
        # Whoever opened the group before a rebuild still reads the objects of then.
        return array.rpartition("/")[2] in {each.rpartition("/")[2] for each in documents}
    indices = [int(index) for index in chunk.removeprefix("c").split("/") if index]
    shape = document["shape"] if array in documents else []
    sides = document["chunk_grid"]["configuration"]["chunk_shape"]
    if not shape:
        return array in documents and not any(indices)
    return len(indices) == len(shape) and all(
        index * side < length for index, side, length in zip(indices, sides, shape, strict=True)
    )
