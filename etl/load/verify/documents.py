"""The metadata: what the schema would write, the consolidated documents and each array's own."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from etl.errors import UsageError
from etl.load.archive import lengthened
from etl.load.generations import side_folder
from etl.load.inventory import ROOT, folder_of
from etl.load.levels import along_time, changing, factors_of, own_document
from etl.load.schema import FORMAT, Keys, Layout, Schema, empty_group
from etl.load.stores import Store
from etl.load.verify.findings import Verdict, differences
from etl.load.verify.snapshot import UNREADABLE, Document, array_of, documents_of, read_json, root_key
from etl.transform.grid import Grid

_TEXTS = ("title", "source", "history", "long_name", "comment", "units_metadata")
"""Attributes that nothing depends on: another version of the program may word them otherwise."""

_COMPRESSION = re.compile(r"codecs\S*\.configuration\.(cname|clevel|blocksize)")
"""How chunks are compressed: each of them tells it too, and another version may have chosen otherwise."""

_LARGEST_SIDE = 1 << 16


def check_documents(store: Store, folder: str, group_key: str, root: Document, verdict: Verdict) -> int:
    """Compare the root with what the schema writes, and every array's own metadata with the root.

    Returns:
        The number of frames that most arrays along time have.
    """
    documents = documents_of(root)
    own = {name: read_json(store, f"{group_key}/{name}/{ROOT}") for name in documents}
    length = _agreed(_length(documents.get(name)) for name in along_time(documents)) or 0
    schema = schema_of(root, own.get("ndvi"))
    if schema is None:
        verdict.found("metadata", "tells no grid, bit depth or continent", f"{group_key}/{ROOT}")
    else:
        _check_folder(folder, schema, group_key, verdict)
        _check_root(store, group_key, root, _expected(schema, length), verdict)
    coming = documents_to_come(store, folder)
    for name, document in own.items():
        where = f"{group_key}/{name}/{ROOT}"
        if isinstance(document, str):
            verdict.found("metadata", document, where)
        elif name in coming and document == own_document(coming, name) != own_document(documents, name):
            verdict.note("a rebuild was interrupted, or is under way; the next run completes it")
        else:
            _check_own(where, name, document, documents, verdict)
    return length


def grid_of(root: Document) -> Grid | None:
    """The grid that most of the metadata tell of."""
    schema = schema_of(root)
    return schema.grid if schema else None


def _expected(schema: Schema, length: int) -> Document:
    root: dict[str, Any] = json.loads(empty_group(schema)[ROOT])
    consolidated = root["consolidated_metadata"]
    consolidated["metadata"] = lengthened(consolidated["metadata"], length)
    return root


def schema_of(root: Document, own: object = None) -> Schema | None:
    """What most of the places that tell it say of the grid, the bit depth and the layout."""
    ndvi = documents_of(root).get("ndvi", {})
    holders = [
        attributes
        for holder in (ndvi, root, own)
        if isinstance(holder, Mapping) and isinstance(attributes := holder.get("attributes"), Mapping)
    ]
    bbox = _agreed(_numbers(holder.get("spatial:bbox"), 4) for holder in holders)
    shape = _agreed(
        [
            *(_numbers(holder.get("spatial:shape"), 2) for holder in holders),
            _numbers(ndvi.get("shape"), 3)[1:],
        ]
    )
    bits = _agreed(holder.get("source_bits") for holder in holders)
    continent = _attributes(root).get("continent")
    if not bbox or not shape or not isinstance(bits, int) or not isinstance(continent, str):
        return None
    rows, columns = (int(side) for side in shape)
    if not (0 < rows <= _LARGEST_SIDE and 0 < columns <= _LARGEST_SIDE):
        return None
    west, south, east, north = bbox
    layout: Layout = "sharded" if "sharding_indexed" in json.dumps(ndvi.get("codecs")) else "flat"
    encodings = (document.get("chunk_key_encoding") for document in documents_of(root).values())
    names = [encoding.get("name") for encoding in encodings if isinstance(encoding, Mapping)]
    keys: Keys = "v2" if _agreed(names) == "v2" else "default"
    overviews = bool(factors_of(documents_of(root))) or "multiscales" in _attributes(root)
    return Schema(continent, Grid(columns, rows, (west, south, east, north)), bits, layout, keys, overviews)


def _check_folder(folder: str, schema: Schema, group_key: str, verdict: Verdict) -> None:
    try:
        is_right = folder_of(schema.continent) == folder
    except UsageError:
        is_right = False
    if not is_right:
        verdict.found(
            "metadata",
            f"attributes.continent is {schema.continent!r}, which does not belong into {folder}/",
            f"{group_key}/{ROOT}",
        )


def _check_root(store: Store, group_key: str, root: Document, expected: Document, verdict: Verdict) -> None:
    where = f"{group_key}/{ROOT}"
    if _attributes(root).get("ndvi_archive_format") != FORMAT:
        return
    compare(_without_arrays(root), _without_arrays(expected), "", where, verdict)
    wanted, found = documents_of(expected), documents_of(root)
    for name in wanted.keys() - found.keys():
        verdict.found("metadata", f"there is no {wanted[name]['node_type']} {name}", where)
    for name, document in found.items():
        if name not in wanted:
            verdict.found("metadata", f"the {document.get('node_type')} {name} is not known", where)
            continue
        if wanted[name]["node_type"] == "group":
            compare(document, wanted[name], f"{name}.", where, verdict)
            continue
        try:
            understood = normal(store, group_key, name, document)
        except UNREADABLE as error:
            verdict.found("metadata", f"{name} cannot be understood: {error}", where)
            # What makes it so is named below.
            understood = document
        compare(understood, normal(store, group_key, name, wanted[name]), f"{name}.", where, verdict)


def compare(found: object, expected: object, prefix: str, where: str, verdict: Verdict) -> None:
    """Tell every difference between two documents; one of texts for people or of compression is no fault."""
    for difference in differences(found, expected):
        if difference.path.removeprefix("attributes.") in _TEXTS:
            verdict.note(f"{prefix}{difference.path} is worded otherwise than by this version [{where}]")
        elif _COMPRESSION.fullmatch(difference.path):
            verdict.note(f"{prefix}{difference}, as this version chooses [{where}]")
        else:
            verdict.found("metadata", f"{prefix}{difference}", where)


def normal(store: Store, group_key: str, name: str, document: Document) -> object:
    """A document as this version of Zarr writes it: defaults may be left out, or written."""
    normal: object = json.loads(json.dumps(array_of(store, group_key, name, document).metadata.to_dict()))
    return normal


def _check_own(
    where: str, name: str, own: Document, documents: Mapping[str, Document], verdict: Verdict
) -> None:
    """Compare an array's or a group's own metadata with the root's.

    They may be those of a commit to be completed.
    """
    committed = own_document(documents, name)
    length, own_length = _length(committed), _length(own)
    if name in changing(documents) and length is not None and own_length is not None and own_length > length:
        verdict.note("a commit was interrupted, or is under way; the next run completes or drops it")
        known = {other: each for other, each in documents.items() if _length(each) is not None}
        committed = own_document({**documents, **lengthened(known, own_length)}, name)
    for difference in differences(own, committed):
        verdict.found("metadata", f"{difference} as in the root", where)


def documents_to_come(store: Store, folder: str) -> Mapping[str, Document]:
    """The documents that a finished rebuild puts in the place of the present ones."""
    root = read_json(store, root_key(side_folder(folder)))
    return documents_of(root) if isinstance(root, dict) else {}


def _without_arrays(root: Document) -> Document:
    consolidated = root.get("consolidated_metadata")
    if not isinstance(consolidated, Mapping):
        return root
    return {**root, "consolidated_metadata": {**consolidated, "metadata": {}}}


def _attributes(root: Document) -> Document:
    attributes = root.get("attributes")
    return attributes if isinstance(attributes, Mapping) else {}


def _length(document: Document | None) -> int | None:
    """Frames in an array along time, or in those that a group consolidates."""
    if document and (below := documents_of(document)):
        length: int | None = _agreed(_length(each) for name, each in below.items() if _is_time(name))
        return length
    shape = document.get("shape") if document else None
    if isinstance(shape, list) and shape and isinstance(shape[0], int) and shape[0] >= 0:
        return int(shape[0])
    return None


def _is_time(name: str) -> bool:
    return name.rpartition("/")[2] == "time"


def _numbers(value: object, count: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count:
        return ()
    return tuple(value) if all(isinstance(each, int | float) for each in value) else ()


def _agreed(values: Iterable[Any]) -> Any:  # noqa: ANN401 - whatever the values are
    """The value that occurs most often, the first of them on a tie; None where there is none."""
    counted = Counter(
        value for value in values if value not in (None, ()) and not isinstance(value, list | dict)
    )
    return counted.most_common(1)[0][0] if counted else None
