"""The STAC catalog at an archive's root: a link to every continent's collection."""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass

import pystac

from etl.catalog.address import Address
from etl.catalog.templates import Template
from etl.errors import ArchiveError
from etl.load.continents import continent_folders
from etl.load.inventory import CATALOG, COLLECTION, read_inventory
from etl.load.stores import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Child:
    """A published continent.

    Attributes:
        folder: the continent's folder in the archive.
        title: title of its collection.
    """

    folder: str
    title: str


def find_children(store: Store, published: str | None = None) -> list[Child]:
    """The archive's continents that have both committed frames and a collection, by folder name.

    One whose store is damaged is kept, with a warning in the log: others must not lose it from the catalog.

    Args:
        store: the archive's storage.
        published: folder of a continent that has just been published, which listings may lack.

    Raises:
        StorageError: The archive's root cannot be read.
    """
    children = []
    for folder in sorted({*continent_folders(store), *([published] if published else [])}):
        try:
            if read_inventory(store, folder) is None:
                continue
        except ArchiveError as error:
            log.warning(
                "%s cannot be read, its link in the catalog stays as it was: %s",
                folder,
                error,
                extra={"event": "catalog_link_kept", "fields": {"folder": folder}},
            )
        document = store.get(f"{folder}/{COLLECTION}")
        if document is not None:
            children.append(Child(folder, _title(document) or folder))
    return children


def build_catalog(
    children: Iterable[Child], template: Template, address: Address | None = None
) -> pystac.Catalog:
    """Describe the archive.

    Args:
        children: its continents.
        template: the texts.
        address: where links lead; None is relative.
    """
    address = address or Address()
    texts = template.fill({})
    catalog = pystac.Catalog(
        id=texts.pop("id"), title=texts.pop("title"), description=texts.pop("description")
    )
    written_links = [pystac.Link.from_dict(link) for link in texts.pop("links", [])]
    catalog.stac_extensions = texts.pop("stac_extensions", [])
    catalog.extra_fields = texts
    catalog.clear_links()
    json_type = pystac.MediaType.JSON
    home = address.href(CATALOG, CATALOG)
    if address.public_url is not None:
        catalog.add_link(pystac.Link(pystac.RelType.SELF, home, json_type, catalog.title))
    catalog.add_link(pystac.Link(pystac.RelType.ROOT, home, json_type, catalog.title))
    for child in children:
        href = address.href(CATALOG, f"{child.folder}/{COLLECTION}")
        catalog.add_link(pystac.Link(pystac.RelType.CHILD, href, json_type, child.title))
    catalog.add_links(written_links)
    return catalog


def _title(document: bytes) -> str | None:
    try:
        title = json.loads(document)["title"]
    except (ValueError, KeyError, TypeError):
        return None
    return title if isinstance(title, str) else None
