"""Reading the objects of an archive without blocking: parts of them, with what identifies their contents."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.exceptions import BaseError, NotSupportedError
from zarr.storage import ObjectStore

from etl.errors import StorageError
from etl.load.bucket_client import is_missing, refusal
from etl.load.folder import LocalFolder
from etl.load.stores import Store
from etl.serve.ranges import Range

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta, OffsetRange, SuffixRange
    from obstore.store import ObjectStore as Client

log = logging.getLogger(__name__)

_PIECE = 256 * 1024
"""Bytes handed on at a time."""

_NOT_THIS_RANGE = re.compile("InvalidRange|status code: 416|when range requested")
"""In what many words storages say that a range is beyond the end, and what obstore makes of some answers."""


@dataclass(frozen=True)
class Meta:
    """What is known of an object without reading it.

    Attributes:
        size: length in bytes.
        etag: entity tag, quoted, of exactly these bytes; None where the storage gives none.
    """

    size: int
    etag: str | None


@dataclass(frozen=True)
class Part:
    """A part of an object, or all of it.

    Attributes:
        meta: of the whole object.
        start: position of the first byte.
        stop: position after the last byte.
        pieces: its bytes; they are read while this is iterated.
    """

    meta: Meta
    start: int
    stop: int
    pieces: AsyncIterator[bytes]


class NotSatisfiable(Exception):  # noqa: N818 - named as HTTP names it
    """No byte of the object is in the range asked for.

    Attributes:
        meta: of the object.
    """

    def __init__(self, meta: Meta) -> None:
        super().__init__()
        self.meta = meta


class Objects:
    """The objects of an archive, in a folder or a bucket."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._root: Path | None = None
        self._objects: Client
        if isinstance(store, LocalFolder):
            self._root = store.root.resolve()
        else:
            objects = store.zarr("")
            assert isinstance(objects, ObjectStore)  # noqa: S101 - for the type checker
            self._objects = objects.store

    async def head(self, key: str) -> Meta | None:
        """What is known of an object, or None where there is no such object.

        Raises:
            StorageError: The storage refuses, or cannot be reached.
        """
        try:
            if self._root is not None:
                file = await asyncio.to_thread(_open, self._root / key)
                if file is None:
                    return None
                with file:
                    return _meta_of(file)
            return _meta(await obstore.head_async(self._objects, key))
        except FileNotFoundError:
            # What answers HEAD does not tell whether the bucket is gone.
            part = await self.read(key)
            return part.meta if part else None
        except (BaseError, OSError, ValueError) as error:
            raise self._refused(key, error) from None

    async def read(self, key: str, wanted: Range | None = None) -> Part | None:
        """An object, or the part of it that is wanted, or None where there is no such object.

        Raises:
            NotSatisfiable: Nothing of it is wanted.
            StorageError: The storage refuses, or cannot be reached.
        """
        try:
            if self._root is not None:
                file = await asyncio.to_thread(_open, self._root / key)
                return None if file is None else _part_of(file, key, wanted)
            if wanted is None:
                return await self._get(key, {})
            try:
                return _satisfied(await self._get(key, {"range": _as_obstore_has_it(wanted)}), wanted)
            except NotSupportedError:
                # Azure knows no suffixes.
                pass
            except BaseError as error:
                if not _NOT_THIS_RANGE.search(str(error)):
                    raise
            meta = _meta(await obstore.head_async(self._objects, key))
            span = wanted.within(meta.size)
            if span is None:
                raise NotSatisfiable(meta)
            return await self._get(key, {"range": span})
        except FileNotFoundError as error:
            if is_missing(error):
                return None
            raise self._refused(key, error) from None
        except (BaseError, OSError, ValueError) as error:
            raise self._refused(key, error) from None

    async def _get(self, key: str, options: "GetOptions") -> Part:
        result = await obstore.get_async(self._objects, key, options=options)
        start, stop = result.range
        return Part(_meta(result.meta), start, stop, _pieces(result))

    def _refused(self, key: str, error: Exception) -> StorageError:
        if self._root is None:
            return refusal("read", self._store.location(key), error)
        reason = str(error).partition("\n")[0][:300]
        return StorageError(f"cannot read {self._store.location(key)}: {reason}", "check the storage")


async def contents(part: Part) -> bytes:
    """The bytes of a part.

    Raises:
        EOFError: The object became shorter meanwhile.
    """
    return b"".join([piece async for piece in part.pieces])


def _open(path: Path) -> BinaryIO | None:
    """Open a file; None where there is none, or the path leads over a link."""
    try:
        if path.resolve(strict=True) != path or not path.is_file():
            return None
        return path.open("rb", buffering=0)
    except (FileNotFoundError, NotADirectoryError, RuntimeError):
        return None


def _meta_of(file: BinaryIO) -> Meta:
    found = os.fstat(file.fileno())
    return Meta(found.st_size, f'"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"')


def _part_of(file: BinaryIO, key: str, wanted: Range | None) -> Part:
    meta = _meta_of(file)
    span = (0, meta.size) if wanted is None else wanted.within(meta.size)
    if span is None:
        file.close()
        raise NotSatisfiable(meta)
    return Part(meta, *span, _pieces_of(file, key, *span))


async def _pieces_of(file: BinaryIO, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
    """The bytes of a file from a position up to another; an error where it has become shorter."""
    with file:
        while start < stop:
            piece = await asyncio.to_thread(os.pread, file.fileno(), min(_PIECE, stop - start), start)
            if not piece:
                fields = {"path": f"/{key}"}
                log.warning(
                    "%s became shorter while it was sent",
                    key,
                    extra={"event": "request_failed", "fields": fields},
                )
                raise EOFError(f"{key} became shorter while it was sent")
            start += len(piece)
            yield piece


def _meta(found: "ObjectMeta") -> Meta:
    return Meta(found["size"], found["e_tag"] or None)


def _as_obstore_has_it(wanted: Range) -> "tuple[int, int] | OffsetRange | SuffixRange":
    if wanted.first is None:
        return {"suffix": wanted.last or 0}
    return {"offset": wanted.first} if wanted.last is None else (wanted.first, wanted.last + 1)


def _satisfied(part: Part, wanted: Range) -> Part:
    if wanted.within(part.meta.size) is None:
        raise NotSatisfiable(part.meta)
    return part


async def _pieces(result: "GetResult") -> AsyncIterator[bytes]:
    async for piece in result.stream(min_chunk_size=_PIECE):
        yield bytes(piece)
