"""HLS playlists: the list of segments that make one stream."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from urllib.parse import urlsplit

import m3u8

from etl.errors import ServiceError
from etl.extract.address import Address
from etl.extract.boxes import BoxReader
from etl.extract.http import HttpClient, without_query
from etl.extract.remote import RemoteFile
from etl.extract.transport import PACKET

_LONGEST_PLAYLIST = 1 << 24


@dataclass(frozen=True)
class Part:
    """A file, or a byte range of one, on the server.

    Attributes:
        url: absolute http or https address.
        offset: first byte.
        length: number of bytes; None is up to the end.
    """

    url: str
    offset: int = 0
    length: int | None = None


@dataclass(frozen=True)
class Segment:
    """One segment of the stream.

    Attributes:
        start: seconds from the start of the stream, as the playlist's durations add up.
        media: the segment itself.
        header: what must be read before it (fMP4), or None (MPEG-TS); the same for all segments.
    """

    start: float
    media: Part
    header: Part | None


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


def _likeness(segment: Segment) -> list[object]:
    """What stays the same of a segment when its address is signed anew."""
    parts = [part for part in (segment.header, segment.media) if part]
    return [
        segment.start,
        *((urlsplit(part.url).path.rpartition("/")[2], part.offset, part.length) for part in parts),
    ]


def read_playlist(client: HttpClient, address: Address | str, size: tuple[int, int]) -> list[Segment]:
    """Read a playlist; of a list of variants, the one of the given size or else the largest bandwidth.

    Args:
        client: the session to use.
        address: address of the playlist.
        size: (columns, rows) of the frames.

    Raises:
        ServiceError: It cannot be read, or holds what cannot be read exactly: another protocol than http
            or https, encryption, discontinuities, or a window that does not begin at the first segment.
    """
    address = Address(client, address) if isinstance(address, str) else address
    playlist = _load(client, address)
    url = address.url
    if playlist.is_variant:
        url = _variant(playlist, url, size)
        playlist = _load(client, Address(client, url))
    name = without_query(url)
    if not playlist.segments:
        raise ServiceError(f"the playlist {name} lists no segments", "report it to the service")
    if playlist.media_sequence and playlist.playlist_type not in ("vod", "event"):
        raise _unsupported(name, "shows only the last part of a stream")
    with _well_formed(url):
        return _segments(playlist, url)


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
            ServiceError: A segment is missing, refused, cut or keeps breaking off.
        """
        while True:
            if self._file is not None:
                data = self._file.read(size)
                if data:
                    if not self._is_transport:
                        self._boxes.feed(data)
                    return data
                if self._boxes.is_cut or (self._is_transport and self._file.tell() % PACKET):
                    raise ServiceError(f"{self._file.name} is cut", "report it to the service")
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


def _load(client: HttpClient, address: Address) -> m3u8.M3U8:
    response, text = client.whole(address.get, _LONGEST_PLAYLIST)
    with _well_formed(address.url):
        return m3u8.loads(text.decode(), uri=response.url)


@contextmanager
def _well_formed(url: str) -> Iterator[None]:
    """Tell in one error whatever is wrong with a playlist, without quoting it: it can hold secrets."""
    try:
        yield
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ServiceError(
            f"the playlist {without_query(url)} is malformed", "report it to the service"
        ) from None


def _variant(playlist: m3u8.M3U8, url: str, size: tuple[int, int]) -> str:
    with _well_formed(url):
        variant = max(
            playlist.playlists,
            key=lambda variant: (variant.stream_info.resolution == size, variant.stream_info.bandwidth or 0),
        )
        return _web_address(variant.absolute_uri, url)


def _segments(playlist: m3u8.M3U8, url: str) -> list[Segment]:
    segments: list[Segment] = []
    start = 0.0
    end_of_range: dict[str, int] = {}
    for item in playlist.segments:
        if item.discontinuity:
            raise _unsupported(without_query(url), "is cut into pieces with separate times")
        if item.key is not None and item.key.method not in (None, "NONE"):
            raise _unsupported(without_query(url), "is encrypted")
        media = _part(item.absolute_uri, item.byterange, url, end_of_range)
        section = item.init_section
        header = section and _part(section.absolute_uri, section.byterange, url, {})
        segments.append(Segment(start, media, header or None))
        if segments[-1].header != segments[0].header:
            raise _unsupported(without_query(url), "changes its settings on the way")
        start += item.duration or 0.0
    return segments


def _part(address: str, byterange: str | None, playlist: str, end_of_range: dict[str, int]) -> Part:
    address = _web_address(address, playlist)
    if not byterange:
        return Part(address)
    match = re.fullmatch(r"([0-9]+)(?:@([0-9]+))?", byterange)
    if match is None:
        raise ValueError(byterange)
    start = int(match[2]) if match[2] else end_of_range.get(address, 0)
    length = int(match[1])
    end_of_range[address] = start + length
    return Part(address, start, length)


def _web_address(address: str, playlist: str) -> str:
    scheme = urlsplit(address).scheme
    if scheme not in ("http", "https"):
        raise ServiceError(
            f"the playlist {without_query(playlist)} points to {scheme or 'no'}: instead of http or https",
            "report it to the service; nothing was opened",
        )
    return address


def _unsupported(name: str, what: str) -> ServiceError:
    return ServiceError(
        f"the stream {name} {what}, so its frames cannot be numbered for sure", "report it to the service"
    )
