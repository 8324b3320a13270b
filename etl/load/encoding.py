"""A frame's values to the objects of the `ndvi` array, as its committed metadata say.

A chunk is the raw little-endian values, padded with the fill value at the edges, compressed by Blosc. A shard
holds the chunks of a frame in row-major order, and in the end their places: pairs of offset and length as
little-endian uint64, followed by the CRC-32C of these (Zarr 3's `sharding_indexed` codec, version 1.0).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.blosc import Blosc
from numpy.typing import NDArray

from etl.errors import IncompatibleError
from etl.transform.packing import FILL_VALUE

_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_MOST_BESIDES = 16 + 16
"""Bytes that Blosc's header and the index add to a chunk that cannot be compressed."""

_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}


class FrameEncoder:
    """Encodes one frame after the other; it keeps its buffers, as fresh memory is slow to touch.

    Attributes:
        band: int16 of shape (rows of a chunk, columns of a frame), for the rows that are encoded next.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Prepare to encode frames.

        Args:
            document: metadata of the `ndvi` array.

        Raises:
            IncompatibleError: It is not encoded as this version of the program encodes.
        """
        self.is_sharded, self._chunk, self._blosc = read_codecs(document)
        _, self._rows, self._columns = document["shape"]
        self.band = np.empty((self._chunk[0], self._columns), np.dtype("<i2"))
        self._padded = np.full(self._chunk, FILL_VALUE, np.dtype("<i2"))
        self._shard = np.empty(0, np.uint8)
        self._document = document

    def encode(self, position: int, bands: Iterable[NDArray[np.int16]]) -> dict[str, bytes | memoryview]:
        """Encode a frame.

        Args:
            position: the frame's position in the archive.
            bands: its rows from north to south, each as many as `band` has, the last what is left.

        Returns:
            Its objects by their keys in the array; valid until the next frame is encoded.
        """
        folder = frame_folder(self._document, position)
        chunks = (
            (f"{folder}{row}/{column}", self._compressed(part))
            for row, band in enumerate(bands)
            for column, part in enumerate(_parts(band, self._chunk[1]))
        )
        if self.is_sharded:
            return {f"{folder}0/0": self._joined(chunk for _, chunk in chunks)}
        return dict(chunks)

    def _compressed(self, part: NDArray[np.int16]) -> bytes:
        padded = self._padded
        if part.shape != padded.shape:
            padded.fill(FILL_VALUE)
        padded[: part.shape[0], : part.shape[1]] = part
        compressed: bytes = self._blosc.encode(padded)
        return compressed

    def _joined(self, chunks: Iterable[bytes]) -> memoryview:
        """A shard of the chunks."""
        if not self._shard.size:
            count = -(-self._rows // self._chunk[0]) * -(-self._columns // self._chunk[1])
            self._shard = np.empty(count * (self._padded.nbytes + _MOST_BESIDES) + 4, np.uint8)
        places: list[tuple[int, int]] = []
        end = 0
        for chunk in chunks:
            self._shard[end : end + len(chunk)] = np.frombuffer(chunk, np.uint8)
            places.append((end, len(chunk)))
            end += len(chunk)
        index = shard_index(places)
        self._shard[end : end + len(index)] = np.frombuffer(index, np.uint8)
        return self._shard[: end + len(index)].data


def shard_index(places: Sequence[tuple[int, int]]) -> bytes:
    """The end of a shard: offset and length of every chunk in it, and their checksum."""
    index = np.array(places, np.dtype("<u8")).tobytes()
    checksum: int = google_crc32c.value(index)
    return index + checksum.to_bytes(4, "little")


def frame_folder(document: Mapping[str, Any], position: int) -> str:
    """Where in the `ndvi` array's folder the objects of a frame are."""
    return f"c/{position}/" if document["chunk_key_encoding"]["name"] == "default" else f"{position}/"


def frame_keys(document: Mapping[str, Any], position: int) -> list[str]:
    """Keys in the `ndvi` array's folder of the objects of a frame."""
    folder = frame_folder(document, position)
    return [f"{folder}{'/'.join(map(str, place))}" for place in np.ndindex(*_counts(document)[1:])]


def chunk_keys(documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Keys in a group of all objects that its arrays have: each frame and value has one, fill or not.

    Args:
        documents: metadata documents of the group's arrays, and of the groups in it, by name.
    """
    return [
        f"{name}/{key}"
        for name, document in documents.items()
        if document["node_type"] == "array"
        for key in _keys_of_array(document)
    ]


def _keys_of_array(document: Mapping[str, Any]) -> Iterator[str]:
    is_default = document["chunk_key_encoding"]["name"] == "default"
    for index in np.ndindex(*_counts(document)):
        place = "/".join(map(str, index))
        yield "/".join(filter(None, ("c", place))) if is_default else place or "0"


def _counts(document: Mapping[str, Any]) -> list[int]:
    """How many objects an array has along each of its dimensions."""
    steps = document["chunk_grid"]["configuration"]["chunk_shape"]
    return [-(-side // step) for side, step in zip(document["shape"], steps, strict=True)]


def _parts(band: NDArray[np.int16], columns: int) -> Iterable[NDArray[np.int16]]:
    return (band[:, left : left + columns] for left in range(0, band.shape[1], columns))


def read_codecs(document: Mapping[str, Any]) -> tuple[bool, tuple[int, int], Blosc]:
    """Whether an array is sharded, rows and columns of its chunks, and their compressor.

    Raises:
        IncompatibleError: It is not encoded as this version of the program encodes.
    """
    codecs, shape = document["codecs"], document["chunk_grid"]["configuration"]["chunk_shape"]
    is_sharded = codecs[0]["name"] == "sharding_indexed"
    try:
        if is_sharded:
            sharding = codecs[0]["configuration"]
            if (sharding["index_codecs"], sharding.get("index_location", "end")) != (_INDEX_CODECS, "end"):
                raise ValueError("the shards' index")
            if len(codecs) > 1:
                raise ValueError("a codec after the sharding")
            codecs, shape = sharding["codecs"], sharding["chunk_shape"]
        to_bytes, compressor = codecs
        if to_bytes != {"name": "bytes", "configuration": {"endian": "little"}}:
            raise ValueError("the bytes codec")
        if compressor["name"] != "blosc":
            raise ValueError("the compressor")
        settings = compressor["configuration"]
        blosc = Blosc(
            settings["cname"],
            settings["clevel"],
            _SHUFFLES[settings["shuffle"]],
            settings["blocksize"],
            settings["typesize"],
        )
    except (LookupError, TypeError, ValueError) as error:
        raise IncompatibleError(
            f"ndvi is encoded otherwise than this program encodes: {error}",
            "take all frames anew with --rebuild, or use the program that wrote it",
        ) from error
    return is_sharded, (shape[1], shape[2]), blosc
