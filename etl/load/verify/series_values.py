"""The values of the series against the checksums of the frames."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import google_crc32c
import numpy as np
import zarr

from etl.load.series import Series, series_of
from etl.load.verify.chunks import fault_of_object
from etl.load.verify.findings import Verdict
from etl.load.verify.series import line_of, series_key
from etl.load.verify.snapshot import UNREADABLE, Snapshot, array_of

_WORKERS = min(4, os.cpu_count() or 1)
"""Periods read at a time."""

_STRIP = 128
"""Rows read at a time: 70 MB where a period has 32 frames of 8176 columns."""


def check_series_values(snapshot: Snapshot, verdict: Verdict, progress: Callable[[int, int], None]) -> int:
    """Decode the whole series, and compare every frame in it with the checksum of the archived one.

    Args:
        snapshot: the committed frames.
        verdict: takes what is found.
        progress: called with the number of frames done and of those to be read.

    Returns:
        The number of frames that were read.
    """
    try:
        series = series_of(snapshot.root)
        array = (
            None
            if series is None
            else array_of(snapshot.store, series_key(snapshot), "ndvi", series.arrays["ndvi"])
        )
    except UNREADABLE:
        # Found with the metadata.
        return 0
    if series is None or array is None or len(series) > snapshot.length or "checksum" not in snapshot.columns:
        return 0
    starts = range(0, len(series), series.period)
    with ThreadPoolExecutor(_WORKERS) as pool:
        results = pool.map(lambda first: list(_faults(snapshot, series, array, first)), starts)
        for first, faults in zip(starts, results, strict=True):
            for where, fault in faults:
                verdict.found("series", fault, where)
            progress(first + series.period, len(series))
    return len(series)


def _faults(
    snapshot: Snapshot, series: Series, array: zarr.Array[Any], first: int
) -> Iterator[tuple[str, str]]:
    """What is wrong with the values of a period, each with the key of the object or the array."""
    last = first + series.period
    checksums = [0] * series.period
    try:
        for north in range(0, array.shape[1], _STRIP):
            strip = np.ascontiguousarray(array[first:last, north : north + _STRIP], "<i2")
            for place, values in enumerate(strip):
                checksums[place] = google_crc32c.extend(checksums[place], values)
        is_right = np.array_equal(np.array(checksums, np.uint32), snapshot.columns["checksum"][first:last])
    except UNREADABLE:
        is_right = False
    for key, rows, columns in _shards(series, array, first):
        where = f"{series_key(snapshot)}/ndvi/{key}"
        fault = None if is_right else _difference(snapshot, array, slice(first, last), rows, columns)
        if fault is None and (data := snapshot.store.get(where)) is not None:
            fault = fault_of_object(array, data)
            fault = f"its object {fault}" if fault else None
        if fault is not None:
            yield where, fault


def _shards(series: Series, array: zarr.Array[Any], first: int) -> Iterator[tuple[str, slice, slice]]:
    """Key, rows and columns of every shard of a period."""
    frames, high, wide = series.shard
    for row, north in enumerate(range(0, array.shape[1], high)):
        for column, west in enumerate(range(0, array.shape[2], wide)):
            key = array.metadata.encode_chunk_key((first // frames, row, column))
            yield key, slice(north, north + high), slice(west, west + wide)


def _difference(
    snapshot: Snapshot, array: zarr.Array[Any], frames: slice, rows: slice, columns: slice
) -> str | None:
    """How a shard differs from the frames, as far as these can be read."""
    try:
        found = np.asarray(array[frames, rows, columns])
    except UNREADABLE as error:
        return f"its object cannot be decoded: {line_of(error)}"
    for place, position in enumerate(range(frames.start, frames.stop)):
        try:
            wanted = np.asarray(snapshot.arrays["ndvi"][position, rows, columns])
        except UNREADABLE:
            continue
        if not np.array_equal(found[place], wanted):
            return f"its object holds other values than {snapshot.frame(position)} has there"
    return None
