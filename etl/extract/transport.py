"""Whether a transport stream (MPEG-TS) ends where a frame ends.

A transport stream does not tell how long a frame is, and decoders do not always notice that one is cut. But a
frame is carried in packets of 188 bytes, and its last packet is filled up with stuffing, unless it happens to
fit exactly: a stream that ends with a packet full of payload was cut, by 183 to 1.
"""

import io

from etl.extract.remote import ByteReader

PACKET = 188

_TAIL = 1024 * PACKET


class TransportReader:
    """Hands a stream's bytes on and remembers the last of them."""

    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader
        self._tail = b""
        self._tail_end = 0
        self._position = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        data = self._reader.read(size)
        if data:
            before = self._tail if self._position == self._tail_end else b""
            self._tail = (before + data)[-_TAIL:]
            self._position += len(data)
            self._tail_end = self._position
        return data

    def seekable(self) -> bool:
        """Whether it is possible to jump."""
        return self._reader.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, as `io.RawIOBase.seek` does."""
        self._position = self._reader.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        """The present position in bytes."""
        return self._position

    def close(self) -> None:
        """Release what is held."""
        self._reader.close()

    @property
    def is_cut(self) -> bool:
        """At the end of the stream: its last packet is not whole."""
        return self._tail_end % PACKET != 0

    @property
    def is_cut_within_frame(self) -> bool:
        """At the end of the stream: it ends, most likely, within a frame."""
        if self.is_cut:
            return True
        tail = self._tail[len(self._tail) % PACKET :] if self._tail_end == self._position else b""
        packets = [tail[at : at + PACKET] for at in range(0, len(tail), PACKET)]
        identifiers = [(packet[1] & 0x1F) << 8 | packet[2] for packet in packets]
        video = max(set(identifiers), key=identifiers.count, default=None)
        last = [
            packet for packet, identifier in zip(packets, identifiers, strict=True) if identifier == video
        ]
        return bool(last) and not _is_filled_up(last[-1])


def _is_filled_up(packet: bytes) -> bool:
    """Whether a packet has stuffing (ISO/IEC 13818-1, 2.4.3.4: adaptation field)."""
    if not packet[3] & 0x20:
        return False
    length, flags = packet[4], packet[5]
    if length == 0 or flags == 0 or flags & 0x03:
        # A field that says nothing is stuffing; what private data and extensions take is not looked up.
        return True
    clocks = 6 * (flags >> 4 & 1) + 6 * (flags >> 3 & 1)
    return length > 1 + clocks + (flags >> 2 & 1)
