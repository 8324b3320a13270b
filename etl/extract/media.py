"""The containers a stream can come in, opened at or before a given time.

FFmpeg opens nothing by itself: all bytes are handed to it, and the demuxer is chosen here, so that
neither a stream nor a playlist can reach a local file or another protocol.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NoReturn, Protocol

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from etl.extract.address import Address
from etl.extract.careful import MOST_BETWEEN_PACKETS, CarefulReader
from etl.extract.http import HttpClient
from etl.extract.remote import ByteReader, RemoteFile
from etl.extract.segments import Playlist, SegmentReader
from etl.extract.transport import PACKET, TransportReader
from etl.signals import deferred

_BUFFER = 1 << 18

_CODING_BLOCK = 64
"""Pixels to whose multiple the sides of a coded frame can be rounded up (ITU-T H.265, 7.4.3.2.1)."""


class UnreadableError(Exception):
    """The bytes are not a video in a container that is known here."""


@dataclass(frozen=True)
class Opened:
    """A stream that is open for reading.

    Attributes:
        container: the stream, positioned.
        reader: where its bytes come from.
        start: presentation time of the stream's first frame in seconds.
        transport: where the bytes of a transport stream come from; None for a container that tells how long
            every frame is.
    """

    container: InputContainer
    reader: CarefulReader
    start: Fraction
    transport: TransportReader | None


class Media(Protocol):
    """A stream in one of the containers."""

    @contextmanager
    def open(self, seconds: float) -> Iterator[Opened]:
        """Open the stream roughly at a time; 0 is exactly its start.

        Args:
            seconds: time from the start of the stream; what is read from then on begins near it, at an
                earlier or a later frame.

        Raises:
            UnreadableError: It is no video.
            ServiceError: It cannot be downloaded.
        """


def recognise(client: HttpClient, source: Address | Path, size: tuple[int, int]) -> Media:
    """Find out from its first bytes which container a stream is in.

    Args:
        client: the session to use.
        source: where the stream is, or the path of a local file.
        size: (columns, rows) of the frames: nothing larger is decoded, and of a playlist's variants the one
            of that size is chosen.

    Raises:
        UnreadableError: It is neither MP4, MPEG-TS nor HLS.
        ServiceError: It cannot be downloaded.
    """

    def reopen() -> ByteReader:
        return RemoteFile(client, source) if isinstance(source, Address) else source.open("rb")

    reader = reopen()
    try:
        head = b""
        while len(head) < 2 * PACKET and (more := reader.read(2 * PACKET - len(head))):
            head += more
    finally:
        reader.close()
    if head[4:8] in (b"ftyp", b"styp", b"moov", b"free", b"mdat", b"wide"):
        return _FileMedia(reopen, "mov", size)
    if head[:1] == b"G" and head[PACKET : PACKET + 1] == b"G":
        return _FileMedia(reopen, "mpegts", size)
    if head.startswith(b"#EXTM3U") and isinstance(source, Address):
        return _SegmentMedia(Playlist(client, source, size), size)
    raise UnreadableError("it is neither MP4, MPEG-TS nor HLS")


class _FileMedia:
    """MP4 or MPEG-TS in one file."""

    def __init__(
        self, reopen: Callable[[], ByteReader], container_format: str, size: tuple[int, int]
    ) -> None:
        self._reopen = reopen
        self._format = container_format
        self._size = size

    @contextmanager
    def open(self, seconds: float) -> Iterator[Opened]:
        with _opened(self._reopen(), self._format, self._size) as opened:
            if seconds:
                stream = opened.container.streams.video[0]
                offset = round((opened.start + Fraction(seconds)) / _time_base(stream))
                # Where that fails the stream is read from somewhere else, which is allowed.
                with suppress(av.FFmpegError, OSError), deferred():
                    opened.container.seek(offset, stream=stream)
                opened.reader.check()
            yield opened


class _SegmentMedia:
    """HLS: MPEG-TS or fMP4 in segments."""

    def __init__(self, playlist: Playlist, size: tuple[int, int]) -> None:
        self._playlist = playlist
        self._size = size
        self._format = "mpegts" if playlist.segments[0].header is None else "mov"
        self._start: Fraction | None = None

    @contextmanager
    def open(self, seconds: float) -> Iterator[Opened]:
        index = bisect_right(self._playlist.segments, seconds, key=lambda segment: segment.start) - 1
        index = max(index, 0) if seconds else 0
        if self._start is None and index:
            with self._opened_at(0) as opened:
                self._start = opened.start
        with self._opened_at(index) as opened:
            if self._start is None:
                self._start = opened.start
            yield replace(opened, start=self._start)

    def _opened_at(self, index: int) -> AbstractContextManager[Opened]:
        return _opened(SegmentReader(self._playlist, index), self._format, self._size)


@contextmanager
def _opened(source: ByteReader, container_format: str, size: tuple[int, int]) -> Iterator[Opened]:
    transport = TransportReader(source) if container_format == "mpegts" else None
    reader = CarefulReader(transport or source, max(MOST_BETWEEN_PACKETS, 4 * size[0] * size[1]))
    try:
        try:
            container = _demuxer(reader, container_format, size)
        except (av.FFmpegError, OSError) as error:
            reader.check()
            raise UnreadableError(f"it cannot be read as video ({error.strerror})") from error
        with container:
            try:
                start = _start(container)
            except UnreadableError:
                reader.check()
                raise
            yield Opened(container, reader, start, transport)
    finally:
        source.close()


def _start(container: InputContainer) -> Fraction:
    """Presentation time of the first frame in seconds."""
    if not container.streams.video:
        raise UnreadableError("it holds no video")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise UnreadableError("its codec is not known")
    if stream.start_time is None:
        raise UnreadableError("it does not tell the times of its frames")
    return stream.start_time * _time_base(stream)


def decoder_limits(size: tuple[int, int]) -> dict[str, str]:
    """Options with which a decoder refuses frames that are larger, before it allocates memory for them."""
    columns, rows = (-(-side // _CODING_BLOCK) * _CODING_BLOCK for side in size)
    return {"max_pixels": str(columns * rows)}


def _demuxer(reader: CarefulReader, container_format: str, size: tuple[int, int]) -> InputContainer:
    # The length of a stream is not needed; finding it would mean to read its end.
    options = {"skip_estimate_duration_from_pts": "1"}
    with deferred():
        container = av.open(
            reader,
            format=container_format,
            io_open=_refuse,
            buffer_size=_BUFFER,
            options=decoder_limits(size),
            container_options=options,
            metadata_errors="replace",
        )
    assert isinstance(container, InputContainer)  # noqa: S101 - opened for reading
    return container


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise OSError("a stream may not open other files")


def _time_base(stream: VideoStream) -> Fraction:
    if not stream.time_base:
        raise UnreadableError("it does not tell the times of its frames")
    return Fraction(stream.time_base)
