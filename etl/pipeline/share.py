"""A share of a stream: consecutive frames that one process decodes, encodes and writes by itself."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from etl.errors import ArchiveError, ServiceError, StorageError, StreamError
from etl.extract.api import Listing
from etl.extract.frame import Frame, FrameEntry
from etl.extract.http import HttpClient
from etl.extract.service import stream_frames
from etl.load.frames import FrameWriter, Written
from etl.load.holder import LEASE, name_of
from etl.load.stores import Store, open_store
from etl.pipeline.overlapping import overlapped


@dataclass(frozen=True)
class Share:
    """What to write, where, and where it comes from; it can be sent to another process.

    Attributes:
        archive: address of the archive.
        folder: the continent's folder in it.
        holder: who holds its lease.
        group: key of the Zarr group.
        arrays: metadata of its `ndvi` array, and of the levels' ones, by name.
        first: position of the first frame.
        entries: the frames.
        bits: bit depth they must have.
        threads: threads that decode.
        writers: threads that encode and write; each holds a frame.
        listing: where the stream is, without entries; its address can hold a secret.
        can_renew: whether the stream's address can be renewed once more.
    """

    archive: str
    folder: str
    holder: str
    group: str
    arrays: Mapping[str, Any] = field(repr=False)
    first: int
    entries: tuple[FrameEntry, ...] = field(repr=False)
    bits: int
    threads: int
    writers: int
    listing: Listing = field(repr=False)
    can_renew: bool = True

    def __str__(self) -> str:
        return f"{self.entries[0]} to {self.entries[-1]}"

    def after(self, count: int) -> "Share":
        """What is left of it after some frames."""
        return replace(self, first=self.first + count, entries=self.entries[count:])

    def at(self, stream_url: str) -> "Share":
        """The same at the address that the stream has now."""
        return replace(self, listing=replace(self.listing, stream_url=stream_url))


@dataclass(frozen=True)
class Outcome:
    """What became of a share.

    Attributes:
        written: the frames that were written, from the first one on without a gap.
        error: why the next one was not, or None.
        has_expired: whether that was because the stream's address has expired.
        bytes_in: bytes downloaded.
        retries: requests and connections that were tried again.
        warnings: what was logged.
    """

    written: tuple[Written, ...]
    error: ArchiveError | None
    has_expired: bool
    bytes_in: int
    retries: int
    warnings: tuple[logging.LogRecord, ...]


def archive_share(share: Share) -> Outcome:
    """Decode, encode and write the frames of a share.

    Nothing that is in the storage is replaced, so that a process that is thought dead and works on does no
    harm; and it stops before the next frame once the run it works for has given its lease back, or lost it.
    """
    written: list[Written] = []
    error: ArchiveError | None = None
    has_expired = False
    client = HttpClient()

    def ask_again() -> str:
        nonlocal has_expired
        has_expired = True
        raise ServiceError("the address of the stream has expired", "run the command again")

    with _collected() as warnings, closing(client):
        try:
            store = open_store(share.archive)
            writer = FrameWriter(store, share.group, share.arrays, only_new=True)
            frames = stream_frames(
                client, share.listing, share.entries, ask_again if share.can_renew else None, share.threads
            )

            def write(position: int, frame: Frame) -> Written:
                _check_lease(store, share)
                return writer.write(position, frame)

            with closing(frames):
                writes = (
                    partial(write, position, _checked(frame, share))
                    for position, frame in enumerate(frames, share.first)
                )
                with closing(overlapped(writes, share.writers)) as results:
                    written.extend(results)
        except ArchiveError as failure:
            error = failure.with_traceback(None)
    return Outcome(tuple(written), error, has_expired, client.bytes_received, client.retries, tuple(warnings))


def cut(
    entries: Sequence[FrameEntry], size: int, key_frame_near: Callable[[int], int | None]
) -> Iterator[tuple[FrameEntry, ...]]:
    """Cut frames into shares that begin at key frames, where these are known.

    A group of pictures is never cut: whoever decodes its last frame decodes all of it.

    Args:
        entries: the frames in the order of the archive.
        size: frames a share is to have, about.
        key_frame_near: the number of a key frame near the frame of a number, or None.
    """
    begin = 0
    for wanted in range(size, len(entries), size):
        place = _begin_of_group(entries, wanted, key_frame_near(entries[wanted].number))
        if begin < place < len(entries):
            yield tuple(entries[begin:place])
            begin = place
    if entries:
        yield tuple(entries[begin:])


def _begin_of_group(entries: Sequence[FrameEntry], place: int, key: int | None) -> int:
    """Where the frames begin that are decoded from a key frame on, near a place."""
    if key is None:
        return place
    while place and key <= entries[place - 1].number < entries[place].number:
        place -= 1
    while place < len(entries) and entries[place].number < key:
        place += 1
    return place


def _check_lease(store: Store, share: Share) -> None:
    key = f"{share.folder}/{LEASE}"
    if name_of(store.get(key) or b"") != share.holder:
        raise StorageError(
            f"a worker on {socket.gethostname()} does not find this run's lease {store.location(key)}",
            "name an --archive that is the same place for all workers; if it is, another run has taken over",
        )


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


@contextmanager
def _collected() -> Iterator[list[logging.LogRecord]]:
    """What this thread logs meanwhile, for the process that can tell it."""
    records: list[logging.LogRecord] = []
    thread = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                record.msg, record.args, record.exc_info = record.getMessage(), (), None
                records.append(record)

    log, handler = logging.getLogger("etl"), Collector(logging.WARNING)
    log.addHandler(handler)
    try:
        yield records
    finally:
        log.removeHandler(handler)
