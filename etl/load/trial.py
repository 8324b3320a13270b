"""Whether an archive's place can be written, tried out without leaving anything behind."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from etl.errors import ArchiveError, StorageError
from etl.load.folder import LocalFolder
from etl.load.stores import Store


def try_writing(store: Store, folder: str) -> None:
    """Do once what a run does, under a name of its own: lock, create, replace, read and remove.

    Taking the lease shows whether a bucket keeps the conditions of writes. A run that is writing to the
    archive is not disturbed.

    Args:
        store: the archive's storage.
        folder: the continent's folder in it; there too, if it exists.

    Raises:
        StorageError: The storage refuses something, or does not keep it as it was written.
    """
    own = f".check-{uuid4().hex}"
    with _as_before(store):
        begun = [own, f"{folder}/{own}"] if store.exists(folder) else [own]
        with _removed(store, begun), store.lease(own):
            for place in begun:
                _try_object(store, f"{place}/object")


def _try_object(store: Store, key: str) -> None:
    for data in (b"created", b"replaced"):
        store.put(key, data)
        if store.get(key) != data:
            raise StorageError(
                f"{store.location(key)} was written and reads otherwise",
                "run it again; if it stays so, name another --archive",
            )


@contextmanager
def _removed(store: Store, places: list[str]) -> Iterator[None]:
    """Remove what is begun in these places; if that fails too, the first error is the one to tell."""
    try:
        yield
    except BaseException:
        for place in places:
            with suppress(ArchiveError):
                store.delete(place)
        raise
    for place in places:
        store.delete(place)


@contextmanager
def _as_before(store: Store) -> Iterator[None]:
    """Remove the folders above that the block makes, if nothing else is in them then."""
    missing: list[Path] = []
    if isinstance(store, LocalFolder):
        missing = [path for path in (store.root, *store.root.parents) if not path.exists()]
    try:
        yield
    finally:
        with suppress(OSError):
            for path in missing:
                path.rmdir()
