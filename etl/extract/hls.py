"""HLS playlists: the list of segments that make one stream."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import m3u8

from etl.errors import ServiceError
from etl.extract.address import Address
from etl.extract.http import HttpClient, without_query

_LONGEST_PLAYLIST = 1 << 22
"""Bytes of a playlist."""

_MOST_LINES = 1 << 16
"""Lines of a playlist: twenty years of two frames a day in segments of a frame each, four lines a segment."""

_MOST_VARIANTS = 1000
"""Variants and their renditions in a playlist, all of which are compared with each other."""


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


def _load(client: HttpClient, address: Address) -> m3u8.M3U8:
    response, text = client.whole(address.get, _LONGEST_PLAYLIST)
    with _well_formed(address.url):
        content = text.decode()
        if len(content.splitlines()) > _MOST_LINES:
            raise _too_long(address, f"{_MOST_LINES} lines")
        if content.count("#EXT-X-STREAM-INF") + content.count("#EXT-X-MEDIA:") > _MOST_VARIANTS:
            raise _too_long(address, f"{_MOST_VARIANTS} variants")
        return m3u8.loads(content, uri=response.url)


def _too_long(address: Address, limit: str) -> ServiceError:
    return ServiceError(f"the playlist {address.name} has more than {limit}", "report it to the service")


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
