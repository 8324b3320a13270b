"""Frame numbers from presentation times, and the one case in which those are wrong.

Frame n is shown (n − 1)/25 s after the stream's own start. FFmpeg's muxer for segmented MP4, however, gives
the key frame of an open group the earliest time of the pictures that are shown before it: they then come as
…, 48, 49, 50, 47, 52, … in the order in which they are shown. The decoder keeps that order by the codec's own
count, so the true number, 51, follows from its neighbours.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, count

from etl.extract.frame import Codes

FRAME_RATE = 25

_TOLERANCE = Fraction(1, 50)
"""Part of a frame by which a time may be off; at another rate the second frame is already."""


class BrokenError(Exception):
    """The stream does not go on as it should."""


class DamagedError(BrokenError):
    """The stream cannot be decoded any further."""


@dataclass(frozen=True)
class Picture:
    """One decoded picture.

    Attributes:
        number: 1-based number of the frame in the whole stream.
        codes: [row, column] uint8 or uint16, 0 … 2**bits − 1, as decoded; a view of the decoder's memory.
        bits: bit depth of the codes.
        is_key: the picture is a key frame.
        order: position among the pictures in the order in which they are decoded.
    """

    number: int
    codes: Codes
    bits: int
    is_key: bool
    order: int


@dataclass(frozen=True)
class Clock:
    """Presentation times to frame numbers.

    Attributes:
        start: presentation time of frame 1 in seconds.
        time_base: seconds of one unit of presentation time.
    """

    start: Fraction
    time_base: Fraction
    _orders: dict[tuple[int, bool], int] = field(default_factory=dict, repr=False)
    _positions: Iterator[int] = field(default_factory=count, repr=False)

    def number(self, pts: int | None) -> int:
        """The number of the frame that is shown at a time.

        Raises:
            BrokenError: There is no time, or no frame is shown at it.
        """
        if pts is None:
            raise BrokenError("a frame has no time")
        position = (pts * self.time_base - self.start) * FRAME_RATE
        if abs(position - round(position)) > _TOLERANCE:
            raise BrokenError(f"its frames are not {FRAME_RATE} a second")
        return round(position) + 1

    def sent(self, number: int, *, is_key: bool) -> None:
        """Note that a frame goes to the decoder; key frames and others are noted apart."""
        self._orders[number, is_key] = next(self._positions)

    def order(self, number: int, *, is_key: bool) -> int:
        """Position among the frames in the order in which they went to the decoder; −1 if it did not."""
        return self._orders.get((number, is_key), -1)


def with_true_numbers(pictures: Iterator[Picture], *, from_start: bool) -> Generator[Picture, None, None]:
    """Pictures in the order in which they are shown, key frames with their true numbers.

    A key frame is dropped where its number cannot be told: where the pictures around it are missing.

    Args:
        pictures: what the decoder gives, from a key frame on.
        from_start: that key frame is the first of the stream, and has its true number.
    """
    previous: Picture | None = None
    key: Picture | None = None
    for picture in chain(pictures, [None]):
        if key is not None:
            known = _identified(previous, key, picture)
            if known is not None:
                yield known
                previous = known
        key = None
        if picture is None:
            return
        if picture.is_key and not (from_start and previous is None):
            key = picture
        else:
            yield picture
            previous = picture


def _identified(previous: Picture | None, key: Picture, following: Picture | None) -> Picture | None:
    """A key frame with its true number, or None; where `following` is None the stream has ended well."""
    if previous is None or key.number > previous.number:
        ends = following is None and previous is not None
        return key if ends or (following is not None and following.number == key.number + 1) else None
    stands_alone = following is None or following.number == previous.number + 2
    is_shown_before_but_decoded_after = previous.order > key.order
    if stands_alone and is_shown_before_but_decoded_after:
        return replace(key, number=previous.number + 1)
    return key
