"""Exactly the frames asked for, out of a video stream.

A frame's number follows from its presentation time, never from counting. Seeking may therefore land
anywhere; where it lands behind the wanted frame, or loses it on the way, it is tried again further back, in
the end from the start of the stream.
"""

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from etl.errors import ArchiveError, DeadlineError, LostError, ServiceError, StreamError
from etl.extract.address import Address, MissingError
from etl.extract.frame import Codes
from etl.extract.hashes import PictureHash, PictureHashes
from etl.extract.http import HttpClient
from etl.extract.media import Media, Opened, UnreadableError, decoder_limits, recognise
from etl.extract.numbering import FRAME_RATE, BrokenError, Clock, DamagedError, Picture, with_true_numbers
from etl.extract.packets import whole_packets

log = logging.getLogger(__name__)

_FURTHER_BACK = (0, 2, 8, 32, 128, 512)
"""Seconds before the wanted frame at which decoding is tried to begin, one after the other."""

_LONGEST_GAP = 500
"""Unwanted frames that are rather decoded and dropped than sought over."""

_MOST_THREADS = 16
"""Of a decoder: each of them holds a frame, and FFmpeg advises against more."""

_OTHER_RATE = 5
"""Frames a second by which a stream's average may differ: a hole changes it a little."""

_STRICT = {"err_detect": "explode+crccheck"}
"""Damage is an error instead of being concealed; picture hashes are checked where there are any."""

_LUMA_FIRST = ("gray", "yuv420p", "yuvj420p")
"""Pixel formats whose first plane can hold codes.

4:2:0 must name the full range. Where it names none it is limited (ITU-T H.265, E.3.1), and FFmpeg squeezes
the codes of gray that it makes 4:2:0. Gray has the codes that were put into it, whatever its flag says.
"""


class Video:
    """A video stream, opened by address or, for a local source named by the user, by path."""

    def __init__(
        self,
        client: HttpClient,
        source: Address | str | Path,
        size: tuple[int, int],
        threads: int = 0,
    ) -> None:
        """Describe the stream; nothing is opened yet.

        Args:
            client: the session to use.
            source: http or https address, or the path of a local file.
            size: (columns, rows) every frame must have; a stream with larger ones is not decoded.
            threads: decoder threads; 0 is one a core, 16 at most.
        """
        self._client = client
        self._source = Address(client, source) if isinstance(source, str) else source
        self._name = self._source.name if isinstance(self._source, Address) else str(source)
        self._size = size
        self._threads = threads or min(len(os.sched_getaffinity(0)), _MOST_THREADS)
        self._media: Media | None = None

    def pictures(self, numbers: Sequence[int]) -> Iterator[Picture]:
        """Decode exactly the frames of the given numbers, in the given order.

        Raises:
            LostError: A frame is missing, repeated, damaged or of another size, or the stream is no video.
            StreamError: The stream cannot be downloaded. The number of either error is that of the first
                frame that could not be had; all before it were yielded.
            LoginError: The stream's address expired, and asking for another one is refused.
        """
        for run in runs(numbers):
            done = 0
            # On one thread the damaged frame is known, so that every frame before it can be had.
            for threads in dict.fromkeys((self._threads, 1)):
                try:
                    for picture in self._exactly(run[done:], threads):
                        yield picture
                        done += 1
                    break
                except DeadlineError:
                    raise
                except (BrokenError, UnreadableError, ServiceError) as error:
                    why = error.what if isinstance(error, ServiceError) else str(error)
                    log.info("%s: frame %d: %s", self._name, run[done], why)
                    if threads == 1 or not isinstance(error, DamagedError):
                        is_lost = isinstance(error, BrokenError | UnreadableError | MissingError)
                        kind = LostError if is_lost else StreamError
                        raise kind(
                            f"frame {run[done]} of {self._name} cannot be had: {why}",
                            "run the command again; if it stays so, report it to the service",
                            run[done],
                        ) from error

    def key_frame_near(self, number: int) -> int | None:
        """A key frame before a frame or a little after it, found without decoding; None where that fails.

        It is the nearest before, unless the container's index tells when frames are decoded, not shown.
        """
        try:
            if self._media is None:
                self._media = recognise(self._client, self._source, self._size)
            with self._media.open((number - 1) / FRAME_RATE) as opened:
                clock = Clock(opened.start, Fraction(opened.container.streams.video[0].time_base or 0))
                for packet in whole_packets(opened):
                    found = clock.number(packet.pts) if packet.size else None
                    if found is None:
                        return None
                    if packet.is_keyframe:
                        return found
        except DeadlineError:
            raise
        except (BrokenError, UnreadableError, ServiceError) as error:
            log.info("%s: a key frame near frame %d is not found: %s", self._name, number, error)
        return None

    def _exactly(self, numbers: Sequence[int], threads: int) -> Iterator[Picture]:
        wanted = iter(numbers)
        target = next(wanted)
        last: int | None = None
        with closing(self._from(target, threads)) as pictures:
            for picture in pictures:
                if last is not None and picture.number <= last:
                    raise BrokenError(f"frame {picture.number} comes again after frame {last}")
                last = picture.number
                if last > target:
                    raise BrokenError(f"the stream goes on with frame {last}")
                if last == target:
                    yield picture
                    following = next(wanted, None)
                    if following is None:
                        return
                    target = following
        raise BrokenError(
            "the stream has no such frame" if last is None else f"the stream ends at frame {last}"
        )

    def _from(self, first: int, threads: int) -> Generator[Picture, None, None]:
        """All pictures from frame `first` on; from a later one where the stream does not have it."""
        target = (first - 1) / FRAME_RATE
        for seconds in [*(target - back for back in _FURTHER_BACK if back < target), 0.0]:
            pictures = self._decode(seconds, first, threads)
            begins_before = not seconds
            head: Picture | None = None
            try:
                for picture in pictures:
                    if picture.number >= first:
                        head = picture
                        break
                    begins_before = True
            except BrokenError:
                if begins_before:
                    raise
            if head is not None and (begins_before or head.number == first):
                yield head
                yield from pictures
            if begins_before or (head is not None and head.number == first):
                return
            pictures.close()
            log.debug("%s: frame %d is not reached from %.2f s", self._name, first, seconds)

    def _decode(self, seconds: float, first: int, threads: int) -> Generator[Picture, None, None]:
        """All pictures from a key frame near a time on; none where that is seen to lie behind `first`."""
        if self._media is None:
            self._media = recognise(self._client, self._source, self._size)
        with self._media.open(seconds) as opened:
            stream = opened.container.streams.video[0]
            if stream.average_rate and abs(stream.average_rate - FRAME_RATE) > _OTHER_RATE:
                raise BrokenError(f"it has {float(stream.average_rate):g} frames a second, not {FRAME_RATE}")
            codec = stream.codec_context
            codec.thread_type = "AUTO"
            codec.thread_count = threads
            self._check_size("it", codec.width, codec.height)
            codec.options = _STRICT | decoder_limits(self._size)
            codec.copy_opaque = True
            pictures = self._pictures(opened, first if seconds else None, threads)
            if codec.has_b_frames:
                pictures = with_true_numbers(pictures, from_start=not seconds)
            yield from pictures

    def _pictures(self, opened: Opened, first: int | None, threads: int) -> Generator[Picture, None, None]:
        """All pictures as they come; none where `first` is given and seen to be passed."""
        stream = opened.container.streams.video[0]
        codec = stream.codec_context
        clock = Clock(opened.start, Fraction(stream.time_base or 0))
        hashes = PictureHashes(codec)
        at_key_frame = False
        last: int | None = None
        packets = whole_packets(opened)
        while True:
            try:
                packet = next(packets, None)
            except DeadlineError:
                raise
            except (BrokenError, ArchiveError):
                # All packets so far were whole, so what the decoder still holds is good.
                yield from self._held(codec, clock, last, None)
                raise
            if packet is None:
                return
            number = clock.number(packet.pts) if packet.size else None
            if not at_key_frame:
                if number is not None and first is not None and number > first:
                    return
                at_key_frame = packet.is_keyframe
                if not at_key_frame:
                    continue
            if number is not None:
                clock.sent(number, is_key=packet.is_keyframe)
            try:
                packet.opaque = hashes.of(packet) if packet.size else None
                frames = packet.decode()
            except (av.FFmpegError, DamagedError) as error:
                if threads == 1 and number is not None:
                    yield from self._held(codec, clock, last, number)
                if isinstance(error, DamagedError):
                    raise
                raise DamagedError(f"it is damaged ({error.strerror})") from error
            for frame in frames:
                picture = self._picture(frame, clock, codec)
                last = picture.number
                yield picture

    def _held(
        self, codec: VideoCodecContext, clock: Clock, last: int | None, damaged: int | None
    ) -> Iterator[Picture]:
        """What the decoder still holds of the pictures that come after the last, up to the damaged one."""
        try:
            frames = codec.decode(None)
        except av.FFmpegError:
            return
        for frame in frames:
            picture = self._picture(frame, clock, codec)
            is_next = last is None or picture.number == last + 1
            if not is_next or (damaged is not None and picture.number >= damaged):
                return
            last = picture.number
            yield picture

    def _picture(self, frame: VideoFrame, clock: Clock, codec: VideoCodecContext) -> Picture:
        number = clock.number(frame.pts)
        if frame.is_corrupt:
            raise BrokenError(f"frame {number} is damaged")
        self._check_size(f"frame {number}", frame.width, frame.height)
        name = frame.format.name
        bits = frame.format.components[0].bits
        if name.removesuffix("le").rstrip("0123456789") not in _LUMA_FIRST and name not in _LUMA_FIRST:
            raise BrokenError(f"frame {number} has the pixel format {name}, which is neither gray nor 4:2:0")
        if not name.startswith("gray") and frame.color_range != ColorRange.JPEG:
            raise BrokenError(
                f"frame {number} is {name} of limited or unnamed range: only full range is known"
            )
        plane = frame.planes[0]
        memory = memoryview(plane)
        samples: Codes = np.frombuffer(memory, np.uint8) if bits == 8 else np.frombuffer(memory, np.uint16)
        rows = samples.reshape(-1, plane.line_size // samples.itemsize)
        codes = rows[: frame.height, : frame.width]
        # A hash is that of the coded picture; what was cut off its edges is no longer there.
        is_whole = (codec.coded_width, codec.coded_height) == (frame.width, frame.height)
        if is_whole and isinstance(frame.opaque, PictureHash) and not frame.opaque.matches(codes):
            raise DamagedError(f"frame {number} is damaged: it does not match its hash")
        return Picture(number, codes, bits, frame.key_frame, clock.order(number, is_key=frame.key_frame))

    def _check_size(self, what: str, columns: int, rows: int) -> None:
        if (columns, rows) != self._size:
            raise BrokenError(
                f"{what} has {columns} × {rows} pixels, the metadata says {self._size[0]} × {self._size[1]}"
            )


def runs(numbers: Sequence[int]) -> list[list[int]]:
    """Cut frame numbers where reading on would be wasteful or impossible: at long gaps and steps back."""
    cut: list[list[int]] = []
    for number in numbers:
        if cut and 0 < number - cut[-1][-1] <= _LONGEST_GAP:
            cut[-1].append(number)
        else:
            cut.append([number])
    return cut
