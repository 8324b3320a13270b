"""The bytes of `ndvi` objects: the index at a shard's end, and the header of every compressed chunk.

Codecs do not look at every bit of a header, and other readers may look at more of them.
"""

from math import prod
from typing import Any

import google_crc32c
import numpy as np
import zarr

BLOSC_HEADER = 16
"""Bytes: versions, flags, size of an item, and as uint32 the sizes of the data, a block and the chunk."""

_BLOSC_VERSIONS = (2, 1)
_FORMATS = {"lz4": 0b001_0_0_0_0_0, "zstd": 0b100_0_0_0_0_0}
_SHUFFLED = 0b000_0_0_0_0_1
_FIXED_FLAGS = 0b111_0_1_1_0_1
"""Codec, reserved bit, bit and byte shuffle; the others tell how well a chunk could be compressed."""

_NO_CHUNK = np.iinfo(np.uint64).max


def index_length(array: zarr.Array[Any]) -> int:
    """Bytes of the index at the end of a shard."""
    assert array.shards is not None  # noqa: S101 - for the type checker
    return 16 * prod(shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True)) + 4


def fault_of_shard(array: zarr.Array[Any], size: int, tail: bytes) -> str | None:
    """What is wrong with a shard, by its size and its last `index_length` bytes."""
    places = _places(tail) if len(tail) == index_length(array) else None
    if places is None:
        return f"is cut off or damaged: its {size} bytes do not end with an index of its chunks"
    written = max((end for _, end in places), default=0) + len(tail)
    return None if written == size else _wrong_size(size, written)


def fault_of_chunk(array: zarr.Array[Any], size: int, header: bytes) -> str | None:
    """What is wrong with a compressed chunk, by its size and its first `BLOSC_HEADER` bytes."""
    if len(header) < BLOSC_HEADER:
        return _wrong_size(size, None)
    data, _, written = np.frombuffer(header[4:], "<u4").tolist()
    if written != size:
        return _wrong_size(size, written)
    itemsize = array.dtype.itemsize
    is_ours = (
        tuple(header[:2]) == _BLOSC_VERSIONS
        and header[2] & _FIXED_FLAGS == _FORMATS.get(_compressor(array), 0) | _SHUFFLED
        and header[3] == itemsize
        and data == prod(array.chunks) * itemsize
    )
    return (
        None if is_ours else f"has a chunk with the header {header.hex()}, which this program does not write"
    )


def fault_of_object(array: zarr.Array[Any], data: bytes) -> str | None:
    """What is wrong with a whole object, by the headers of its chunks."""
    if array.shards is None:
        return fault_of_chunk(array, len(data), data[:BLOSC_HEADER])
    for start, end in _places(data[-index_length(array) :]) or []:
        fault = fault_of_chunk(array, end - start, data[start : min(end, start + BLOSC_HEADER)])
        if fault:
            return fault
    return None


def _places(tail: bytes) -> list[tuple[int, int]] | None:
    """Where in a shard its chunks are; None where the index does not have its checksum."""
    if google_crc32c.value(tail[:-4]) != int.from_bytes(tail[-4:], "little"):
        return None
    index = np.frombuffer(tail[:-4], "<u8").reshape(-1, 2).tolist()
    return [(start, start + length) for start, length in index if start != _NO_CHUNK]


def _compressor(array: zarr.Array[Any]) -> str:
    """The compressor that Blosc uses, such as `zstd`."""
    return str(getattr(getattr(array.compressors[0], "cname", None), "value", ""))


def _wrong_size(size: int, written: int | None) -> str:
    return f"has {size} bytes" + ("" if written is None else f", not {written}")
