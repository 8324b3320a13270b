"""How bytes get to FFmpeg: exceptions would not get through it unharmed, and it never gives up."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from etl.errors import ArchiveError, DeadlineError, ServiceError
from etl.extract.remote import ByteReader
from etl.signals import at_once

MOST_BETWEEN_PACKETS = 1 << 28
"""Bytes that are read for one packet of the video at most, unless raw frames are larger still."""


class CarefulReader:
    """Hands bytes to FFmpeg and keeps what went wrong: an exception would not get through it unharmed.

    A stream that never comes to the next packet, or to the end of its index, is not followed for ever. Call
    FFmpeg within `deferred`: a signal then ends the waiting for bytes only, and is kept as any other failure.
    """

    def __init__(self, reader: ByteReader, most_between_packets: int = MOST_BETWEEN_PACKETS) -> None:
        self._reader = reader
        self._most = most_between_packets
        self._fruitless = 0
        self._failure: BaseException | None = None

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end or once something went wrong; `check` tells what."""
        if self._failure is not None:
            return b""
        with suppress(OSError), self._kept():
            data = at_once(lambda: self._reader.read(size))
            self._fruitless += len(data)
            if self._fruitless > self._most:
                raise ServiceError(
                    f"the stream has {self._most} bytes without a frame", "report it to the service"
                )
            return data
        return b""

    def seekable(self) -> bool:
        """Whether it is possible to jump."""
        return self._reader.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, as `io.RawIOBase.seek` does.

        Returns:
            −1 where that position is not known, or once something went wrong; `check` tells what.
        """
        with suppress(OSError), self._kept():
            try:
                return at_once(lambda: self._reader.seek(offset, whence))
            except io.UnsupportedOperation:
                return -1
        return -1

    def tell(self) -> int:
        """The present position in bytes."""
        return self._reader.tell()

    def close(self) -> None:
        """Release what is held."""
        self._reader.close()

    @property
    def has_ended_early(self) -> bool:
        """Whether the service or the connection failed: nothing more can be read then."""
        return isinstance(self._failure, ArchiveError) and not isinstance(self._failure, DeadlineError)

    def check(self) -> None:
        """Raise what went wrong, if anything did; else what was read so far has led to a packet."""
        self._fruitless = 0
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised again by check
            self._failure = self._failure or error
            raise OSError("the stream cannot be read") from None
