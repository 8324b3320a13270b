"""The objects of a bucket as zarr-python reads them; a read that fails is not taken for damage."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Self

from obstore.exceptions import BaseError
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from etl.load.bucket_client import refusal


class BucketZarr(ObjectStore[Any]):
    """Raises `StorageError` where the storage refuses a read or cannot be reached."""

    def __init__(self, store: Any, *, read_only: bool = True, where: str = "") -> None:  # noqa: ANN401 - obstore's
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
        async with self._told(key):
            return await super().get(key, prototype, byte_range)

    async def get_partial_values(  # noqa: D102
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        async with self._told(""):
            return await super().get_partial_values(prototype, key_ranges)

    async def exists(self, key: str) -> bool:  # noqa: D102
        async with self._told(key):
            return await super().exists(key)

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
            async for key in super().list_dir(prefix):
                yield key

    @asynccontextmanager
    async def _told(self, key: str) -> AsyncIterator[None]:
        try:
            yield
        except BaseError as error:
            raise refusal("read", f"{self._where}/{key}".rstrip("/"), error) from None
