"""Every edit of a published catalog is found, but for those that README names."""

import copy
import itertools
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from etl.catalog.publish import publish
from etl.catalog.style import Choices
from etl.catalog.templates import shipped_templates
from etl.catalog.verify import check_catalog, check_collection
from etl.load.folder import LocalFolder
from etl.load.inventory import Inventory, read_inventory
from etl.load.verify.findings import Verdict

from .archives import Continent
from .reading import read_json

SEED = 14
MONTH = "europe/items/2025/2025-01"
DOCUMENTS = (
    "catalog.json",
    "europe/collection.json",
    "europe/items/2025/catalog.json",
    f"{MONTH}/catalog.json",
    f"{MONTH}/europe-20250102t055703-s3b.json",
)

VERSION = ("europe/collection.json", "assets", "ndvi", "processing:software", "ndvi-archive")
"""Never compared: an archive is as sound by another version of the program."""

TEXTS = {
    "catalog.json": {"id", "description", "links"},
    "europe/collection.json": {
        *("description", "keywords", "license", "links", "providers"),
        *("sci:citation", "stac_extensions", "version"),
    },
}
"""Fields in which people's own texts are; those that come with templates are compared with these alone."""

Place = tuple[Any, ...]
Edit = Callable[[Any, Any], object]


@pytest.fixture(scope="module")
def published(_europe: Continent, tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    store = LocalFolder(tmp_path_factory.mktemp("edited"))
    shutil.copytree(_europe.store.root, store.root, dirs_exist_ok=True)
    publish(store, "europe", choices=Choices("frame", geoparquet=True))
    inventory = read_inventory(store, "europe")
    assert inventory is not None
    return inventory


def verified(archive: Inventory, templates: Path | None = None, *, with_pixels: bool = False) -> Verdict:
    verdict = Verdict()
    check_collection(archive, verdict, templates, with_pixels=with_pixels)
    if not verdict.findings:
        check_catalog(archive.store, verdict, templates)
    return verdict


def path_of(archive: Inventory, key: str) -> Path:
    assert isinstance(archive.store, LocalFolder)
    return archive.store.root / key


def leaves(document: object, above: Place = ()) -> Iterator[Place]:
    if isinstance(document, dict | list):
        below = document.items() if isinstance(document, dict) else enumerate(document)
        for name, value in below:
            yield from leaves(value, (*above, name))
    else:
        yield above


def places(archive: Inventory, chosen: random.Random) -> Iterator[Place]:
    """Every value of every document, of the 256 colours eight."""
    colours = {str(number) for number in chosen.sample(range(256), 8)}
    for key in DOCUMENTS:
        for place in leaves(read_json(path_of(archive, key))):
            if "colormap" not in place or place[-1] in colours:
                yield (key, *place)


def change(chosen: random.Random) -> Edit:
    def edit(parent: Any, name: Any) -> None:  # noqa: ANN401
        value = parent[name]
        if isinstance(value, bool):
            parent[name] = not value
        elif isinstance(value, str):
            at = chosen.randrange(len(value))
            other = chosen.choice([mark for mark in "a7./Z" if mark != value[at]])
            parent[name] = value[:at] + other + value[at + 1 :]
        else:
            parent[name] = (value or 0) + chosen.choice([-1, 1, 0.001])

    return edit


def remove(parent: Any, name: Any) -> None:  # noqa: ANN401
    del parent[name]


def findings_of(archive: Inventory, place: Place, edit: Edit) -> tuple[Verdict, Verdict]:
    """What is found of an edit without templates; where that is nothing, also what is found with them."""
    path = path_of(archive, place[0])
    before = path.read_bytes()
    document = json.loads(before)
    parent: Any = copy.deepcopy(document)
    whole = parent
    for name in place[1:-1]:
        parent = parent[name]
    edit(parent, place[-1])
    assert whole != document, place
    path.write_text(json.dumps(whole))
    try:
        without = verified(archive)
        return without, without if without.findings else verified(archive, shipped_templates())
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("edits", ["changed", "removed"])
def test_any_value_that_is_edited_is_found_or_is_one_of_peoples_texts(
    published: Inventory, edits: str
) -> None:
    chosen = random.Random(SEED)  # noqa: S311 - the same edits every time
    tried = list(places(published, chosen))
    assert len(tried) > 400
    if edits == "removed":
        tried = sorted(chosen.sample(tried, 50), key=str)
    for place in tried:
        without, with_templates = findings_of(
            published, place, change(chosen) if edits == "changed" else remove
        )
        if place == VERSION and edits == "changed":
            continue
        assert with_templates.findings, place
        if not without.findings:
            key, field, *_ = place
            assert field in TEXTS.get(key, ()), place
            assert [note.split(" ")[0] for note in without.notes] == [key], place
            assert f"({field})" in without.notes[0], place
    assert verified(published, shipped_templates(), with_pixels=True) == Verdict()
    assert verified(published, with_pixels=True) == Verdict()


def test_links_in_another_order_are_found(published: Inventory) -> None:
    for key in DOCUMENTS:

        def turn(document: Any, name: Any) -> None:  # noqa: ANN401
            document[name].reverse()

        without, _ = findings_of(published, (key, "links"), turn)
        assert [finding.where for finding in without.findings] == [key]


def test_a_picture_that_is_exchanged_for_another_is_found(published: Inventory) -> None:
    names = [path.name for path in path_of(published, MONTH).glob("*.png")]
    keys = [*(f"{MONTH}/{name}" for name in sorted(names)), "europe/overview.png", "europe/thumbnail.png"]
    images = {key: path_of(published, key).read_bytes() for key in keys}
    pairs = [pair for pair in itertools.combinations(keys, 2) if images[pair[0]] != images[pair[1]]]
    assert len(pairs) == 12
    for pair in pairs:
        for key, other in itertools.permutations(pair):
            path_of(published, key).write_bytes(images[other])
        found = verified(published, with_pixels=True).findings
        assert {finding.where: finding.what.split(";")[0] for finding in found} == dict.fromkeys(
            pair, "does not show the frame that the catalog says"
        )
        for key in pair:
            path_of(published, key).write_bytes(images[key])


def test_any_bit_of_the_export_that_flips_is_found(published: Inventory) -> None:
    chosen = random.Random(SEED)  # noqa: S311 - the same bits every time
    path = path_of(published, "europe/items.parquet")
    whole = path.read_bytes()
    writer = whole.index(b"parquet-rs version")  # its name is no part of the items
    for at in chosen.sample([*range(writer), *range(writer + 25, len(whole))], 40):
        bit = chosen.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        found = verified(published, with_pixels=True).findings
        path.write_bytes(whole)
        assert [finding.where for finding in found] == ["europe/items.parquet"], (at, bit)
