"""The objects of a bucket as zarr-python reads them; a read that fails is not taken for damage."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import obstore
from obstore.exceptions import BaseError, NotSupportedError
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import ObjectStore

from etl.load.bucket_client import is_missing, refusal

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore as Client


class BucketZarr(ObjectStore[Any]):
    """Raises `StorageError` where the storage refuses a read or cannot be reached, or the bucket is gone."""

    def __init__(self, store: "Client", *, read_only: bool = True, where: str = "") -> None:
        """Read what a client reaches.

        Args:
            store: the client.
            read_only: refuse writes.
            where: the client's address, for errors.
        """
        super().__init__(store, read_only=read_only)
        self._where = where

    def with_read_only(self, read_only: bool = False) -> Self:  # noqa: D102 - see the base
        return type(self)(self.store, read_only=read_only, where=self._where)

    async def get(  # noqa: D102
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        try:
            # Not by the base, to which a bucket that is gone is a missing object, and so a fill value.
            async with self._told(key):
                return prototype.buffer.from_bytes(await self._read(key, byte_range))
        except FileNotFoundError:
            return None

    async def get_partial_values(  # noqa: D102
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return await asyncio.gather(*(self.get(key, prototype, wanted) for key, wanted in key_ranges))

    async def exists(self, key: str) -> bool:  # noqa: D102
        async with self._told(key):
            if await super().exists(key):
                return True
        # HEAD has not told whether the bucket is gone.
        return await self.get(key, default_buffer_prototype(), RangeByteRequest(0, 1)) is not None

    async def getsize(self, key: str) -> int:  # noqa: D102
        async with self._told(key):
            return await super().getsize(key)

    async def list(self) -> AsyncGenerator[str, None]:  # noqa: D102
        async with self._told(""):
            async for key in super().list():
                yield key

    async def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:  # noqa: D102
        async with self._told(prefix):
            async for key in super().list_prefix(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:  # noqa: D102
        async with self._told(prefix):
            level = await obstore.list_with_delimiter_async(self.store, prefix or None)
            for path in (*level["common_prefixes"], *(entry["path"] for entry in level["objects"])):
                # Consoles mark a folder with an object that looks as the folder itself.
                if path != prefix.rstrip("/"):
                    yield path.rpartition("/")[2]

    async def _read(self, key: str, wanted: ByteRequest | None) -> bytes:
        options: GetOptions = {}
        if isinstance(wanted, SuffixByteRequest):
            options = {"range": {"suffix": wanted.suffix}}
        elif isinstance(wanted, OffsetByteRequest):
            options = {"range": {"offset": wanted.offset}}
        elif wanted is not None:
            options = {"range": (wanted.start, wanted.end)}
        try:
            result = await obstore.get_async(self.store, key, options=options)
        except NotSupportedError:
            if not isinstance(wanted, SuffixByteRequest):
                raise
            # Azure knows none.
            size = (await obstore.head_async(self.store, key))["size"]
            span = (max(0, size - wanted.suffix), size)
            result = await obstore.get_async(self.store, key, options={"range": span})
        return bytes(await result.bytes_async())

    @asynccontextmanager
    async def _told(self, key: str) -> AsyncIterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if is_missing(error):
                raise
            raise self._refusal(key, error) from None
        except BaseError as error:
            raise self._refusal(key, error) from None

    def _refusal(self, key: str, error: Exception) -> Exception:
        return refusal("read", f"{self._where}/{key}".rstrip("/"), error)
