"""The segments of an HLS stream as one file, wherever they are at the moment."""

from collections.abc import Callable
from itertools import chain
from urllib.parse import urlsplit

from etl.errors import ServiceError
from etl.extract.address import Address, MissingError
from etl.extract.boxes import BoxReader
from etl.extract.hls import Part, Segment, read_playlist
from etl.extract.http import HttpClient
from etl.extract.remote import RemoteFile
from etl.extract.transport import PACKET


class Playlist:
    """A playlist whose address, and whose segments' addresses, can expire and are then asked for again.

    Attributes:
        segments: the segments as they were listed first; their addresses may have expired.
    """

    def __init__(self, client: HttpClient, address: Address, size: tuple[int, int]) -> None:
        """Read a playlist; see `read_playlist`."""
        self._client = client
        self._address = address
        self._size = size
        self.segments = self._current = read_playlist(client, address, size)

    def open(self, index: int) -> RemoteFile:
        """The file of segment `index`."""
        part = self.segments[index].media

        def listed() -> str:
            return self._current[index].media.url

        return self._open(part, listed)

    def open_header(self) -> RemoteFile | None:
        """The file of what must be read before a segment, or None."""

        def listed() -> str:
            header = self._current[0].header
            assert header is not None  # noqa: S101 - it was there, and is compared
            return header.url

        header = self.segments[0].header
        return self._open(header, listed) if header else None

    def _open(self, part: Part, listed: Callable[[], str]) -> RemoteFile:
        def ask_again() -> str:
            self._read_again()
            return listed()

        address = Address(self._client, listed(), ask_again, identity=part.url)
        return RemoteFile(self._client, address, part.offset, part.length)

    def _read_again(self) -> None:
        self._address.renew()
        again = read_playlist(self._client, self._address, self._size)
        if [_likeness(segment) for segment in again[: len(self.segments)]] != [
            _likeness(segment) for segment in self.segments
        ]:
            raise ServiceError(
                f"the playlist {self._address.name} changed while it was read", "run the command again"
            )
        self._current = again


class SegmentReader:
    """Segments one after the other, as one file that can only be read forwards."""

    def __init__(self, playlist: Playlist, first: int = 0) -> None:
        """Open nothing yet.

        Args:
            playlist: what lists the segments.
            first: index of the segment to begin with.
        """
        header = playlist.open_header()
        self._is_transport = header is None
        segments = map(playlist.open, range(first, len(playlist.segments)))
        self._files = chain([header] if header else [], segments)
        self._file: RemoteFile | None = None
        self._boxes = BoxReader()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none after the last segment.

        Raises:
            MissingError: A segment is missing or cut.
            ServiceError: A segment is refused or keeps breaking off.
        """
        while True:
            if self._file is not None:
                data = self._file.read(size)
                if data:
                    if not self._is_transport:
                        self._boxes.feed(data)
                    return data
                if self._boxes.is_cut or (self._is_transport and self._file.tell() % PACKET):
                    raise MissingError(f"{self._file.name} is cut", "report it to the service")
                self._file.close()
            following = next(self._files, None)
            if following is None:
                return b""
            self._file = following

    def seekable(self) -> bool:
        """It is not possible to jump."""
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        """Not possible."""
        raise OSError("segments can only be read forwards")

    def tell(self) -> int:
        """Not possible."""
        raise OSError("segments can only be read forwards")

    def close(self) -> None:
        """Drop the connection, if one is open."""
        if self._file is not None:
            self._file.close()


def _likeness(segment: Segment) -> list[object]:
    """What stays the same of a segment when its address is signed anew."""
    parts = [part for part in (segment.header, segment.media) if part]
    return [
        segment.start,
        *((urlsplit(part.url).path.rpartition("/")[2], part.offset, part.length) for part in parts),
    ]
