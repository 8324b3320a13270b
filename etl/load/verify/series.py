"""The series: does it hold what the frames hold, in the chunks that the schema says, and nothing else?"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import zarr

from etl.load.attributes import SERIES
from etl.load.inventory import ROOT
from etl.load.series import (
    ALONG_TIME_OF_SERIES,
    ARRAYS_OF_SERIES,
    COLUMNS_OF_SERIES,
    PERIOD,
    Series,
    empty_series,
    series_of,
)
from etl.load.verify.documents import compare, normal, schema_of
from etl.load.verify.findings import Verdict
from etl.load.verify.objects import fault_of_end, indices, patterns_of
from etl.load.verify.snapshot import (
    UNREADABLE,
    Document,
    Snapshot,
    array_of,
    read_json,
    series_documents_of,
)

_AT_ONCE = 16
"""Requests for the ends of objects under way at a time."""


def check_series(snapshot: Snapshot, verdict: Verdict) -> None:
    """Check everything of the series that does not need its values decoded."""
    group_key = series_key(snapshot)
    schema = schema_of(snapshot.root)
    if schema is None:
        return
    series = _understood(snapshot, verdict)
    expected, _ = empty_series(schema, series.period if series else PERIOD)
    if series is not None:
        _check_documents(snapshot, series, expected.of_length(len(series)), verdict)
        _check_own(snapshot, series, verdict)
        _check_axes(snapshot, series, verdict)
    elif series_documents_of(snapshot.root):
        return
    _check_objects(snapshot, series, _arrays(snapshot, series or expected, verdict), verdict)
    if series is not None and len(series) > snapshot.length:
        verdict.found("metadata", "the series is longer than the frames", f"{group_key}/ndvi/{ROOT}")


def series_key(snapshot: Snapshot) -> str:
    """Key of the series' group."""
    return f"{snapshot.group_key}/{SERIES}"


def _understood(snapshot: Snapshot, verdict: Verdict) -> Series | None:
    """The series that the root lists, if it can be understood."""
    where = f"{snapshot.group_key}/{ROOT}"
    try:
        series = series_of(snapshot.root)
    except UNREADABLE as error:
        verdict.found("metadata", f"{SERIES} cannot be understood: {line_of(error)}", where)
        return None
    known = {SERIES, *(f"{SERIES}/{name}" for name in ARRAYS_OF_SERIES)} if series else set()
    for name in series_documents_of(snapshot.root).keys() - known:
        verdict.found("metadata", f"{name} is not known", where)
    return series


def _check_documents(snapshot: Snapshot, series: Series, expected: Series, verdict: Verdict) -> None:
    """Compare the metadata in the root with what the schema writes."""
    where, group_key = f"{snapshot.group_key}/{ROOT}", series_key(snapshot)
    group = expected.within(snapshot.root)["consolidated_metadata"]["metadata"][SERIES]
    compare(series_documents_of(snapshot.root)[SERIES], group, f"{SERIES}.", where, verdict)
    for name, document in series.arrays.items():
        try:
            understood = normal(snapshot.store, group_key, name, document)
        except UNREADABLE as error:
            verdict.found("metadata", f"{SERIES}/{name} cannot be understood: {line_of(error)}", where)
            understood = document
        wanted = normal(snapshot.store, group_key, name, expected.arrays[name])
        compare(understood, wanted, f"{SERIES}/{name}.", where, verdict)


def _check_own(snapshot: Snapshot, series: Series, verdict: Verdict) -> None:
    """Compare the metadata in the series' group with the root's; they may be those of a later commit."""
    for name in ("", *ARRAYS_OF_SERIES):
        where = "/".join(part for part in (series_key(snapshot), name, ROOT) if part)
        own = read_json(snapshot.store, where)
        if isinstance(own, str):
            verdict.found("metadata", own, where)
            continue
        ahead = _length(own, name)
        if ahead is not None and ahead > len(series) and not ahead % series.period:
            verdict.note(
                "the series is being extended, or that was interrupted; the next run goes on with it"
            )
            later = series.of_length(ahead)
        else:
            later = series
        compare(own, later.arrays[name] if name else later.own_root, "", where, verdict)


def _length(own: Document, name: str) -> int | None:
    """The length along time that an own document tells of."""
    try:
        if not name:
            own = own["consolidated_metadata"]["metadata"]["ndvi"]
        elif name not in ALONG_TIME_OF_SERIES:
            return None
        return int(own["shape"][0])
    except UNREADABLE:
        return None


def _check_axes(snapshot: Snapshot, series: Series, verdict: Verdict) -> None:
    """Compare the values along the axes with those of the frames."""
    for name, array in _arrays(snapshot, series, None).items():
        if name == "ndvi":
            continue
        where = f"{series_key(snapshot)}/{name}"
        try:
            if name in COLUMNS_OF_SERIES:
                if name not in snapshot.columns:
                    continue
                wanted = snapshot.columns[name][: len(series)]
            else:
                wanted = np.asarray(snapshot.arrays[name][...])
        except UNREADABLE:
            # Found with the frames' own.
            continue
        try:
            found = np.asarray(array[...])
        except UNREADABLE as error:
            verdict.found("series", f"{name} cannot be read: {line_of(error)}", where)
            continue
        if not np.array_equal(found, wanted):
            verdict.found("series", f"{name} is not that of the frames", where)


def _arrays(snapshot: Snapshot, series: Series, verdict: Verdict | None) -> dict[str, zarr.Array[Any]]:
    arrays = {}
    for name, document in series.arrays.items():
        try:
            arrays[name] = array_of(snapshot.store, series_key(snapshot), name, document)
        except UNREADABLE:
            if verdict is not None:
                verdict.note(f"{SERIES}/{name} was not read: its metadata do not allow it")
    return arrays


def _check_objects(
    snapshot: Snapshot, series: Series | None, arrays: Mapping[str, zarr.Array[Any]], verdict: Verdict
) -> None:
    """Look at the presence and the end of every object; tell what does not belong there."""
    group_key = series_key(snapshot)
    present = {key.removeprefix(f"{group_key}/") for key in snapshot.store.keys(group_key)}
    known: set[str] = set()
    if series is not None:
        known = {ROOT, *(f"{name}/{ROOT}" for name in ARRAYS_OF_SERIES)}
        for name, array in arrays.items():
            keys = [f"{name}/{array.metadata.encode_chunk_key(index)}" for index in indices(array)]
            known.update(keys)
            # What a listing lacks can be there all the same.
            absent = (f"{group_key}/{key}" for key in keys if key not in present)
            lost = {key.removeprefix(f"{group_key}/") for key in snapshot.store.missing(absent)}
            for key, fault in _faults_of_ends(snapshot, name, array, keys, lost):
                verdict.found("object", f"its object {fault}", f"{group_key}/{key}")
    _check_strays(snapshot, series, arrays, present - known, verdict)


def _faults_of_ends(
    snapshot: Snapshot, name: str, array: zarr.Array[Any], keys: list[str], lost: set[str]
) -> Iterator[tuple[str, str]]:
    store = snapshot.store.zarr(series_key(snapshot))

    def fault(key: str) -> str | None:
        if key in lost:
            return "is missing"
        return fault_of_end(store, array, key) if name == "ndvi" and array.shards else None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from ((key, what) for key, what in zip(keys, pool.map(fault, keys), strict=True) if what)


def _check_strays(
    snapshot: Snapshot,
    series: Series | None,
    arrays: Mapping[str, zarr.Array[Any]],
    strays: set[str],
    verdict: Verdict,
) -> None:
    beyond = replaced = 0
    patterns = {name: patterns_of(array) for name, array in arrays.items()}
    own_metadata = {ROOT, *(f"{name}/{ROOT}" for name in ARRAYS_OF_SERIES)}
    for key in sorted(strays):
        name, _, chunk = key.partition("/")
        own, other = patterns.get(name, (None, None))
        match = own.fullmatch(chunk) if own else None
        if series is None:
            is_beyond = bool(match) or key in own_metadata
        else:
            step = (
                (arrays[name].shards or arrays[name].chunks)[0]
                if match and name in ALONG_TIME_OF_SERIES
                else 0
            )
            is_beyond = bool(match and step and int(match[1]) * step >= len(series))
        if is_beyond:
            beyond += 1
        elif other and other.fullmatch(chunk):
            replaced += 1
        else:
            verdict.found("object", "does not belong into the archive", f"{series_key(snapshot)}/{key}")
    if beyond:
        verdict.note(
            f"{beyond} objects beyond the committed series are of a run that was interrupted, or that is"
            " under way; the next one writes them anew"
        )
    if replaced:
        verdict.note(
            f"{replaced} objects of a series are of the group before or after a rebuild; they go by"
            " themselves"
        )


def line_of(error: BaseException) -> str:
    """An error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
