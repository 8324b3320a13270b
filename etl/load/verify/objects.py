"""The objects of a continent: is each there, is each whole as far as its end tells, is there nothing else?"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from etl.load.inventory import COLLECTION, GROUP, ROOT
from etl.load.levels import along_time, array_and_chunk, arrays_of_frames
from etl.load.schema import ALONG_TIME
from etl.load.series import is_of_series
from etl.load.verify.chunks import BLOSC_HEADER, fault_of_chunk, fault_of_shard, index_length
from etl.load.verify.documents import documents_to_come
from etl.load.verify.findings import Verdict
from etl.load.verify.snapshot import Snapshot

BESIDE = (COLLECTION, "thumbnail.png", "overview.png", "items.parquet")
"""Files beside the group; the catalog's part of the verification reads them."""

_FOLDERS = ("runs/", "items/")
"""Folders beside the group: reports, which nothing is said about, and items, which are the catalog's part."""

Index = tuple[int, ...]


def check_objects(snapshot: Snapshot, verdict: Verdict) -> set[int]:
    """Look at every object's presence and end; nothing is decoded.

    Returns:
        Positions of the frames whose objects are not all there and whole.
    """
    group = snapshot.group_key
    keys = (key.removeprefix(f"{group}/") for key in snapshot.store.keys(group))
    present = {key for key in keys if not is_of_series(key)}
    # What a listing lacks can be there all the same.
    lost = set(snapshot.store.missing(f"{group}/{key}" for key in _wanted(snapshot) - present))
    store = snapshot.store.zarr(group)
    faults: dict[int, list[tuple[str, str]]] = defaultdict(list)
    coming = documents_to_come(snapshot.store, snapshot.folder)
    known = {ROOT} | {f"{name}/{ROOT}" for name in (*snapshot.documents, *coming)}
    of_frames = arrays_of_frames(snapshot.documents)
    for name, array in snapshot.arrays.items():
        for index in indices(array):
            key = f"{name}/{array.metadata.encode_chunk_key(index)}"
            known.add(key)
            fault = "is missing" if f"{group}/{key}" in lost else None
            if name in of_frames:
                fault = fault or fault_of_end(store, array, key)
                if fault:
                    faults[index[0]].append((key, fault))
            elif fault:
                verdict.found(
                    "object", f"the object of {_part(array, name, index)} {fault}", f"{group}/{key}"
                )
    for position, found in sorted(faults.items()):
        key, fault = found[0]
        more = f", and {len(found) - 1} more of its objects are not as they should be" if found[1:] else ""
        verdict.found("object", f"its object {fault}{more}", f"{group}/{key}", snapshot.frame(position))
    _check_strays(snapshot, present - known, verdict)
    return set(faults)


def _wanted(snapshot: Snapshot) -> set[str]:
    return {
        f"{name}/{array.metadata.encode_chunk_key(index)}"
        for name, array in snapshot.arrays.items()
        for index in indices(array)
    }


def indices(array: zarr.Array[Any]) -> Iterator[Index]:
    """Where in the grid of objects an array has one."""
    size = array.shards or array.chunks
    return iter(np.ndindex(*(-(-length // step) for length, step in zip(array.shape, size, strict=True))))


def _part(array: zarr.Array[Any], name: str, index: Index) -> str:
    if name.rpartition("/")[2] not in ALONG_TIME:
        return name
    step = array.chunks[0]
    return f"{name} for the frames at {index[0] * step} to {min(array.shape[0], (index[0] + 1) * step) - 1}"


def fault_of_end(store: Store, array: zarr.Array[Any], key: str) -> str | None:
    """What is wrong with an object of `ndvi` as far as its size and its few bytes of structure tell."""
    try:
        size = sync(store.getsize(key))
    except FileNotFoundError:
        return "is missing"
    if array.shards is None:
        return fault_of_chunk(array, size, _read(store, key, RangeByteRequest(0, BLOSC_HEADER)))
    length = index_length(array)
    tail = _read(store, key, SuffixByteRequest(length)) if size >= length else b""
    return fault_of_shard(array, size, tail)


def _read(store: Store, key: str, part: RangeByteRequest | SuffixByteRequest) -> bytes:
    data = sync(store.get(key, default_buffer_prototype(), part))
    return b"" if data is None else data.to_bytes()


def _check_strays(snapshot: Snapshot, strays: set[str], verdict: Verdict) -> None:
    beyond, replaced = 0, 0
    patterns = {name: patterns_of(array) for name, array in snapshot.arrays.items()}
    growing = along_time(snapshot.documents)
    for key in sorted(strays):
        name, chunk = array_and_chunk(key)
        own, other = patterns.get(name, (None, None))
        if own is None:
            # Of a level that only the group before or after a rebuild has: as the frames' array of that name.
            _, other = patterns.get(name.rpartition("/")[2], (None, None))
        if own and name in growing and (match := own.fullmatch(chunk)):
            if int(match[1]) * _step(snapshot.arrays[name]) >= snapshot.length:
                beyond += 1
                continue
        elif other and other.fullmatch(chunk):
            replaced += 1
            continue
        verdict.found("object", "does not belong into the archive", f"{snapshot.group_key}/{key}")
    if beyond:
        verdict.note(
            f"{beyond} objects beyond the committed frames are of a run that was interrupted, or that is"
            " under way; the next one writes them anew"
        )
    if replaced:
        verdict.note(f"{replaced} objects are of the group before or after a rebuild; they go by themselves")
    for key in snapshot.store.keys(snapshot.folder):
        place = key.removeprefix(f"{snapshot.folder}/")
        if not (place.startswith((f"{GROUP}/", *_FOLDERS)) or place in BESIDE):
            verdict.found("object", "does not belong into the archive", key)


def _step(array: zarr.Array[Any]) -> int:
    return (array.shards or array.chunks)[0]


def patterns_of(array: zarr.Array[Any]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns of an array's chunk keys in its own generation, and in the other."""
    numbers = "/".join(["(0|[1-9][0-9]*)"] * array.ndim)
    default, v2 = re.compile("/".join(["c", *([numbers] if numbers else [])])), re.compile(numbers or "0")
    first = str(array.metadata.encode_chunk_key((0,) * array.ndim))
    return (default, v2) if first[0] == "c" else (v2, default)
