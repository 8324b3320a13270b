"""Where a transport stream or a segment of MP4 is seen to be cut."""

import io

import pytest

from etl.extract.boxes import BoxReader
from etl.extract.transport import PACKET, TransportReader


def box(kind: bytes, size: int) -> bytes:
    return (size + 8).to_bytes(4) + kind + bytes(size)


LONG = (1).to_bytes(4) + b"mdat" + (116).to_bytes(8) + bytes(100)
SEGMENT = box(b"styp", 16) + box(b"moof", 40) + box(b"mdat", 100) + box(b"moof", 40) + LONG


@pytest.mark.parametrize("step", [1, 3, 8, 1000])
def test_a_segment_is_whole_where_the_media_of_a_fragment_ends(step: int) -> None:
    whole = []
    for size in range(len(SEGMENT) + 1):
        boxes = BoxReader()
        for at in range(0, size, step):
            boxes.feed(SEGMENT[at : min(at + step, size)])
        if not boxes.is_cut:
            whole.append(size)
    assert whole == [0, 24, 24 + 48 + 108, len(SEGMENT)]


def packet(payload: int, *, pid: int = 0x100, adaptation: bytes | None = None) -> bytes:
    """A packet of as many bytes of payload; the rest is an adaptation field, here or as given."""
    left = PACKET - 4 - payload
    field = adaptation if adaptation is not None else stuffing(left)
    assert len(field) == left
    flags = 0x10 | (0x20 if field else 0)
    return bytes([0x47, pid >> 8, pid & 0xFF, flags]) + field + b"\x01" * payload


def stuffing(size: int) -> bytes:
    if size < 2:
        return bytes(size)
    return bytes([size - 1, 0]) + b"\xff" * (size - 2)


FULL = packet(184)
CLOCK = bytes([7, 0x10]) + bytes(6)


@pytest.mark.parametrize(
    ("content", "cut"),
    [
        (FULL * 5 + packet(100), False),
        (FULL * 5 + packet(183), False),
        (FULL * 5 + packet(182), False),
        (FULL * 5, True),
        (FULL * 5 + packet(100) + b"G", True),
        (FULL * 5 + packet(100)[:-1], True),
        (FULL * 5 + packet(176, adaptation=CLOCK), True),
        (FULL * 5 + packet(170, adaptation=bytes([13, 0x10]) + bytes(6) + b"\xff" * 6), False),
        (FULL * 5 + packet(100) + packet(184, pid=0x11), False),
        (FULL * 5 + packet(100, pid=0x11), True),
        (FULL * 2000 + packet(100), False),
    ],
    ids=[
        "filled up",
        "by one byte",
        "by two bytes",
        "not filled up",
        "a byte more",
        "a byte less",
        "a clock but no stuffing",
        "a clock and stuffing",
        "another stream comes last",
        "another stream is filled up",
        "a long stream",
    ],
)
def test_the_last_packet_of_a_frame_is_filled_up(content: bytes, cut: bool) -> None:
    reader = TransportReader(io.BytesIO(content))
    while reader.read(10_000):
        pass
    assert reader.is_cut_within_frame == cut


def test_a_jump_within_a_transport_stream_does_not_matter() -> None:
    content = packet(184) * 5 + packet(100)
    reader = TransportReader(io.BytesIO(content))
    for position in (0, 3 * PACKET, 1):
        assert reader.seek(position) == reader.tell() == position
        while reader.read(100):
            pass
        assert not reader.is_cut_within_frame
