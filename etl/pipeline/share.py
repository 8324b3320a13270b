"""A share of a stream: consecutive frames that one process decodes, encodes and writes by itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

from etl.errors import ArchiveError, ServiceError, StreamError
from etl.extract.api import Listing
from etl.extract.frame import Frame, FrameEntry
from etl.extract.http import HttpClient
from etl.extract.service import stream_frames
from etl.load.frames import FrameWriter, Written
from etl.load.stores import open_store
from etl.pipeline.overlapping import overlapped


@dataclass(frozen=True)
class Share:
    """What to write, where, and where it comes from; it can be sent to another process.

    Attributes:
        archive: address of the archive.
        group: key of the Zarr group.
        document: metadata of its `ndvi` array.
        first: position of the first frame.
        entries: the frames.
        bits: bit depth they must have.
        threads: threads that decode, and as many that encode and write; 0 is one a core.
        listing: where the stream is, without entries; its address can hold a secret.
    """

    archive: str
    group: str
    document: Mapping[str, Any] = field(repr=False)
    first: int
    entries: tuple[FrameEntry, ...] = field(repr=False)
    bits: int
    threads: int
    listing: Listing = field(repr=False)

    def after(self, count: int, stream_url: str) -> "Share":
        """What is left of it after some frames, at the address that the stream has now."""
        listing = replace(self.listing, stream_url=stream_url)
        return replace(self, first=self.first + count, entries=self.entries[count:], listing=listing)


@dataclass(frozen=True)
class Outcome:
    """What became of a share.

    Attributes:
        written: the frames that were written, from the first one on without a gap.
        error: why the next one was not, or None.
        has_expired: whether that was because the stream's address has expired.
        bytes_in: bytes downloaded.
        retries: requests and connections that were tried again.
    """

    written: tuple[Written, ...]
    error: ArchiveError | None
    has_expired: bool
    bytes_in: int
    retries: int


def archive_share(share: Share) -> Outcome:
    """Decode, encode and write the frames of a share.

    Nothing that is in the storage is replaced, so that a process that is thought dead and works on does no
    harm.
    """
    written: list[Written] = []
    error: ArchiveError | None = None
    has_expired = False
    client = HttpClient()

    def ask_again() -> str:
        nonlocal has_expired
        has_expired = True
        raise ServiceError("the address of the stream has expired", "run the command again")

    try:
        writer = FrameWriter(open_store(share.archive), share.group, share.document, only_new=True)
        frames = stream_frames(client, share.listing, share.entries, ask_again, share.threads)
        with closing(frames):
            writes = (
                partial(writer.write, position, _checked(frame, share))
                for position, frame in enumerate(frames, share.first)
            )
            with closing(overlapped(writes, share.threads)) as results:
                written.extend(results)
    except ArchiveError as failure:
        error = failure.with_traceback(None)
    finally:
        client.close()
    return Outcome(tuple(written), error, has_expired, client.bytes_received, client.retries)


def cut(
    entries: Sequence[FrameEntry], most: int, key_frame_before: Callable[[int], int | None]
) -> Iterator[Sequence[FrameEntry]]:
    """Cut frames into shares that begin at key frames, where these are known.

    Args:
        entries: the frames in the order of the archive.
        most: frames a share is to have, about.
        key_frame_before: the number of the key frame that decoding of a frame begins at, or None.
    """
    cuts = [0]
    for wanted in range(most, len(entries), most):
        key = key_frame_before(entries[wanted].number)
        place = wanted
        while key is not None and place > cuts[-1] and entries[place - 1].number >= key:
            place -= 1
        if place > cuts[-1]:
            cuts.append(place)
    for begin, end in pairwise([*cuts, len(entries)]):
        yield entries[begin:end]


def _checked(frame: Frame, share: Share) -> Frame:
    wanted = (share.listing.rows, share.listing.columns), share.bits
    if (frame.codes.shape, frame.bits) != wanted:
        raise StreamError(
            f"{frame.entry} has {frame.bits} bits and the size {frame.codes.shape}, not {share.bits} and"
            f" {wanted[0]}",
            "run the command again; if it stays so, report it to the service",
            frame.entry.number,
        )
    return frame
