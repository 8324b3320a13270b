"""The items are those of the store, or what differs is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from etl.catalog.publish import publish
from etl.catalog.quicklook import encode_png
from etl.catalog.style import Choices
from etl.catalog.templates import shipped_templates
from etl.catalog.verify import check_catalog, check_collection
from etl.errors import StorageError
from etl.load.folder import LocalFolder
from etl.load.verify.findings import Verdict

from .archives import Continent
from .reading import read_json

MONTH = "europe/items/2025/2025-01"
ITEM = f"{MONTH}/europe-20250102t055703-s3b"
ALL = Choices("frame", geoparquet=True)


@pytest.fixture(scope="module")
def _published(_europe: Continent, tmp_path_factory: pytest.TempPathFactory) -> LocalFolder:
    store = LocalFolder(tmp_path_factory.mktemp("published"))
    shutil.copytree(_europe.store.root, store.root, dirs_exist_ok=True)
    publish(store, "europe", choices=ALL)
    return store


@pytest.fixture
def published(store: LocalFolder, _europe: Continent, _published: LocalFolder) -> Continent:
    shutil.copytree(_published.root, store.root)
    return Continent(store, "Europe", _europe.grid)


def verified(continent: Continent, *, with_pixels: bool = True) -> Verdict:
    verdict = Verdict()
    check_collection(continent.inventory, verdict, with_pixels=with_pixels)
    check_catalog(continent.store, verdict)
    return verdict


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = read_json(path)
    change(document)
    path.write_text(json.dumps(document))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def other_image(path: Path) -> None:
    path.write_bytes(encode_png(np.full((17, 23, 4), 200, np.uint8)))


def one_link_less(path: Path) -> None:
    edit(path, lambda document: document["links"].pop())


def another_frame(path: Path) -> None:
    shutil.copy(path.with_name("europe-20250102t155703-s3a.json"), path)


def stray(path: Path) -> None:
    path.with_name("notes.txt").write_text("mine")


def of_fewer_items(path: Path) -> None:
    root = path.parents[1]
    other = LocalFolder(root.parent / "other")
    shutil.copytree(root, other.root)
    (other.root / "catalog.json").unlink()
    europe = Continent(other, "Europe", Continent(LocalFolder(root), "Europe", _grid(root)).grid)
    shutil.rmtree(europe.path)
    europe.append(["S3A"])
    publish(other, "europe", choices=ALL)
    shutil.copy(europe.path / "items.parquet", path)


def _grid(root: Path) -> Any:  # noqa: ANN401
    from etl.load.inventory import read_inventory  # noqa: PLC0415

    inventory = read_inventory(LocalFolder(root), "europe")
    assert inventory is not None
    return inventory.grid


@pytest.mark.parametrize("public_url", [None, "https://example.org/ndvi"])
def test_what_was_published_is_sound(published: Continent, public_url: str | None) -> None:
    publish(published.store, "europe", choices=Choices(public_url=public_url))
    assert verified(published) == Verdict()


@pytest.mark.parametrize(
    ("place", "damage", "what"),
    [
        (f"{ITEM}.json", Path.unlink, "is missing"),
        (f"{ITEM}.json", cut, "is not valid JSON"),
        (f"{ITEM}.json", another_frame, "id is 'europe-20250102t155703-s3a', not"),
        (f"{ITEM}.png", Path.unlink, "is missing"),
        (f"{ITEM}.png", cut, "is no whole PNG image"),
        (f"{ITEM}.png", other_image, "does not show the frame that the catalog says"),
        (f"{MONTH}/catalog.json", Path.unlink, "is missing"),
        (f"{MONTH}/catalog.json", one_link_less, "links has 5 values, not 6"),
        ("europe/items/2025/catalog.json", Path.unlink, "is missing"),
        ("europe/items/2025/catalog.json", one_link_less, "links has 2 values, not 3"),
        ("europe/items.parquet", Path.unlink, "is missing"),
        ("europe/items.parquet", cut, "is no STAC-GeoParquet file"),
        ("europe/items.parquet", of_fewer_items, "items has 1 values, not 4"),
    ],
)
def test_damage_to_a_file_of_the_items_is_named_and_mended_once_it_is_removed(
    published: Continent, place: str, damage: Callable[[Path], None], what: str
) -> None:
    path = published.store.root / place
    before = path.read_bytes()
    damage(path)
    findings = verified(published).findings
    assert any(finding.where == place and finding.what.startswith(what) for finding in findings), findings
    path.unlink(missing_ok=True)
    publish(published.store, "europe")
    assert verified(published) == Verdict()
    assert path.read_bytes() == before


def test_what_is_none_of_ours_is_named(published: Continent) -> None:
    stray(published.store.root / f"{ITEM}.json")
    [finding] = verified(published, with_pixels=False).findings
    assert (finding.where, finding.what) == (f"{MONTH}/notes.txt", "does not belong into the archive")


def test_a_quick_look_leaves_images_and_the_export_unread_and_misses_none(published: Continent) -> None:
    cut(published.store.root / f"{ITEM}.png")
    cut(published.store.root / "europe/items.parquet")
    assert verified(published, with_pixels=False) == Verdict()
    (published.store.root / f"{ITEM}.png").unlink()
    assert [finding.where for finding in verified(published, with_pixels=False).findings] == [f"{ITEM}.png"]


class Cut(LocalFolder):
    """A folder that takes so many objects and no more."""

    left = 0

    def put(self, key: str, data: bytes) -> None:
        if not self.left:
            raise StorageError("the disk is full", "make room")
        self.left -= 1
        super().put(key, data)


def test_items_of_a_run_that_was_cut_anywhere_are_no_damage(published: Continent, tmp_path: Path) -> None:
    published.append(["S3B", "S3A"])
    for left in range(9):
        store = Cut(tmp_path / f"cut-{left}")
        shutil.copytree(published.store.root, store.root)
        store.left = left
        with pytest.raises(StorageError):
            publish(store, "europe")
        verdict = verified(Continent(store, "Europe", published.grid))
        findings = [finding for finding in verdict.findings if not finding.where.endswith(("w.png", "l.png"))]
        assert findings == [], left
        assert any("4 of 6 frames" in note for note in verdict.notes)


@pytest.mark.parametrize("first", [2, 4, 7])
@pytest.mark.parametrize("second", [1, 3])
def test_items_of_two_runs_that_were_cut_are_no_damage(
    published: Continent, tmp_path: Path, first: int, second: int
) -> None:
    store = Cut(tmp_path / "cut")
    shutil.copytree(published.store.root, store.root)
    continent = Continent(store, "Europe", published.grid)
    for left in (first, second):
        store.left = 1000
        continent.append(["S3B", "S3A"])
        store.left = left
        with pytest.raises(StorageError):
            publish(store, "europe")
    assert verified(continent).findings == []


def test_items_that_a_run_was_giving_other_texts_are_no_damage(published: Continent, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(shipped_templates(), templates)
    texts = {"id": "green", "title": "Green", "summaries": {"instruments": ["olci"]}}
    edit(templates / "collection.json", lambda document: document.update(texts))
    publish(published.store, "europe", templates)
    item = published.store.root / f"{ITEM}.json"
    before = item.read_bytes()
    with pytest.raises(StorageError):
        publish(Cut(published.store.root), "europe")
    assert item.read_bytes() != before
    assert verified(published).findings == []


def test_a_first_run_with_items_that_was_cut_is_a_note(europe: Continent) -> None:
    publish(europe.store, "europe")
    store = Cut(europe.store.root)
    store.left = 3
    with pytest.raises(StorageError):
        publish(store, "europe", choices=Choices(items="frame"))
    verdict = verified(europe)
    assert verdict.findings == []
    assert [note.split(":")[0] for note in verdict.notes] == [
        "nothing leads to the 3 objects in europe/items"
    ]


def test_what_a_rebuild_left_over_is_a_note(published: Continent) -> None:
    shutil.copy(
        published.store.root / f"{ITEM}.png",
        published.store.root / MONTH / "europe-20250103t055703-s3b.png",
    )
    verdict = verified(published)
    assert verdict.findings == []
    assert [note.split(":")[0] for note in verdict.notes] == [
        "1 objects in europe/items are of frames that are not archived"
    ]
    publish(published.store, "europe")
    assert verified(published) == Verdict()


def test_a_collection_with_another_public_url_than_the_catalog_is_noted(
    published: Continent, africa: Continent
) -> None:
    publish(africa.store, "africa", choices=Choices(public_url="https://example.org/ndvi"))
    verdict = verified(published)
    assert verdict.findings == []
    assert [note.split(" ")[0] for note in verdict.notes] == ["europe/collection.json"]


def test_a_catalog_by_another_version_of_the_program_is_as_sound(published: Continent) -> None:
    def change(document: dict[str, Any]) -> None:
        document["assets"]["ndvi"]["processing:software"] = {"ndvi-archive": "9.3.1"}

    edit(published.path / "collection.json", change)
    assert verified(published) == Verdict()
