"""The hashes that pictures of HEVC can carry (ITU-T H.265, D.2.19 and D.3.19).

FFmpeg compares those of the kind MD5 while it decodes, and passes over the two other kinds.
"""

from binascii import crc_hqx
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from etl.extract.frame import Codes
from etl.extract.numbering import DamagedError

_HASH = 132
"""Type of the message, in a suffix SEI."""

_SUFFIX_SEI = 40
_FIRST_AFTER_SLICES = 32
"""Types of NAL units; those of slices come first."""

_CRC_START = 0x1D0F
"""CRC of two bytes 0xFF: D.3.19 begins with these in the register, `crc_hqx` behind them."""

_BLOCK = 256
"""Rows that are summed at once."""


@dataclass(frozen=True)
class PictureHash:
    """The hash of a picture's first plane.

    Attributes:
        kind: 0 MD5, 1 CRC, 2 checksum.
        value: the hash itself.
    """

    kind: int
    value: bytes

    def matches(self, codes: Codes) -> bool:
        """Whether these are the codes of the whole coded picture; MD5 was compared by the decoder."""
        compute = _KINDS.get(self.kind)
        return compute is None or compute(codes).to_bytes(len(self.value), "big") == self.value


class PictureHashes:
    """The hashes of a stream's pictures.

    Args:
        codec: how the stream is coded.
    """

    def __init__(self, codec: VideoCodecContext) -> None:
        head = codec.extradata or b""
        self._is_hevc = codec.name == "hevc"
        # An hvcC box (ISO/IEC 14496-15, 8.3.3.1) begins with its version, 1; Annex B of H.265 with zeros.
        self._length_size = (head[21] & 3) + 1 if len(head) > 22 and head[0] == 1 else None
        self._are_carried = False

    def of(self, packet: "Packet[VideoStream]") -> PictureHash | None:
        """The hash in a packet.

        Raises:
            DamagedError: It has one and the key frame before it has none, or the other way round.
        """
        if not self._is_hevc:
            return None
        found = self._find(bytes(packet))
        if packet.is_keyframe:
            self._are_carried = found is not None
        elif self._are_carried != (found is not None):
            raise DamagedError("it is damaged (only one of a picture and its key frame carries a hash)")
        return found

    def _find(self, data: bytes) -> PictureHash | None:
        units = _units(data) if self._length_size is None else _units_of_length(data, self._length_size)
        for unit in units:
            if _type(unit) == _SUFFIX_SEI:
                for kind, message in _messages(unit[2:].replace(b"\0\0\3", b"\0\0")):
                    size = {0: 16, 1: 2, 2: 4}.get(message[0]) if kind == _HASH and message else None
                    if size and len(message) > size:
                        return PictureHash(message[0], message[1 : 1 + size])
        return None


def _type(unit: bytes) -> int:
    return unit[0] >> 1 & 63 if unit else -1


def _units(data: bytes) -> Iterator[bytes]:
    """The NAL units behind the slices, which start codes separate; the last one first."""
    end = len(data)
    while (begin := data.rfind(b"\0\0\1", 0, end)) >= 0:
        unit = data[begin + 3 : end].rstrip(b"\0")
        if _type(unit) < _FIRST_AFTER_SLICES:
            return
        yield unit
        end = begin


def _units_of_length(data: bytes, size: int) -> Iterator[bytes]:
    """The NAL units of a packet, each of which has its length before it."""
    position = 0
    while position + size < len(data):
        begin = position + size
        position = begin + int.from_bytes(data[position:begin], "big")
        yield data[begin:position]


def _messages(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages in an SEI (7.3.5), each with its type."""
    position = 0
    while position + 2 < len(payload):
        numbers = []
        for _ in range(2):
            number = 0
            while position < len(payload):
                byte = payload[position]
                position += 1
                number += byte
                if byte != 0xFF:
                    break
            numbers.append(number)
        kind, size = numbers
        yield kind, payload[position : position + size]
        position += size


def _crc(codes: Codes) -> int:
    crc = _CRC_START
    for row in codes:
        crc = crc_hqx(row, crc)
    return crc


def _checksum(codes: Codes) -> int:
    rows, columns = codes.shape
    across, down = (np.arange(count) & 0xFF ^ np.arange(count) >> 8 for count in (columns, rows))
    masks = np.repeat(across, codes.itemsize).astype(np.uint8)
    total = 0
    for begin in range(0, rows, _BLOCK):
        part = slice(begin, begin + _BLOCK)
        octets = codes[part].view(np.uint8) ^ masks ^ down[part, None].astype(np.uint8)
        total += int(octets.sum(dtype=np.uint64))
    return total & 0xFFFFFFFF


_KINDS: Mapping[int, Callable[[Codes], int]] = {1: _crc, 2: _checksum}
