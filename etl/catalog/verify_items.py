"""The items against the documents that the store makes: all of them, their quicklooks, and the export.

A run writes items before the catalogs that link to them, and the collection after all. So a catalog that
shows fewer frames than the store has, and items that nothing leads to yet, are no faults.
"""

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

from etl.catalog.documents import documents
from etl.catalog.export import build_export, read_export
from etl.catalog.items import Surroundings, is_ours, item_key, items_folder, month_key, months, years
from etl.catalog.publish_items import known_keys
from etl.catalog.style import EXPORT, Style, can_export
from etl.catalog.verify_quicklooks import MISSING, REMEDY, check_item_quicklooks
from etl.load.inventory import CATALOG, COLLECTION, Inventory
from etl.load.verify.findings import MOST_NAMED, Difference, Verdict, differences
from etl.load.verify.snapshot import read_json

_WRITER = re.compile(rb"parquet-rs version [\w.]+")

Document = dict[str, Any]
Describe = Callable[[Inventory], Surroundings]


def first_frames(inventory: Inventory, count: int) -> Inventory:
    """The first frames of an inventory, as if there were no others yet."""
    return replace(inventory, columns={name: values[:count] for name, values in inventory.columns.items()})


class Versions:
    """The documents of a continent as they can be: a run replaces them one after the other."""

    def __init__(self, inventory: Inventory, shown: int, style: Style, texts: Sequence[Describe]) -> None:
        """Remember what they are made of.

        Args:
            inventory: the committed frames.
            shown: how many of them the collection shows.
            style: how the collection says that it was published.
            texts: describe frames by the texts that the collection has, and by those the next run gives it.
        """
        self.inventory, self.shown, self.style, self._texts = inventory, shown, style, texts
        self._described = cache(lambda count, index: texts[index](first_frames(inventory, count)))
        self._files = cache(lambda count, index: documents(self._described(count, index)))

    def _names(self, counts: Iterable[int]) -> Iterator[tuple[int, int]]:
        usable = (count for count in counts if self.shown <= count <= len(self.inventory))
        return product(dict.fromkeys(usable), range(len(self._texts)))

    def described(self, *counts: int) -> Iterator[Surroundings]:
        """The first frames by each of the texts, of every count that can be."""
        return (self._described(*name) for name in self._names(counts))

    def files(self, *counts: int) -> Iterator[dict[str, bytes]]:
        """Their documents by key."""
        return (self._files(*name) for name in self._names(counts))


def check_items(
    versions: Versions, verdict: Verdict, progress: Callable[[int, int], None], *, with_pixels: bool
) -> None:
    """Compare all items with the committed frames.

    Args:
        versions: the documents as they can be.
        verdict: takes what is found.
        progress: called with the number of quicklooks that are compared, and of those to be compared.
        with_pixels: draw the quicklooks and compare them, and read the export.

    Raises:
        StorageError: The storage refuses to be read.
    """
    inventory = versions.inventory
    present = set(inventory.store.keys(items_folder(inventory.folder)))
    found = Verdict()
    if versions.style.items == "frame":
        # What a listing lacks can be there all the same.
        unlisted = set(known_keys(inventory)) - present
        present |= unlisted - set(inventory.store.missing(unlisted))
        published = _check_documents(versions, found)
        check_item_quicklooks(inventory, published, present, found, progress if with_pixels else None)
    elif ours := [key for key in present if is_ours(inventory.folder, key)]:
        verdict.note(
            f"nothing leads to the {len(ours)} objects in {items_folder(inventory.folder)}: a run is under"
            " way, or was interrupted; the next one puts that in order"
        )
    _check_strays(versions, present, found)
    _check_export(versions, found, with_content=with_pixels)
    for finding in found.findings[:MOST_NAMED]:
        verdict.findings.append(finding)
    if found.findings[MOST_NAMED:]:
        more = len(found.findings) - MOST_NAMED
        verdict.found("catalog", f"{more} more findings in the items", items_folder(inventory.folder))
    for note in found.notes:
        verdict.note(note)


def _check_documents(versions: Versions, verdict: Verdict) -> dict[str, int]:
    """Check the items and the catalogs of months and years.

    Returns:
        Positions of the frames that have an item, by its key.
    """
    inventory = versions.inventory
    shown, most = (next(versions.files(count)) for count in (versions.shown, len(inventory)))
    there = {key: inventory.store.get(key) for key in most if key != f"{inventory.folder}/{COLLECTION}"}
    for key, data in there.items():
        if data is not None:
            _check_document(versions, key, data, verdict)
        elif key in shown or _is_linked(key, there):
            verdict.found("catalog", MISSING, key)
    items = {item_key(inventory, position): position for position in range(len(inventory))}
    items = {key: position for key, position in items.items() if key in shown or there[key] is not None}
    # A run that gives new texts to all of these has only the collection left to write.
    below = [*items, *(month_key(inventory.folder, month) for month in months(inventory))]
    if not verdict.findings and not any(there[key] in (shown.get(key), most[key]) for key in below):
        what = "has other texts than its items; the next run of convert writes it again"
        verdict.found("catalog", what, f"{inventory.folder}/{COLLECTION}")
    return items


def _check_document(versions: Versions, key: str, data: bytes, verdict: Verdict) -> None:
    """Compare a file with what it can be; what is named is where it differs least."""
    inventory = versions.inventory
    counts = versions.shown, len(inventory)
    if any(files.get(key) == data for files in versions.files(*counts)):
        return
    found = read_json(inventory.store, key)
    if isinstance(found, str):
        verdict.found("catalog", f"{found}; {REMEDY}", key)
        return
    all_files = versions.files(*counts, _frames(inventory, key, found))
    candidates = (files[key] for files in all_files if key in files)
    wrong = min((list(differences(found, json.loads(each))) for each in candidates), key=len)
    _name(wrong, key, verdict)


def _is_linked(key: str, there: Mapping[str, bytes | None]) -> bool:
    """Whether the catalog above, as it is there, has a link to a document."""
    folder, name = posixpath.split(key)
    if name == CATALOG:
        folder, period = posixpath.split(folder)
        name = f"{period}/{CATALOG}"
    return f'/{name}"'.encode() in (there.get(f"{folder}/{CATALOG}") or b"")


def _frames(inventory: Inventory, key: str, found: Document) -> int:
    """How many frames there were when the catalog of a month or a year was written, by its links."""
    by_month, period = months(inventory), key.split("/")[-2]
    positions = by_month.get(period) or [by_month[month][-1] for month in years(inventory).get(period, [])]
    links = found.get("links")
    count = sum(
        isinstance(link, dict) and link.get("rel") in ("item", "child")
        for link in (links if isinstance(links, list) else [])
    )
    return positions[count - 1] + 1 if 0 < count <= len(positions) else 0


def _check_strays(versions: Versions, present: set[str], verdict: Verdict) -> None:
    """What belongs to no frame: left over where it looks like ours, else not from here."""
    inventory = versions.inventory
    folder = inventory.folder
    left = 0
    for key in sorted(present - set(known_keys(inventory))):
        if is_ours(folder, key):
            left += 1
        else:
            verdict.found("catalog", "does not belong into the archive", key)
    if left and versions.style.items == "frame":
        verdict.note(
            f"{left} objects in {items_folder(folder)} are of frames that are not archived: a run that"
            " replaced them is under way, or was interrupted; the next one removes them"
        )


def _check_export(versions: Versions, verdict: Verdict, *, with_content: bool) -> None:
    inventory = versions.inventory
    key = f"{inventory.folder}/{EXPORT}"
    data = inventory.store.get(key)
    if not versions.style.exported:
        if data is not None:
            verdict.note(f"nothing leads to {key}: a run was interrupted; the next one puts that in order")
    elif data is None:
        verdict.found("catalog", MISSING, key)
    elif with_content and not can_export():
        verdict.note(f"{key} was not read: run pip install 'ndvi-archive[geoparquet]'")
    elif with_content:
        _check_rows(versions, key, data, verdict)


def _check_rows(versions: Versions, key: str, data: bytes, verdict: Verdict) -> None:
    """Compare an export with the one that is made now; another version of the library packs it otherwise."""
    try:
        rows = read_export(data)
    except ValueError:
        verdict.found("catalog", f"is no STAC-GeoParquet file; {REMEDY}", key)
        return
    count = len(rows) if versions.shown <= len(rows) <= len(versions.inventory) else versions.shown
    candidates = []
    for around in versions.described(count):
        built = build_export(around)
        if built == data:
            return
        wrong = list(differences({"items": rows}, {"items": read_export(built)}))
        if not wrong and _WRITER.findall(data) == _WRITER.findall(built):
            wrong = [Difference("", "holds the items, and differs from the file that they make")]
        candidates.append(wrong)
    _name(min(candidates, key=len), key, verdict)


def _name(wrong: Sequence[Difference], key: str, verdict: Verdict) -> None:
    if wrong:
        more = f", and {len(wrong) - 1} more fields differ" if wrong[1:] else ""
        verdict.found("catalog", f"{wrong[0]}{more}; {REMEDY}", key)
