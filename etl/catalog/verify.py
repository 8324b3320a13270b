"""The STAC files against the store: every field that is derived from it, and the quicklooks.

The texts around those fields come from templates. Which ones an archive is written with is not kept in it:
without being told, texts that differ are worth a note and no more.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from etl.catalog.collection import build_collection
from etl.catalog.documents import to_json
from etl.catalog.items import Surroundings
from etl.catalog.root import build_catalog, find_children
from etl.catalog.style import Style, style_of
from etl.catalog.templates import Template, load_template, templates_for
from etl.catalog.verify_items import check_items
from etl.catalog.verify_quicklooks import check_quicklooks
from etl.load.inventory import CATALOG, COLLECTION, Inventory
from etl.load.stores import Store
from etl.load.verify.findings import MOST_NAMED, Difference, Verdict, differences
from etl.load.verify.snapshot import read_json

_WRITTEN = ("id", "title", "description", "license", "stac_version")
"""Fields of which the store knows nothing."""

_NO_TEXTS = Template(Path(COLLECTION), {"id": "", "title": "", "description": ""})
_REMEDY = "the next run of convert writes it anew"
_SOFTWARE = "processing:software"
"""Of another version of the program than this one, an archive is as sound."""

Document = dict[str, Any]


def check_collection(
    inventory: Inventory, verdict: Verdict, templates: Path | None = None, *, with_pixels: bool = False
) -> None:
    """Compare a continent's collection, quicklooks and items with its committed frames.

    A collection that is exactly that of the first frames is older than the store, as it is while a run goes
    on or after one was interrupted; that is a note. Items can be older too, or as new as the store.

    Args:
        inventory: the committed frames, at least one.
        verdict: takes what is found.
        templates: folder of the templates that the archive is written with, if it is known.
        with_pixels: draw the quicklooks anew and compare them.

    Raises:
        UsageError: A template cannot be used.
        StorageError: The storage refuses to be read.
    """
    store, key = inventory.store, f"{inventory.folder}/{COLLECTION}"
    found = read_json(store, key)
    if found == "is missing":
        _check_no_collection(inventory, verdict)
        return
    if isinstance(found, str):
        verdict.found("catalog", f"{found}; {_REMEDY}", key)
        return
    shown = inventory
    wrong = list(_derived_differences(found, shown))
    earlier = _earlier(inventory, found)
    if wrong and earlier is not None and not any(_derived_differences(found, earlier)):
        verdict.note(
            f"{key} shows {len(earlier)} of {len(inventory)} frames: a run is under way, or was interrupted;"
            " the next one brings it up to date"
        )
        wrong, shown = [], earlier
    for difference in wrong[:MOST_NAMED]:
        verdict.found("catalog", str(difference), key)
    if wrong[MOST_NAMED:]:
        verdict.found("catalog", f"{len(wrong) - MOST_NAMED} more fields differ; {_REMEDY}", key)
    used = templates or templates_for([inventory.folder])
    title = load_template(CATALOG, used).fill({})["title"]
    style = style_of(found, key)
    whole = _collection(found, shown, load_template(COLLECTION, used), title)
    _check_texts(found, whole, wrong, key, verdict, given=templates is not None)
    check_quicklooks(inventory, verdict, with_pixels=with_pixels and shown is inventory)
    around = Surroundings(inventory, found, "", style.address)
    check_items(around, style, len(shown), verdict, with_pixels=with_pixels)


def check_catalog(store: Store, verdict: Verdict, templates: Path | None = None) -> None:
    """Compare the archive's catalog with the collections there are.

    Raises:
        UsageError: A template cannot be used.
        StorageError: The storage refuses to be read.
    """
    found = read_json(store, CATALOG)
    children = find_children(store)
    if found == "is missing" and not children:
        return
    if isinstance(found, str):
        verdict.found("catalog", f"{found}; {_REMEDY}", CATALOG)
        return
    address = style_of(found, CATALOG).address
    expected = _document(build_catalog(children, _NO_TEXTS, address))
    wrong = list(_missing_links(found, expected))
    if found.get("type") != "Catalog":
        wrong.append(Difference("type", f"is {found.get('type')!r}, not 'Catalog'"))
    hrefs = {link["href"] for link in expected["links"]}
    wrong += [
        Difference("links", f"leads to {link.get('href')}, where nothing is archived")
        for link in _links(found)
        if link.get("rel") == "child" and link.get("href") not in hrefs
    ]
    for difference in wrong:
        verdict.found("catalog", f"{difference}; {_REMEDY}", CATALOG)
    used = templates or templates_for(child.folder for child in children)
    whole = _document(build_catalog(children, load_template(CATALOG, used), address))
    _check_texts(found, whole, wrong, CATALOG, verdict, given=templates is not None)
    for child in children:
        key = f"{child.folder}/{COLLECTION}"
        document = read_json(store, key)
        if isinstance(document, dict) and style_of(document, key).address != address:
            verdict.note(
                f"{key} has links for another public URL than {CATALOG}; ndvi-archive catalog makes them one"
            )


def _check_no_collection(inventory: Inventory, verdict: Verdict) -> None:
    key = f"{inventory.folder}/{COLLECTION}"
    linked = f'"./{key}"'.encode() in (inventory.store.get(CATALOG) or b"")
    if linked:
        verdict.found("catalog", f"is missing; {_REMEDY}", key)
    else:
        verdict.note(f"there is no {key} yet: a run is under way, or was interrupted; the next one writes it")


def _derived_differences(found: Document, inventory: Inventory) -> Iterator[Difference]:
    """Where a collection is not what the store says, whatever the templates are."""
    expected = _collection(found, inventory, _NO_TEXTS, "")
    links, extensions = expected.pop("links"), expected.pop("stac_extensions")
    for name in _WRITTEN:
        expected.pop(name, None)
    within = {name: expected.pop(name) for name in ("summaries", "assets")}
    yield from differences({key: found[key] for key in expected if key in found}, expected)
    for name, fields in within.items():
        there = found.get(name)
        part = {key: there[key] for key in fields if key in there} if isinstance(there, dict) else {}
        yield from differences(part, fields, name)
    listed = found.get("stac_extensions")
    for extension in extensions:
        if not isinstance(listed, list) or extension not in listed:
            yield Difference("stac_extensions", f"lacks {extension}")
    yield from _missing_links(found, {"links": links}, titled=("child",))
    yield from _style_differences(found, style_of(found, ""))


def _style_differences(found: Document, style: Style) -> Iterator[Difference]:
    """Where a collection does not say of itself what it is."""
    for name, value in {"items": style.items, "geoparquet": style.geoparquet}.items():
        field = f"ndvi_archive:{name}"
        if field in found and value is None:
            yield Difference(field, f"is {found[field]!r}, which means nothing")
    if "item_assets" in found and style.items != "frame":
        yield Difference("item_assets", "should not be there without items")
    if style.exported and not style.geoparquet:
        yield Difference("assets.items", "should not be there without ndvi_archive:geoparquet")


def _missing_links(
    found: Document, expected: Document, titled: tuple[str, ...] = ("child",)
) -> Iterator[Difference]:
    """The expected links that are not there; titles count for links of the kinds named only."""
    for link in expected["links"]:
        keys = [key for key in link if key != "title" or link["rel"] in titled]
        if not any(all(other.get(key) == link[key] for key in keys) for other in _links(found)):
            yield Difference("links", f"lacks the link {link['rel']} to {link['href']}")


def _links(found: Document) -> list[Document]:
    links = found.get("links")
    return [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []


def _earlier(inventory: Inventory, found: Document) -> Inventory | None:
    """The first frames of an inventory, as many as the collection says there are."""
    count = found.get("ndvi_archive:frames")
    if not isinstance(count, int) or not 0 < count < len(inventory):
        return None
    return replace(inventory, columns={name: values[:count] for name, values in inventory.columns.items()})


def _check_texts(
    found: Document, whole: Document, named: list[Difference], key: str, verdict: Verdict, *, given: bool
) -> None:
    """Compare the whole document, leaving out the places that were named already."""
    paths = {difference.path for difference in named}
    wrong = [
        each for each in differences(found, whole) if each.path not in paths and not _within(each.path, paths)
    ]
    if not given and wrong:
        fields = ", ".join(dict.fromkeys(each.path.partition(".")[0].partition("[")[0] for each in wrong))
        verdict.note(
            f"{key} has other texts than the templates of this version ({fields}); with --templates they are"
            " compared too"
        )
        return
    for difference in wrong[:MOST_NAMED]:
        verdict.found("catalog", f"{difference}; {_REMEDY}", key)


def _within(path: str, paths: set[str]) -> bool:
    return path.startswith("links") and "links" in paths


def _collection(found: Document, inventory: Inventory, template: Template, title: str) -> Document:
    """What a collection should be, given how it says that it was published, and by which version."""
    style = style_of(found, f"{inventory.folder}/{COLLECTION}")
    expected = _document(build_collection(inventory, template, title, style))
    try:
        software = found["assets"]["ndvi"][_SOFTWARE]
        if all(re.fullmatch(r"\d+\.\S+", version) for version in software.values()):
            expected["assets"]["ndvi"][_SOFTWARE] = software
    except (LookupError, TypeError, AttributeError):
        pass
    return expected


def _document(built: Any) -> Document:  # noqa: ANN401 - pystac
    document: Mapping[str, Any] = json.loads(to_json(built))
    return dict(document)
