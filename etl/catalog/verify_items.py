"""The items against the store: each of them, its quicklook, and the catalogs of months and years.

A run writes items before the catalogs that link to them, and the collection after all. So a catalog that
shows fewer frames than the store has, and items that nothing leads to yet, are no faults.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from etl.catalog.export import build_export, read_export
from etl.catalog.items import (
    ITEM_PIXELS,
    Surroundings,
    build_item,
    image_key,
    is_ours,
    item_key,
    items_folder,
    month_key,
    months,
    year_key,
    years,
)
from etl.catalog.periods import build_month, build_year, digest
from etl.catalog.publish_items import known_keys
from etl.catalog.style import EXPORT, Style, can_export
from etl.catalog.verify_quicklooks import REMEDY, check_quicklook, sound_frame
from etl.load.verify.findings import MOST_NAMED, Verdict, differences
from etl.load.verify.snapshot import read_json

_DRAWN = 12
"""So many quicklooks, spread over the archive, are drawn anew."""

Document = dict[str, Any]


def check_items(
    around: Surroundings, style: Style, shown: int, verdict: Verdict, *, with_pixels: bool
) -> None:
    """Compare all items with the committed frames.

    Args:
        around: what they are within: the committed frames, and the collection as it was found.
        style: how the collection says that it was published.
        shown: how many frames it shows.
        verdict: takes what is found.
        with_pixels: read the quicklooks too, draw some of them anew, and read the export.

    Raises:
        StorageError: The storage refuses to be read.
    """
    inventory = around.inventory
    present = set(inventory.store.keys(items_folder(inventory.folder)))
    found = Verdict()
    if style.items == "frame":
        # What a listing lacks can be there all the same.
        unlisted = set(known_keys(inventory)) - present
        present |= unlisted - set(inventory.store.missing(unlisted))
        published = list(_check_months(around, shown, present, found))
        _check_years(around, shown, present, found)
        if with_pixels:
            _check_images(around, published, present, found)
    elif ours := [key for key in present if is_ours(inventory.folder, key)]:
        verdict.note(
            f"nothing leads to the {len(ours)} objects in {items_folder(inventory.folder)}: a run is under"
            " way, or was interrupted; the next one puts that in order"
        )
    _check_strays(around, style, present, found)
    _check_export(around, style, shown, found, with_content=with_pixels)
    for finding in found.findings[:MOST_NAMED]:
        verdict.findings.append(finding)
    if found.findings[MOST_NAMED:]:
        more = len(found.findings) - MOST_NAMED
        verdict.found("catalog", f"{more} more findings in the items", items_folder(inventory.folder))
    for note in found.notes:
        verdict.note(note)


def _check_months(around: Surroundings, shown: int, present: set[str], verdict: Verdict) -> Iterator[int]:
    """Check the catalog of every month, and the items it links to; their positions are returned."""
    inventory = around.inventory
    for month, positions in months(inventory).items():
        key = month_key(inventory.folder, month)
        due = [position for position in positions if position < shown]
        if not due and key not in present:
            continue
        found = read_json(inventory.store, key)
        if isinstance(found, str):
            verdict.found("catalog", f"{found}; {REMEDY}", key)
        count = _count(found, "item") if isinstance(found, dict) else 0
        linked = _as_many(count, due, positions)
        items = [_check_item(around, position, present, verdict) for position in linked]
        if isinstance(found, dict):
            expected = build_month(around, month, linked, digest(filter(None, items)))
            _compare(found, expected, key, verdict)
        yield from linked


def _check_item(around: Surroundings, position: int, present: set[str], verdict: Verdict) -> bytes | None:
    """Compare an item with its frame; the item's file is returned."""
    store, key = around.inventory.store, item_key(around.inventory, position)
    if image_key(key) not in present:
        verdict.found("catalog", "is missing; the next run of convert writes it anew", image_key(key))
    found = read_json(store, key)
    if isinstance(found, str):
        verdict.found("catalog", f"{found}; {REMEDY}", key)
    else:
        _compare(found, build_item(around, position), key, verdict)
    return store.get(key)


def _check_years(around: Surroundings, shown: int, present: set[str], verdict: Verdict) -> None:
    inventory = around.inventory
    due_months = {f"{time:%Y-%m}" for time in inventory.times[:shown]}
    for year, its_months in years(inventory).items():
        key = year_key(inventory.folder, year)
        due = [month for month in its_months if month in due_months]
        if not due and key not in present:
            continue
        found = read_json(inventory.store, key)
        if isinstance(found, str):
            verdict.found("catalog", f"{found}; {REMEDY}", key)
            continue
        linked = _as_many(_count(found, "child"), due, its_months)
        _compare(found, build_year(around, year, linked), key, verdict)


def _check_images(
    around: Surroundings, published: Sequence[int], present: set[str], verdict: Verdict
) -> None:
    inventory = around.inventory
    drawn = set(published[:: max(1, len(published) // _DRAWN)])
    for position in published:
        key = image_key(item_key(inventory, position))
        if key in present:
            values = sound_frame(inventory, position) if position in drawn else None
            check_quicklook(inventory, key, ITEM_PIXELS, values, verdict)


def _check_strays(around: Surroundings, style: Style, present: set[str], verdict: Verdict) -> None:
    """What belongs to no frame: left over where it looks like ours, else not from here."""
    inventory = around.inventory
    folder = inventory.folder
    left = 0
    for key in sorted(present - set(known_keys(inventory))):
        if is_ours(folder, key):
            left += 1
        else:
            verdict.found("catalog", "does not belong into the archive", key)
    if left and style.items == "frame":
        verdict.note(
            f"{left} objects in {items_folder(folder)} are of frames that are not archived: a run that"
            " replaced them is under way, or was interrupted; the next one removes them"
        )


def _check_export(
    around: Surroundings, style: Style, shown: int, verdict: Verdict, *, with_content: bool
) -> None:
    inventory = around.inventory
    key = f"{inventory.folder}/{EXPORT}"
    data = inventory.store.get(key)
    if not style.exported:
        if data is not None:
            verdict.note(f"nothing leads to {key}: a run was interrupted; the next one puts that in order")
        return
    if data is None:
        verdict.found("catalog", "is missing; the next run of convert writes it anew", key)
    elif with_content and can_export():
        try:
            found = read_export(data)
        except ValueError:
            verdict.found("catalog", f"is no STAC-GeoParquet file; {REMEDY}", key)
            return
        linked = _as_many(len(found), range(shown), range(len(inventory)))
        expected = read_export(build_export(around, linked))
        untitled = [{"items": list(map(_without_titles, items))} for items in (found, expected)]
        _compare(untitled[0], untitled[1], key, verdict)


def _as_many(count: int, least: Sequence[Any], most: Sequence[Any]) -> Sequence[Any]:
    """The first ones, as many as there are links, if that is between the least and the most there can be."""
    return most[:count] if len(least) <= count <= len(most) else least


def _count(document: Document, rel: str) -> int:
    links = document.get("links")
    return sum(isinstance(link, dict) and link.get("rel") == rel for link in links or [])


def _compare(found: Document, expected: Any, key: str, verdict: Verdict) -> None:  # noqa: ANN401 - pystac
    if not isinstance(expected, dict):
        expected = expected.to_dict(transform_hrefs=False)
    wrong = list(differences(_without_titles(found), _without_titles(expected)))
    if wrong:
        more = f", and {len(wrong) - 1} more fields differ" if wrong[1:] else ""
        verdict.found("catalog", f"{wrong[0]}{more}; {REMEDY}", key)


def _without_titles(document: Document) -> Document:
    """A document without the titles of its links: they repeat texts that can have been changed since."""
    links = document.get("links")
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        return document
    return document | {"links": [{k: v for k, v in link.items() if k != "title"} for link in links]}
