"""One continent's store: its structure, and its frames."""

from typing import Any

import zarr

from etl.load.inventory import COLLECTION, ROOT
from etl.load.schema import FORMAT
from etl.load.stores import Store
from etl.load.verify.columns import check_columns, check_coordinates, read_columns
from etl.load.verify.documents import check_documents
from etl.load.verify.findings import Verdict
from etl.load.verify.objects import check_objects
from etl.load.verify.series import check_series
from etl.load.verify.snapshot import UNREADABLE, Snapshot, array_of, documents_of, read_json, root_key


def check_structure(store: Store, folder: str, verdict: Verdict) -> tuple[Snapshot | None, set[int]]:
    """Check everything of a continent's group that does not need its frames decoded.

    The root is read once: what others commit meanwhile lies beyond it, and is no finding.

    Returns:
        What the root makes visible, None where it cannot be read; and the positions of the frames whose
        objects are not all there and whole.

    Raises:
        StorageError: The storage refuses to be read.
    """
    root = _root(store, folder, verdict)
    if root is None:
        return None, set()
    group_key = root_key(folder).removesuffix(f"/{ROOT}")
    length = check_documents(store, folder, group_key, root, verdict)
    arrays: dict[str, zarr.Array[Any]] = {}
    for name, document in documents_of(root).items():
        if document.get("node_type") == "group":
            continue
        try:
            arrays[name] = array_of(store, group_key, name, document)
        except UNREADABLE:
            verdict.note(f"{name} was not read: its metadata do not allow it")
    columns = read_columns(arrays, length, group_key, verdict)
    snapshot = Snapshot(store, folder, root, length, arrays, columns)
    check_columns(snapshot, verdict)
    check_coordinates(snapshot, verdict)
    damaged = check_objects(snapshot, verdict)
    check_series(snapshot, verdict)
    return snapshot, damaged


def _root(store: Store, folder: str, verdict: Verdict) -> dict[str, Any] | None:
    """The root, if it is one of this program's; otherwise what is wrong, or a note, is in the verdict."""
    key = root_key(folder)
    root = read_json(store, key)
    if root == "is missing" and not store.exists(f"{folder}/{COLLECTION}"):
        verdict.note("a run has begun here, and has not committed a frame yet")
        return None
    if isinstance(root, str):
        verdict.found("root", f"{root}; restore it from a copy", key)
        return None
    attributes = root.get("attributes")
    version = attributes.get("ndvi_archive_format") if isinstance(attributes, dict) else None
    if version != FORMAT:
        verdict.found("root", f"is of format {version}; this program knows format {FORMAT}", key)
        return None
    if not documents_of(root):
        verdict.found("root", "has no consolidated metadata", key)
        return None
    return root
