"""A few frames out of the middle of a long stream: what is downloaded and decoded for them."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import av

from etl.extract.numbering import FRAME_RATE

from .clips import Clip, Stored
from .counted import DECODED
from .measuring import PROGRAM, FailedError, Figure, Group, quietly
from .setting import Setting, convert, reported
from .standin import serving_streams

_ASKED = 10
_DIGIT = "4"
"""Not in the name of a continent."""


@dataclass(frozen=True)
class Need:
    """What cannot be done without.

    Attributes:
        frames: frames from the key frame before the first wanted one to the last, in the order of decoding.
        size: bytes of their packets.
        wanted: bytes of the wanted frames' packets alone.
    """

    frames: int
    size: int
    wanted: int


def middle(setting: Setting) -> Group:
    """Frames out of the middle of the second group of three, in every container."""
    sizes = setting.sizes
    about = f"{_ASKED} small frames from the middle of an open group of {sizes.group}"
    group = Group("range", about)
    first = sizes.group + sizes.group // 2 + 1 - _ASKED // 2
    first += 1 - first % 2
    small = Clip("groups", *sizes.small, 3 * sizes.group, gop=sizes.group, preset="ultrafast")
    for container in sizes.containers:
        name = f"groups-{container.rstrip(_DIGIT)}"
        clip = setting.stored(replace(small, name=name, container=container))
        need = needed(clip.file, first, _ASKED)
        archive = setting.scratch / "range" / "archive"
        try:
            with serving_streams([clip]) as service:
                decoded = decoded_frames(clip, archive, service, first, _ASKED)
            loaded = reported(archive)["bytes_in"]
        finally:
            shutil.rmtree(archive.parent, ignore_errors=True)
        figures = {
            "frames decoded / necessary": decoded / need.frames,
            "bytes downloaded / necessary": loaded / need.size,
            "frames decoded beyond those asked for": decoded - _ASKED,
            "bytes downloaded beyond those asked for": loaded - need.wanted,
        }
        group.figures += [Figure(f"{container}: {name}", each, each, each) for name, each in figures.items()]
        group.more[container] = {
            "asked": _ASKED,
            "decoded": decoded,
            "necessary_frames": need.frames,
            "downloaded": loaded,
            "necessary_bytes": need.size,
            "file": clip.size,
        }
    return group


def needed(file: Path, first: int, count: int) -> Need:
    """What is necessary to decode `count` frames of a stream from number `first` on."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        start = min(packet.pts for packet in packets if packet.pts is not None)
        numbers = [
            round(float((packet.pts or 0) - start) * float(packet.time_base or 0) * float(FRAME_RATE)) + 1
            for packet in packets
        ]
    wanted = [index for index, number in enumerate(numbers) if first <= number < first + count]
    keys = [index for index in range(wanted[0] + 1) if packets[index].is_keyframe and numbers[index] <= first]
    sizes = [packet.size for packet in packets]
    key, last = keys[-1], wanted[-1]
    # What is shown before the key frame belongs to the group before it, and is not decoded.
    decoded = sum(number >= numbers[key] for number in numbers[key : last + 1])
    return Need(decoded, sum(sizes[key : last + 1]), sum(sizes[index] for index in wanted))


def decoded_frames(clip: Stored, archive: Path, service: Mapping[str, str], first: int, count: int) -> int:
    """Archive some frames of a clip; return how many FFmpeg decoded for that.

    Args:
        clip: the clip, in which two frames are of a day.
        archive: a new archive.
        service: variables that point the program to the stand-in.
        first: number of the first frame, odd.
        count: how many frames, even.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    images = clip.stream.images[first - 1 : first - 1 + count]
    days = [str(image.time.astype("datetime64[D]")) for image in (images[0], images[-1])]
    arguments = convert(clip.clip.name, archive, "--start", days[0], "--end", days[1])[len(PROGRAM) :]
    told = quietly([sys.executable, "-m", "benchmarks.counted", *arguments], service)
    archived = reported(archive)["frames"]
    if archived != count:
        raise FailedError(f"{archived:.0f} frames were archived, {count} asked for")
    return told.count(DECODED)
