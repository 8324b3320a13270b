"""Whether a segment of fragmented MP4 ends where a box ends."""

_HEADER = 8
_LONG_HEADER = 16
_SIZE_FOLLOWS = 1


class BoxReader:
    """Follows the outermost boxes of a segment, piece by piece (ISO/IEC 14496-12, 4.2)."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._awaits_media = False

    @property
    def is_cut(self) -> bool:
        """The bytes so far end within a box, or between the index of a fragment (`moof`) and its media."""
        return self._left > 0 or bool(self._header) or self._awaits_media

    def feed(self, data: bytes) -> None:
        """Go on with the next bytes."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
            else:
                step = min(self._header_size - len(self._header), len(data) - at)
                self._header += data[at : at + step]
                if len(self._header) == self._header_size:
                    self._begin()
            at += step

    @property
    def _header_size(self) -> int:
        return _LONG_HEADER if int.from_bytes(self._header[:4]) == _SIZE_FOLLOWS else _HEADER

    def _begin(self) -> None:
        kind = self._header[4:_HEADER]
        size = int.from_bytes(self._header[:4])
        if size == _SIZE_FOLLOWS:
            size = int.from_bytes(self._header[_HEADER:])
        if kind in (b"moof", b"mdat"):
            self._awaits_media = kind == b"moof"
        self._left = max(size - len(self._header), 0)
        self._header = b""
