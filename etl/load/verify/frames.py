"""Every frame's values against what was noted of them when they were archived."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from etl.extract.frame import Frame, FrameEntry, Scale
from etl.load.levels import arrays_of_frames, factors_of, level_name
from etl.load.verify.chunks import fault_of_object
from etl.load.verify.findings import Verdict
from etl.load.verify.snapshot import UNREADABLE, Snapshot
from etl.transform.overview import levels_of
from etl.transform.packing import SCALE_FACTOR, VALID_FROM_PACKED, crc32c, pack

_WORKERS = min(4, os.cpu_count() or 1)
"""Frames decoded at a time; each takes about three times its size, 300 MB where it has 46 million pixels."""

_BLOCK_PIXELS = 1 << 20
_ANY_TIME = datetime(2021, 1, 1, tzinfo=UTC)

Values = NDArray[np.int16]


def check_frames(
    snapshot: Snapshot, skipped: Collection[int], verdict: Verdict, progress: Callable[[int, int], None]
) -> int:
    """Decode every frame and compare its checksum, its statistics and the values its scale can give.

    A few frames are in memory at a time, at most one for every core.

    Args:
        snapshot: the committed frames.
        skipped: positions of frames that are known to be damaged.
        verdict: takes what is found.
        progress: called with the number of frames done and of those to be read.

    Returns:
        The number of frames that were read.
    """
    if "ndvi" not in snapshot.arrays or snapshot.arrays["ndvi"].shape[0] != snapshot.length:
        verdict.note("the frames were not read: the metadata of ndvi do not allow it")
        return 0
    positions = [position for position in range(snapshot.length) if position not in skipped]
    where = f"{snapshot.group_key}/ndvi"
    array = snapshot.arrays["ndvi"]
    rest = (0,) * (array.ndim - 1)
    for done, (position, faults) in enumerate(_in_order(snapshot, positions), 1):
        key = f"{where}/{array.metadata.encode_chunk_key((position, *rest))}"
        for fault in faults:
            verdict.found("frame", fault, key, snapshot.frame(position))
        progress(done, len(positions))
    return len(positions)


def _in_order(snapshot: Snapshot, positions: Iterable[int]) -> Iterator[tuple[int, list[str]]]:
    """The faults of each frame, a few frames being read ahead."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        waiting = iter(positions)

        def begin(position: int) -> tuple[int, Future[list[str]]]:
            return position, pool.submit(_faults, snapshot, position)

        under_way = [begin(position) for position in islice(waiting, _WORKERS)]
        while under_way:
            position, faults = under_way.pop(0)
            yield position, faults.result()
            under_way += [begin(following) for following in islice(waiting, 1)]


def _faults(snapshot: Snapshot, position: int) -> list[str]:
    try:
        values = np.asarray(snapshot.arrays["ndvi"][position], np.int16)
    except UNREADABLE as error:
        return [f"it cannot be decoded: {' '.join(str(error).split())}"]
    columns = snapshot.columns
    if "checksum" in columns and crc32c(values) != columns["checksum"][position]:
        return [
            f"its values do not have the checksum of the archived ones{_whose(snapshot, position, values)}"
        ]
    arrays = arrays_of_frames(snapshot.arrays)
    faults = [fault for array in arrays.items() for fault in _header_faults(snapshot, *array, position)]
    faults += _level_faults(arrays, position, values)
    share, mean = _statistics(values)
    for name, value in (("valid_fraction", share), ("ndvi_mean", mean)):
        if name in columns and not np.array_equal(columns[name][position], value, equal_nan=True):
            faults.append(f"{name} is {columns[name][position]}, and its values give {value}")
    if {"source_min", "source_max"} <= columns.keys():
        faults += _beyond_scale(snapshot, position, values)
    return faults


def _level_faults(arrays: Mapping[str, zarr.Array[Any]], position: int, values: Values) -> list[str]:
    """The levels that are not those of a frame's values."""
    faults: list[str] = []
    for factor, expected in levels_of(values, factors_of(arrays)).items():
        name = level_name(factor)
        try:
            level = np.asarray(arrays[name][position])
        except UNREADABLE as error:
            faults.append(f"{name} cannot be decoded: {' '.join(str(error).split())}")
        else:
            if not np.array_equal(level, expected):
                faults.append(f"{name} does not hold the means of its values")
    return faults


def _header_faults(snapshot: Snapshot, name: str, array: zarr.Array[Any], position: int) -> list[str]:
    """What is wrong with the bytes of a frame whose values are right."""
    size = array.shards or array.chunks
    inner = [-(-length // step) for length, step in zip(array.shape[1:], size[1:], strict=True)]
    keys = [f"{name}/{array.metadata.encode_chunk_key((position, *index))}" for index in np.ndindex(*inner)]
    objects = [snapshot.store.get(f"{snapshot.group_key}/{key}") for key in keys]
    faults = [fault_of_object(array, data) for data in objects if data is not None]
    return [f"its object {fault}" for fault in faults if fault]


def _whose(snapshot: Snapshot, position: int, values: Values) -> str:
    """Which other frame the values are, if they are one's."""
    others = np.flatnonzero(snapshot.columns["checksum"] == crc32c(values))
    return f": they are those of {snapshot.frame(int(others[0]))}" if others.size else ""


def _statistics(values: Values) -> tuple[np.float32, np.float32]:
    """valid_fraction and ndvi_mean, computed as when packing."""
    count = total = 0
    for block in _blocks(values):
        valid = block >= VALID_FROM_PACKED
        count += int(np.count_nonzero(valid))
        total += int(np.sum(block, where=valid, dtype=np.int64))
    return np.float32(count / values.size), np.float32(total / count * SCALE_FACTOR if count else np.nan)


def _blocks(values: Values) -> Iterator[Values]:
    flat = values.reshape(-1)
    return (flat[start : start + _BLOCK_PIXELS] for start in range(0, flat.size, _BLOCK_PIXELS))


def _beyond_scale(snapshot: Snapshot, position: int, values: Values) -> list[str]:
    scale = Scale(*(float(snapshot.columns[name][position]) for name in ("source_min", "source_max")))
    try:
        possible = _possible(scale, _bits(snapshot))
        known = sum(int(np.count_nonzero(possible[block.view(np.uint16)])) for block in _blocks(values))
    except UNREADABLE:
        return []
    strange = values.size - known
    if not strange:
        return []
    if not scale.is_finite:
        return [f"{strange} pixels hold a value, though its scale says that it holds no data"]
    return [f"{strange} pixels hold a value that its scale {scale.minimum:g} … {scale.maximum:g} cannot give"]


def _bits(snapshot: Snapshot) -> Any:  # noqa: ANN401 - JSON
    return snapshot.documents["ndvi"]["attributes"]["source_bits"]


def _possible(scale: Scale, bits: int) -> NDArray[np.bool_]:
    """Whether a stored value, as uint16, can come of any code at all, shape (65536,)."""
    codes = np.arange(1 << bits, dtype=np.uint16).reshape(1, -1)
    entry = FrameEntry(1, _ANY_TIME, "S3A", scale)
    possible = np.zeros(1 << 16, np.bool_)
    possible[pack(Frame(entry, codes, bits)).values.view(np.uint16)] = True
    return possible
