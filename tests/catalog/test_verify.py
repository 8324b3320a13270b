"""The STAC files are those of the store, or what differs is named."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from etl.catalog.publish import publish
from etl.catalog.quicklook import encode_png
from etl.catalog.templates import shipped_templates
from etl.catalog.verify import check_catalog, check_collection
from etl.load.folder import LocalFolder
from etl.load.verify.findings import Verdict

from .archives import Continent
from .reading import read_json


@pytest.fixture
def published(europe: Continent) -> Continent:
    publish(europe.store, europe.folder)
    return europe


def verified(continent: Continent, templates: Path | None = None, *, with_pixels: bool = True) -> Verdict:
    verdict = Verdict()
    check_collection(continent.inventory, verdict, templates, with_pixels=with_pixels)
    check_catalog(continent.store, verdict, templates)
    return verdict


def told(continent: Continent, templates: Path | None = None, *, with_pixels: bool = True) -> list[str]:
    return [str(finding) for finding in verified(continent, templates, with_pixels=with_pixels).findings]


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = read_json(path)
    change(document)
    path.write_text(json.dumps(document))


def test_what_was_published_is_sound(published: Continent, africa: Continent) -> None:
    publish(africa.store, africa.folder)
    for continent in (published, africa):
        for templates in (None, shipped_templates()):
            assert verified(continent, templates) == Verdict()


def test_a_field_is_told_by_its_path_with_what_is_there_and_what_should_be(published: Continent) -> None:
    def change(document: dict[str, Any]) -> None:
        document["extent"]["spatial"]["bbox"][0][2] = 30.0

    edit(published.path / "collection.json", change)
    assert told(published) == ["extent.spatial.bbox[0][2] is 30.0, not 31.0625 [europe/collection.json]"]


def test_other_texts_are_noted_and_with_their_templates_known_they_are_named(published: Continent) -> None:
    edit(published.path / "collection.json", lambda document: document.update(title="Elsewhere"))
    verdict = verified(published)
    assert [finding.what.split(";")[0] for finding in verdict.findings] == [
        f"links lacks the link child to ./{published.folder}/collection.json"
    ]
    assert [note.split(";")[0] for note in verdict.notes] == [
        "europe/collection.json has other texts than the templates of this version (title)"
    ]
    assert any(
        line.startswith("title is 'Elsewhere', not 'Sentinel-3")
        for line in told(published, shipped_templates())
    )


def test_an_archive_with_templates_of_its_own_is_sound(europe: Continent, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    copytree(shipped_templates(), templates)
    edit(templates / "catalog.json", lambda document: document.update(title="Green", links=[]))
    own = {"title": "Green ${continent}", "links": [], "summaries": {"instruments": ["olci"]}}
    edit(templates / "collection.json", lambda document: document.update(own))
    publish(europe.store, europe.folder, templates)
    assert verified(europe, templates) == Verdict()
    without = verified(europe)
    assert without.findings == []
    assert len(without.notes) == 2


def test_a_collection_of_the_first_frames_is_noted_as_older(published: Continent) -> None:
    published.append(["S3B", "S3A"])
    verdict = verified(published)
    assert verdict.findings == []
    assert [note.split(":")[0] for note in verdict.notes] == ["europe/collection.json shows 4 of 6 frames"]


def test_a_collection_that_only_says_to_be_older_is_named(published: Continent) -> None:
    edit(published.path / "collection.json", lambda document: document.update({"ndvi_archive:frames": 3}))
    assert told(published) == ["ndvi_archive:frames is 3, not 4 [europe/collection.json]"]


def test_a_store_whose_first_run_has_not_published_yet_is_noted(europe: Continent) -> None:
    verdict = verified(europe)
    assert verdict.findings == []
    assert [note.split(":")[0] for note in verdict.notes] == ["there is no europe/collection.json yet"]


def other_image(path: Path) -> None:
    path.write_bytes(encode_png(np.full((17, 23, 4), 200, np.uint8)))


def small_image(path: Path) -> None:
    path.write_bytes(encode_png(np.zeros((17, 22, 4), np.uint8)))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def no_links(path: Path) -> None:
    edit(path, lambda document: document.update(links=document["links"][:1]))


def foreign_link(path: Path) -> None:
    edit(path, lambda document: document["links"].append({"rel": "child", "href": "./asia/collection.json"}))


def not_a_catalog(path: Path) -> None:
    edit(path, lambda document: document.update(type="Feature"))


@pytest.mark.parametrize(
    ("place", "damage", "what"),
    [
        ("europe/overview.png", Path.unlink, "is missing"),
        ("europe/thumbnail.png", Path.unlink, "is missing"),
        ("europe/overview.png", flipped, "is no whole PNG image"),
        ("europe/thumbnail.png", cut, "is no whole PNG image"),
        ("europe/thumbnail.png", lengthened, "is no whole PNG image"),
        ("europe/overview.png", small_image, "has 22 × 17 pixels, not 23 × 17"),
        ("europe/overview.png", other_image, "does not show the frame that the catalog says"),
        ("europe/collection.json", Path.unlink, "is missing"),
        ("europe/collection.json", cut, "is not valid JSON"),
        ("catalog.json", Path.unlink, "is missing"),
        ("catalog.json", cut, "is not valid JSON"),
        ("catalog.json", no_links, "links lacks the link child to ./europe/collection.json"),
        ("catalog.json", foreign_link, "links leads to ./asia/collection.json, where nothing is archived"),
        ("catalog.json", not_a_catalog, "type is 'Feature', not 'Catalog'"),
    ],
)
def test_damage_to_a_file_of_the_catalog_is_named(
    published: Continent, place: str, damage: Callable[[Path], None], what: str
) -> None:
    path = published.store.root / place
    if place.endswith(".json") and damage is cut:
        path.write_bytes(path.read_bytes().rstrip())
    damage(path)
    findings = verified(published).findings
    assert any(finding.where == place and finding.what.startswith(what) for finding in findings), findings


def test_an_archive_without_a_continent_needs_no_catalog(store: LocalFolder) -> None:
    verdict = Verdict()
    check_catalog(store, verdict)
    assert verdict == Verdict()
