"""Which folders of an archive belong to continents.

A listing can lag, so that folders it lacks are looked for where the catalog leads, too.
"""

import json
import re
from collections.abc import Iterator

from etl.errors import IncompatibleError
from etl.load.holder import LEASE
from etl.load.inventory import CATALOG, GROUP, ROOT
from etl.load.stores import Store


def continent_folders(store: Store) -> list[str]:
    """Names of the folders in the root, sorted: those listed, and those that the catalog leads to.

    Raises:
        IncompatibleError: The root is not a folder.
        StorageError: The storage refuses to be read.
    """
    return sorted({*store.folders(), *linked_folders(store)})


def linked_folders(store: Store) -> list[str]:
    """The folders that the catalog leads to, in its order; none where there is no catalog.

    Raises:
        StorageError: The storage refuses to be read.
    """
    return list(dict.fromkeys(_linked(store)))


def has_group(store: Store, folder: str) -> bool:
    """Whether there is a continent's group, or a part of one, in a folder.

    Raises:
        StorageError: The storage refuses to be read.
    """
    return store.exists(f"{folder}/{GROUP}/{ROOT}") or store.exists(f"{folder}/{GROUP}")


def check_root(store: Store) -> None:
    """Check that an archive may be written here: there is one, or nothing yet.

    Raises:
        IncompatibleError: The place holds something else.
        StorageError: The storage refuses to be read.
    """
    if store.is_empty() and store.get(CATALOG) is None:
        return
    if any(_is_continent(store, folder) for folder in continent_folders(store)):
        return
    if store.get(CATALOG) is None and next(store.keys(""), None) is None:
        # Another run is beginning: it has made its folder, and not yet the lease in there.
        return
    raise IncompatibleError(
        f"{store} holds something that is no archive", "name another, or an empty, --archive"
    )


def _is_continent(store: Store, folder: str) -> bool:
    """Whether a folder belongs to a continent; a whole archive, which has a catalog, does not."""
    begun = store.exists(f"{folder}/{LEASE}") and not store.exists(f"{folder}/{CATALOG}")
    return begun or has_group(store, folder)


def _linked(store: Store) -> Iterator[str]:
    try:
        links = json.loads(store.get(CATALOG) or b"")["links"]
        folders = [link["href"].split("/")[-2] for link in links if link["rel"] == "child"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return
    yield from (folder for folder in folders if re.fullmatch("[a-z]+(-[a-z]+)*", folder))
