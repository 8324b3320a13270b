"""Writing the catalog of a whole archive, from what is committed."""

from dataclasses import dataclass
from pathlib import Path

from etl.catalog.publish import publish
from etl.catalog.style import Choices
from etl.catalog.templates import check_templates
from etl.errors import ArchiveError, UsageError
from etl.load.absent import no_archive
from etl.load.continents import continent_folders, has_group
from etl.load.inventory import read_inventory
from etl.load.stores import Store
from etl.report import Progress, of_items
from etl.signals import deferred


@dataclass(frozen=True)
class Catalogued:
    """A continent whose catalog is up to date.

    Attributes:
        continent: its name.
        folder: its folder in the archive.
        frames: how many frames are catalogued.
        bytes_written: bytes that were written; none where nothing had changed.
    """

    continent: str
    folder: str
    frames: int
    bytes_written: int


def catalogue(
    store: Store,
    templates: Path | None = None,
    choices: Choices | None = None,
    wait: float = 0.0,
    progress: Progress | None = None,
) -> tuple[list[Catalogued], list[ArchiveError]]:
    """Bring the catalog of every continent up to what is committed.

    One that cannot be catalogued does not keep the others from it.

    Args:
        store: the archive's storage.
        templates: folder of the templates; those that come with the program if None.
        choices: what is to be otherwise than it was.
        wait: seconds to wait for a run that is writing.
        progress: called with the number of items of a continent that are done, and of all that are to be.

    Returns:
        The continents that are catalogued, and why others are not: they are damaged, in use, or refused by
        the storage.

    Raises:
        UsageError: There is no archive, or a template or a choice cannot be used.
        StorageError: The storage refuses to be read.
    """
    check_templates(templates)
    folders = [folder for folder in continent_folders(store) if has_group(store, folder)]
    if not folders:
        raise no_archive(store)
    done: list[Catalogued] = []
    failed: list[ArchiveError] = []
    for folder in folders:
        try:
            with store.lease(folder, wait):
                inventory = read_inventory(store, folder)
                if inventory is None or not len(inventory):
                    continue
                with deferred():
                    store.clear_partial(folder)
                    written = publish(store, folder, templates, choices, of_items(progress))
            done.append(Catalogued(inventory.continent, folder, len(inventory), written))
        except UsageError:
            raise
        except ArchiveError as error:
            failed.append(error)
    return done, failed
