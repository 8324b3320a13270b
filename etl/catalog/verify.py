"""The catalog against the documents that the store, and the texts around it, make.

An archive does not keep the templates it is written with. Without them a document is compared with the one
that its own texts make: what people write can be anything, and all else is as it must be.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from etl.catalog.collection import build_collection
from etl.catalog.documents import describe, to_fields, to_json
from etl.catalog.root import build_catalog, find_children
from etl.catalog.style import style_of
from etl.catalog.template_fields import Catalog, Collection, problems
from etl.catalog.templates import Published, Template, load_template, templates_for
from etl.catalog.verify_items import Versions, check_items, first_frames
from etl.catalog.verify_quicklooks import check_quicklooks
from etl.load.inventory import CATALOG, COLLECTION, Inventory
from etl.load.stores import Store
from etl.load.verify.findings import MOST_NAMED, Difference, Verdict, differences
from etl.load.verify.snapshot import read_json

_REMEDY = "the next run of convert writes it anew"
_SOFTWARE = "processing:software"
"""Of another version of the program than this one, an archive is as sound."""

_OWN_FIELDS = "ndvi_archive:"
_OWN_LINKS = ("self", "root", "parent", "store", "child", "item")
_TEXTS = {"id", "title", "description", "license"}
_NO_TEXTS = Published(Path(), dict.fromkeys(("id", "title", "description"), ""))

Document = dict[str, Any]
Build = Callable[[Template], Document]


def check_collection(
    inventory: Inventory,
    verdict: Verdict,
    templates: Path | None = None,
    *,
    with_pixels: bool = False,
    progress: Callable[[int, int], None] = lambda done, planned: None,
) -> None:
    """Compare a continent's collection, quicklooks and items with its committed frames.

    A collection that is exactly that of the first frames is older than the store, as it is while a run goes
    on or after one was interrupted; that is a note. Items can be older too, or as new as the store.

    Args:
        inventory: the committed frames, at least one.
        verdict: takes what is found.
        templates: folder of the templates that the archive is written with, if it is known.
        with_pixels: draw the quicklooks and compare them, and read the export.
        progress: called with the number of the items' quicklooks that are compared, and of all.

    Raises:
        UsageError: A template cannot be used.
        StorageError: The storage refuses to be read.
    """
    store, key = inventory.store, f"{inventory.folder}/{COLLECTION}"
    found = _read(store, key)
    if found == "is missing":
        _check_no_collection(inventory, verdict)
        return
    if isinstance(found, str):
        verdict.found("catalog", f"{found}; {_REMEDY}", key)
        return
    used = templates or templates_for([inventory.folder])
    due, due_title = load_template(COLLECTION, used), load_template(CATALOG, used).fill({})["title"]
    title = due_title if templates else _title_of_root(found)
    style = style_of(found, key)

    def of(frames: Inventory) -> Build:
        return lambda texts: _as_by(found, to_fields(build_collection(frames, texts, title, style)))

    given = due if templates else None
    shown, (texts, wrong) = inventory, _compare(found, of(inventory), Collection, given)
    earlier = _earlier(inventory, found)
    if wrong and earlier is not None and not _compare(found, of(earlier), Collection, given)[1]:
        verdict.note(
            f"{key} shows {len(earlier)} of {len(inventory)} frames: a run is under way, or was interrupted;"
            " the next one brings it up to date"
        )
        shown, wrong = earlier, []
    for difference in wrong[:MOST_NAMED]:
        verdict.found("catalog", str(difference), key)
    if wrong[MOST_NAMED:]:
        verdict.found("catalog", f"{len(wrong) - MOST_NAMED} more fields differ; {_REMEDY}", key)
    in_use = _as_by(found, to_fields(build_collection(shown, due, due_title, style)))
    _note_texts(found, in_use, wrong, key, verdict)
    # A run that goes on can have drawn other frames already, and the next one draws them again.
    check_quicklooks(inventory, verdict, with_pixels=with_pixels and shown is inventory)
    versions = Versions(
        inventory,
        len(shown),
        style,
        (
            lambda frames: describe(frames, texts, _title_of_root(found), style),
            lambda frames: describe(frames, due, due_title, style),
        ),
    )
    check_items(versions, verdict, progress, with_pixels=with_pixels)


def check_catalog(store: Store, verdict: Verdict, templates: Path | None = None) -> None:
    """Compare the archive's catalog with the collections there are.

    Raises:
        UsageError: A template cannot be used.
        StorageError: The storage refuses to be read.
    """
    found = _read(store, CATALOG)
    children = find_children(store)
    if found == "is missing" and not children:
        return
    if isinstance(found, str):
        verdict.found("catalog", f"{found}; {_REMEDY}", CATALOG)
        return
    address = style_of(found, CATALOG).address

    def build(texts: Template) -> Document:
        return to_fields(build_catalog(children, texts, address))

    due = load_template(CATALOG, templates or templates_for(child.folder for child in children))
    _, wrong = _compare(found, build, Catalog, due if templates else None)
    for difference in wrong:
        verdict.found("catalog", f"{difference}; {_REMEDY}", CATALOG)
    _note_texts(found, build(due), wrong, CATALOG, verdict)
    for child in children:
        key = f"{child.folder}/{COLLECTION}"
        document = read_json(store, key)
        if isinstance(document, dict) and style_of(document, key).address != address:
            verdict.note(
                f"{key} has links for another public URL than {CATALOG}; ndvi-archive catalog makes them one"
            )


def _read(store: Store, key: str) -> Document | str:
    """A JSON object that this program could have written, or what is wrong with the file."""
    found = read_json(store, key)
    if isinstance(found, dict):
        try:
            to_json(found)
        except ValueError:
            return "is not valid JSON"
    return found


def _check_no_collection(inventory: Inventory, verdict: Verdict) -> None:
    key = f"{inventory.folder}/{COLLECTION}"
    linked = f'"./{key}"'.encode() in (inventory.store.get(CATALOG) or b"")
    if linked:
        verdict.found("catalog", f"is missing; {_REMEDY}", key)
    else:
        verdict.note(f"there is no {key} yet: a run is under way, or was interrupted; the next one writes it")


def _compare(
    found: Document, build: Build, fields: type[Catalog], given: Template | None
) -> tuple[Template, list[Difference]]:
    """The texts of a document, and where it is not the one that they make.

    Args:
        found: the document.
        build: makes the document of texts.
        fields: what people can write.
        given: the texts, where they are known; None takes them from the document.
    """
    if given is not None:
        return given, _differences(found, build(given))
    own = _texts(found, build(_NO_TEXTS), fields)
    wrong = [Difference(*each.split(": ", 1)) for each in problems(own, fields)]
    faulty = {_field(each) for each in wrong}
    sound = {name: value for name, value in own.items() if name not in faulty}
    texts = Published(Path(), {**_NO_TEXTS.document, **sound})
    return texts, wrong + [each for each in _differences(found, build(texts)) if _field(each) not in faulty]


def _texts(found: Document, plain: Document, fields: type[Catalog]) -> Document:
    """The texts of a document: the fields and parts of fields that one without texts lacks."""
    own = {
        name: value
        for name, value in found.items()
        if (name not in plain or name in _TEXTS)
        and (name in fields.model_fields or ":" in name)
        and not name.startswith(_OWN_FIELDS)
    }
    links, extensions, summaries = (found.get(name) for name in ("links", "stac_extensions", "summaries"))
    if isinstance(links, list):
        own["links"] = [
            link for link in links if isinstance(link, dict) and link.get("rel") not in _OWN_LINKS
        ]
    if isinstance(extensions, list):
        known = plain.get("stac_extensions", [])
        own["stac_extensions"] = [each for each in extensions if each not in known]
    if isinstance(summaries, dict) and "summaries" in plain:
        own["summaries"] = {
            name: value
            for name, value in summaries.items()
            if name not in plain["summaries"] and not name.startswith(_OWN_FIELDS)
        }
    return own


def _differences(found: Document, expected: Document) -> list[Difference]:
    """Where a document differs: its fields, and then its links, each of which is named whole."""
    mine, theirs = found.get("links"), expected["links"]
    if not isinstance(mine, list) or not all(isinstance(link, dict) for link in mine):
        return list(differences(found, expected))
    wrong = list(differences(found | {"links": theirs}, expected))
    ends = [(link["rel"], link["href"]) for link in theirs]
    links = [f"lacks the link {link['rel']} to {link['href']}" for link in theirs if link not in mine]
    links += [
        f"leads to {link.get('href')}, where nothing is archived"
        for link in mine
        if (link.get("rel"), link.get("href")) not in ends
    ]
    if not links and mine != theirs:
        links = ["has its links in another order, or some of them twice"]
    return wrong + [Difference("links", what) for what in links]


def _note_texts(found: Document, due: Document, named: list[Difference], key: str, verdict: Verdict) -> None:
    """Note the texts that are not those of the templates, unless they were named already."""
    known = {_field(each) for each in named}
    others = dict.fromkeys(map(_field, _differences(found, due)))
    if fields := ", ".join(field for field in others if field not in known):
        verdict.note(
            f"{key} has other texts than the templates of this version ({fields}); with --templates they are"
            " compared too"
        )


def _field(difference: Difference) -> str:
    return re.split(r"[.\[]", difference.path)[0]


def _earlier(inventory: Inventory, found: Document) -> Inventory | None:
    """The first frames of an inventory, as many as the collection says there are."""
    count = found.get("ndvi_archive:frames")
    if not isinstance(count, int) or not 0 < count < len(inventory):
        return None
    return first_frames(inventory, count)


def _title_of_root(found: Document) -> str:
    """The catalog's title as a collection has it."""
    links = found.get("links")
    titles = [
        link.get("title")
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict) and link.get("rel") == "root"
    ]
    return titles[0] if titles and isinstance(titles[0], str) else ""


def _as_by(found: Document, expected: Document) -> Document:
    """A collection as the version of the program that wrote the one that was found would write it."""
    try:
        software, own = (document["assets"]["ndvi"][_SOFTWARE] for document in (found, expected))
        if software.keys() == own.keys() and re.fullmatch(r"\d+\.\S+", *software.values()):
            own.update(software)
    except (LookupError, TypeError, AttributeError):
        pass
    return expected
