"""A group's objects as they are read by Zarr, where all that are committed must be there."""

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from etl.errors import IncompatibleError


class WholeStore(WrapperStore[Store]):
    """A store in which a chunk that is missing is an error: to Zarr it would be no data.

    A frame without data has its objects, too.
    """

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read an object.

        Raises:
            IncompatibleError: It is a chunk's, and missing.
        """
        data = await super().get(key, prototype, byte_range)
        # Keys of chunks end in a digit; those of metadata do not, and may be missing.
        if data is None and key[-1:].isdigit():
            raise IncompatibleError(
                f"{key} in {self._store} is missing", "run ndvi-archive verify, which tells how to mend it"
            )
        return data
