"""The packets of a stream that are whole."""

from collections.abc import Iterator

import av
from av.packet import Packet
from av.video.stream import VideoStream

from etl.errors import ArchiveError, DeadlineError
from etl.extract.media import Opened
from etl.extract.numbering import BrokenError, DamagedError
from etl.signals import deferred


def _packets(opened: Opened) -> Iterator["Packet[VideoStream]"]:
    """The packets of a stream, and at the end an empty one.

    Raises:
        DamagedError: A packet is not whole.
        ArchiveError: The stream cannot be downloaded.
    """
    held: Packet[VideoStream] | None = None
    try:
        for packet in _demuxed(opened):
            if opened.reader.has_ended_early:
                # What was read ahead is good, but for the last packet, which can be incomplete.
                if not packet.size:
                    break
                ahead, held = held, packet
                if ahead is None:
                    continue
                packet = ahead  # noqa: PLW2901
            else:
                opened.reader.check()
            if packet.is_corrupt:
                raise DamagedError("it is damaged (incomplete packet)")
            yield packet
    except (av.FFmpegError, OSError) as error:
        opened.reader.check()
        raise DamagedError(f"it is damaged ({error.strerror})") from error
    opened.reader.check()


def _demuxed(opened: Opened) -> Iterator["Packet[VideoStream]"]:
    packets = opened.container.demux(opened.container.streams.video[0])
    while True:
        with deferred():
            packet = next(packets, None)
        if packet is None:
            return
        yield packet


def whole_packets(opened: Opened) -> Iterator["Packet[VideoStream]"]:
    """The same; of a transport stream that seems to be cut within its last frame, all but that frame."""
    if opened.transport is None:
        yield from _packets(opened)
        return
    held: Packet[VideoStream] | None = None
    try:
        for packet in _packets(opened):
            if not packet.size and opened.transport.is_cut_within_frame:
                held = None
                raise DamagedError("it is cut")
            if held is not None:
                yield held
            held = packet
    except DeadlineError:
        raise
    except (BrokenError, ArchiveError):
        if held is not None:
            yield held
        raise
    if held is not None:
        yield held
