"""What is said where an archive, or a continent in it, is not there."""

import json
from collections.abc import Iterator
from difflib import get_close_matches

from etl.errors import UsageError
from etl.load.continents import linked_folders
from etl.load.inventory import CATALOG, GROUP, ROOT, folder_of
from etl.load.stores import Store


def no_archive(place: object) -> UsageError:
    """The error where there is no archive."""
    return UsageError(f"there is no archive in {place}", "check --archive, or run ndvi-archive convert first")


def no_continent(store: Store, place: object, continent: str) -> UsageError:
    """The error where nothing of a continent is archived; it tells what is, as far as the catalog does.

    Args:
        store: the archive's storage.
        place: its address as the user gave it.
        continent: the name that was asked for.

    Raises:
        StorageError: The storage refuses to be read.
    """
    what = f"nothing of {continent} is archived in {place}"
    archived = archived_continents(store)
    if not archived:
        return UsageError(
            what, f"check the address, or archive some first: no {CATALOG} there names continents"
        )
    near = get_close_matches(folder_of(continent), archived, n=1)
    return UsageError(
        what,
        f"did you mean {archived[near[0]]}?" if near else f"it holds {', '.join(sorted(archived.values()))}",
    )


def archived_continents(store: Store) -> dict[str, str]:
    """Names by folder of the continents that the catalog leads to; none where there is no catalog.

    Raises:
        StorageError: The storage refuses to be read.
    """
    return dict(_archived(store))


def _archived(store: Store) -> Iterator[tuple[str, str]]:
    for folder in linked_folders(store):
        try:
            name = json.loads(store.get(f"{folder}/{GROUP}/{ROOT}") or b"")["attributes"]["continent"]
        except (ValueError, LookupError, TypeError):
            name = folder
        yield folder, str(name)
