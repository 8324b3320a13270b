"""The files of a catalog as they are written, and writing only what differs."""

import json
from collections.abc import Mapping
from typing import Any

import pystac

from etl.load.stores import Store


def to_json(document: pystac.Catalog | Mapping[str, Any]) -> bytes:
    """The file of a document: its links as they are, two blanks a level, a final newline."""
    fields = document
    if isinstance(document, pystac.Catalog):
        fields = document.to_dict(include_self_link=True, transform_hrefs=False)
    return (json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def put_changed(store: Store, key: str, data: bytes) -> int:
    """Write an object unless it is there as it should be.

    Returns:
        Bytes written.

    Raises:
        StorageError: The storage refuses a read or a write.
    """
    if store.get(key) == data:
        return 0
    store.put(key, data)
    return len(data)
