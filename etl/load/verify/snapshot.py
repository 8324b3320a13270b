"""One continent's group at one moment: its root, and as much of its arrays as can be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import zarr
from numpy.typing import NDArray
from pydantic_core import from_json
from zarr.storage import StorePath

from etl.extract.frame import SATELLITES
from etl.load.inventory import GROUP, ROOT
from etl.load.series import is_of_series
from etl.load.stores import Store
from etl.load.verify.findings import FrameName

UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    OSError,
    MemoryError,
    SystemError,
)
"""What Zarr and its codecs raise on documents and objects that are damaged."""

Document = Mapping[str, Any]

_SATELLITE_NAMES = {flag: name for name, flag in SATELLITES.items()}


@dataclass(frozen=True)
class Snapshot:
    """What a root makes visible; it stays as it was read while others append.

    Attributes:
        store: the archive's storage.
        folder: the continent's folder in the archive.
        root: the root metadata document.
        length: number of frames.
        arrays: the arrays that the root describes in a way Zarr understands, by name.
        columns: the values of the arrays along time that could be read, by name, each of shape (frames,).
    """

    store: Store
    folder: str
    root: Document
    length: int
    arrays: Mapping[str, zarr.Array[Any]]
    columns: Mapping[str, NDArray[Any]]

    @property
    def group_key(self) -> str:
        """Key of the Zarr group in the archive."""
        return f"{self.folder}/{GROUP}"

    @property
    def documents(self) -> Mapping[str, Document]:
        """The consolidated metadata documents of the arrays by name."""
        return documents_of(self.root)

    @cached_property
    def generation(self) -> object:
        """What only a rebuild changes: how the keys of the frames' objects are made."""
        return self.documents.get("ndvi", {}).get("chunk_key_encoding")

    def frame(self, position: int) -> FrameName:
        """The name of a frame, as far as it can be read."""
        number, seconds, flag = (
            int(self.columns[name][position]) if name in self.columns else None
            for name in ("frame_number", "time", "satellite")
        )
        try:
            time = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError):
            time = None
        satellite = None if flag is None else _SATELLITE_NAMES.get(flag, f"satellite flag {flag}")
        return FrameName(position, number, time, satellite)


def documents_of(root: Document) -> Mapping[str, Document]:
    """The consolidated metadata documents in a root without the series'; what is no object is left out."""
    return {name: node for name, node in _nodes(root).items() if not is_of_series(name)}


def series_documents_of(root: Document) -> Mapping[str, Document]:
    """The consolidated metadata documents of the series' group and arrays, such as `series/ndvi`."""
    return {name: node for name, node in _nodes(root).items() if is_of_series(name)}


def array_of(store: Store, group_key: str, name: str, document: Document) -> zarr.Array[Any]:
    """An array as a document describes it.

    Raises:
        ValueError: Or another of `UNREADABLE`: Zarr does not understand the document.
    """
    return zarr.Array.from_dict(StorePath(store.zarr(group_key), name), dict(document))


def read_json(store: Store, key: str) -> dict[str, Any] | str:
    """A JSON object, or what is wrong with the file that should hold it."""
    data = store.get(key)
    if data is None:
        return "is missing"
    try:
        document = from_json(data)
    except ValueError:
        return "is not valid JSON"
    return document if isinstance(document, dict) else "is not a JSON object"


def _nodes(root: Document) -> Mapping[str, Document]:
    consolidated = root.get("consolidated_metadata")
    documents = consolidated.get("metadata") if isinstance(consolidated, Mapping) else None
    if not isinstance(documents, Mapping):
        return {}
    return {name: document for name, document in documents.items() if isinstance(document, Mapping)}


def root_key(folder: str) -> str:
    """Key of a continent's root metadata."""
    return f"{folder}/{GROUP}/{ROOT}"
