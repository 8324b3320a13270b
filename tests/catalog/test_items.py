"""Items: each is its frame, and a run writes those that are new, whatever became of the run before."""

import json
import os
import re
import shutil
import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pystac
import pytest
import xarray as xr
from pystac.validation import JsonSchemaSTACValidator, validate_dict

from etl.catalog.colormap import colour
from etl.catalog.publish import publish
from etl.catalog.quicklook import block_means
from etl.catalog.style import Choices
from etl.errors import StorageError
from etl.load.folder import LocalFolder
from etl.signals import Interrupted, deferred, ending_on_signals
from etl.transform.grid import Grid

from .archives import NO_DATA, SCALE, Continent
from .reading import Document, decode_png, read_json

ITEMS = Choices(items="frame")
PUBLIC = "https://example.org/ndvi"


class Recording(LocalFolder):
    """A folder that remembers what was written; told so, it refuses some day, or sends a signal."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.written: list[str] = []
        self.left: int | None = None
        self.signal_at: int | None = None

    def put_all(self, objects: Mapping[str, bytes | memoryview], *, final: bool = False) -> None:
        for key, data in objects.items():
            if self.left is not None:
                if not self.left:
                    raise StorageError("the disk is full", "make room")
                self.left -= 1
            super().put_all({key: data}, final=final)
            self.written.append(key)
            if len(self.written) == self.signal_at:
                os.kill(os.getpid(), signal.SIGTERM)

    def put(self, key: str, data: bytes) -> None:
        self.put_all({key: data})


@pytest.fixture
def store(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "archive")


@pytest.fixture(scope="module")
def _published(_europe: Continent, tmp_path_factory: pytest.TempPathFactory) -> LocalFolder:
    store = LocalFolder(tmp_path_factory.mktemp("published"))
    shutil.copytree(_europe.store.root, store.root, dirs_exist_ok=True)
    publish(store, "europe", choices=ITEMS)
    return store


@pytest.fixture
def published(store: Recording, _europe: Continent, _published: LocalFolder) -> Continent:
    """Four frames of 2025-01 and their items."""
    shutil.copytree(_published.root, store.root)
    return Continent(store, "Europe", _europe.grid)


def item_files(continent: Continent) -> list[Path]:
    return sorted((continent.path / "items").glob("*/*/europe-*.json"), key=lambda path: path.name)


def items_of(continent: Continent) -> list[Document]:
    return [read_json(path) for path in item_files(continent)]


def tree(continent: Continent) -> dict[str, bytes]:
    """What readers of the catalog see, without the store."""
    root = continent.store.root
    paths = [path for path in root.rglob("*") if path.is_file() and path.name[0] != "."]
    return {
        key: path.read_bytes()
        for path in paths
        if "ndvi.zarr" not in (key := path.relative_to(root).as_posix())
    }


def written_by(continent: Continent, choices: Choices | None = None) -> list[str]:
    """What a run writes of the catalog, in order."""
    store = continent.store
    assert isinstance(store, Recording)
    store.written.clear()
    publish(store, "europe", choices=choices)
    return list(store.written)


def links(document: Document, rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


def test_every_item_is_its_frame(published: Continent) -> None:
    frames = xr.open_zarr(published.path / "ndvi.zarr")
    root = read_json(published.path / "ndvi.zarr" / "zarr.json")
    items = items_of(published)
    assert len(items) == frames.sizes["time"] == 4
    for position, item in enumerate(items):
        frame = frames.isel(time=position)
        time = f"{frame['time'].values.astype('datetime64[s]')}Z"
        satellite = {1: "a", 2: "b"}[int(frame["satellite"])]
        properties = item["properties"]
        assert properties.pop("title").endswith(f"{time[11:16]} UTC, S3{satellite.upper()}")
        assert properties.pop("gsd") == pytest.approx((71.3 - 34.1) / 17 * 111_133, rel=1e-4)
        for name in ("valid_fraction", "ndvi_mean"):
            assert np.float32(properties.pop(f"ndvi_archive:{name}")) == frame[name]
        assert properties == {
            "datetime": time,
            "created": f"{frame['archived_at'].values.astype('datetime64[s]')}Z",
            "platform": f"sentinel-3{satellite}",
            "constellation": "sentinel-3",
            "instruments": ["olci", "slstr"],
            "proj:code": "EPSG:4326",
            "ndvi_archive:time_index": position,
            "ndvi_archive:frame_number": int(frame["frame_number"]),
            "ndvi_archive:checksum": int(frame["checksum"]),
        }
        stamp = time.replace("-", "").replace(":", "").lower().removesuffix("z")
        assert item["id"] == f"europe-{stamp}-s3{satellite}"
        assert item["bbox"] == root["attributes"]["spatial:bbox"]
        ring = np.array(item["geometry"]["coordinates"][0])
        assert [*ring.min(axis=0), *ring.max(axis=0)] == item["bbox"]
        assert item["assets"]["ndvi"]["proj:transform"] == root["attributes"]["spatial:transform"]
        assert item["assets"]["ndvi"]["proj:shape"] == [frames.sizes["latitude"], frames.sizes["longitude"]]


def test_an_item_leads_to_its_frame_in_the_store(published: Continent) -> None:
    for path in item_files(published):
        item = read_json(path)
        [href] = links(item, "store")
        assert href == item["assets"]["ndvi"]["href"]
        group = xr.open_zarr((path.parent / href).resolve())
        frame = group.isel(time=item["properties"]["ndvi_archive:time_index"])
        assert item["properties"]["datetime"].startswith(str(frame["time"].values.astype("datetime64[s]")))


def test_the_quicklook_of_an_item_shows_its_frame(store: Recording) -> None:
    continent = Continent(store, "Europe", Grid(301, 100, (0.0, 0.0, 30.1, 10.0)))
    continent.append(["S3A", "S3B"])
    publish(store, "europe", choices=ITEMS)
    for position, path in enumerate(item_files(continent)):
        thumbnail = read_json(path)["assets"]["thumbnail"]
        assert thumbnail["proj:shape"] == [85, 256]
        means, _ = block_means(continent.inventory.frame(position), 85, 256)
        image = decode_png((path.parent / thumbnail["href"]).read_bytes())
        np.testing.assert_array_equal(image[..., :3], colour(means)[..., :3])


def test_a_frame_without_data_has_an_item_that_says_so(europe: Continent) -> None:
    europe.append(["S3B"], NO_DATA)
    publish(europe.store, "europe", choices=ITEMS)
    properties = items_of(europe)[-1]["properties"]
    assert properties["ndvi_archive:valid_fraction"] == 0
    assert "ndvi_archive:ndvi_mean" not in properties


def test_two_frames_at_one_second_have_items_of_their_own(store: Recording) -> None:
    continent = Continent(store, "Europe", Grid(9, 7, (0.0, 0.0, 9.0, 7.0)))
    time = datetime(2025, 1, 1, 9, 57, 3, tzinfo=UTC)
    continent.append_at([(time, "S3A"), (time, "S3B")])
    publish(store, "europe", choices=ITEMS)
    assert [item["id"] for item in items_of(continent)] == [
        "europe-20250101t095703-s3a",
        "europe-20250101t095703-s3b",
    ]


@pytest.mark.parametrize("public_url", [None, PUBLIC])
def test_all_of_it_is_valid_stac_and_follows_good_practice(
    europe: Continent, validator: JsonSchemaSTACValidator, public_url: str | None
) -> None:
    publish(europe.store, "europe", choices=Choices("frame", None, public_url))
    for path in europe.store.root.rglob("*.json"):
        if "ndvi.zarr" in path.parts:
            continue
        document = read_json(path)
        schemas = validate_dict(document, validator=validator)
        assert schemas[1:] == document.get("stac_extensions", [])
        assert re.fullmatch(r"[a-z0-9_-]+", document["id"])
        assert all(link["title"] and link["type"] for link in document["links"])
        if document["type"] == "Feature":
            assert path.stem == document["id"]
            assert len(document["properties"]) <= 20
        own = f"{PUBLIC}/{path.relative_to(europe.store.root).as_posix()}"
        assert links(document, "self") == ([own] if public_url else [])
        hrefs = [link["href"] for link in document["links"] if link["rel"] not in {"license", "about"}]
        hrefs += [asset["href"] for asset in document.get("assets", {}).values()]
        for href in hrefs:
            assert href.startswith(PUBLIC if public_url else ".")
            target = europe.store.root / href.removeprefix(f"{PUBLIC}/") if public_url else path.parent / href
            assert target.resolve().exists(), (path, href)


def test_a_reader_walks_from_the_catalog_to_every_item(store: Recording) -> None:
    continent = Continent(store, "Europe", Grid(9, 7, (0.0, 0.0, 9.0, 7.0)))
    first = datetime(2024, 12, 28, 10, tzinfo=UTC)
    continent.append_at([(first + timedelta(days=16 * n), "S3A") for n in range(5)])
    publish(store, "europe", choices=ITEMS)
    catalog = pystac.Catalog.from_file(store.root / "catalog.json")
    [collection] = catalog.get_collections()
    walked = [(len(list(children)), [item.id for item in items]) for _, children, items in collection.walk()]
    assert [count for count, _ in walked] == [2, 1, 0, 3, 0, 0, 0]
    found = [name for _, names in walked for name in names]
    assert found == [path.stem for path in item_files(continent)]
    assert [child.title for child in collection.get_children()] == ["Europe in 2024", "Europe in 2025"]
    item = next(iter(collection.get_items(recursive=True)))
    assert item.get_collection() is not None
    assert item.collection_id == collection.id


def test_a_second_run_writes_nothing(published: Continent) -> None:
    before = tree(published)
    assert written_by(published) == []
    assert tree(published) == before


def test_a_nightly_run_writes_the_new_item_and_what_tells_of_it(store: Recording) -> None:
    continent = Continent(store, "Europe", Grid(9, 7, (0.0, 0.0, 9.0, 7.0)))
    first = datetime(2025, 1, 30, 10, tzinfo=UTC)
    continent.append_at([(first + timedelta(days=n), "S3A") for n in range(4)])
    publish(store, "europe", choices=ITEMS)
    before = tree(continent)
    continent.append_at([(first + timedelta(days=4), "S3B")])
    written = written_by(continent)
    month = "europe/items/2025/2025-02"
    assert written[:3] == [
        f"{month}/europe-20250203t100000-s3b.png",
        f"{month}/europe-20250203t100000-s3b.json",
        f"{month}/catalog.json",
    ]
    assert sorted(written[3:-1]) == ["europe/overview.png", "europe/thumbnail.png"]
    assert written[-1] == "europe/collection.json"
    after = tree(continent)
    assert {key for key in after if after[key] != before.get(key)} == set(written)
    assert set(before) < set(after)


def test_it_tells_how_many_of_the_items_that_are_to_be_written_are_done(store: Recording) -> None:
    continent = Continent(store, "Europe", Grid(9, 7, (0.0, 0.0, 9.0, 7.0)))
    january, march = datetime(2025, 1, 5, 10, tzinfo=UTC), datetime(2025, 3, 5, 10, tzinfo=UTC)
    continent.append_at([(january, "S3A"), (january, "S3B"), (march, "S3A")])
    told: list[tuple[int, int]] = []

    def tell(done: int, planned: int) -> None:
        told.append((done, planned))

    publish(store, "europe", choices=ITEMS, told=tell)
    first, told[:] = list(told), []
    continent.append_at([(march, "S3B")])
    publish(store, "europe", told=tell)

    assert first == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert told == [(0, 2), (1, 2), (2, 2)]
    publish(store, "europe", told=tell)
    assert told[3:] == []


def test_the_choice_is_remembered(published: Continent) -> None:
    published.append(["S3B"])
    publish(published.store, "europe")
    assert len(items_of(published)) == 5
    publish(published.store, "europe", choices=Choices(items="none"))
    assert not [key for key in tree(published) if "items" in key]
    published.append(["S3B"])
    publish(published.store, "europe")
    assert not [key for key in tree(published) if "items" in key]
    collection = read_json(published.path / "collection.json")
    assert links(collection, "child") == []
    assert "item_assets" not in collection


def test_the_public_url_is_remembered_until_links_are_to_be_relative(published: Continent) -> None:
    relative = tree(published)
    publish(published.store, "europe", choices=Choices(public_url=PUBLIC))
    absolute = tree(published)
    assert written_by(published) == []
    images = [key for key in absolute if key.endswith(".png")]
    assert {key for key in absolute if absolute[key] == relative[key]} == set(images)
    written = written_by(published, Choices(public_url="relative"))
    assert tree(published) == relative
    assert not [key for key in written if key.endswith(".png")]


@pytest.mark.parametrize("lost", ["catalog.json", "europe/collection.json"])
def test_what_was_chosen_outlives_the_loss_of_either_document(published: Continent, lost: str) -> None:
    publish(published.store, "europe", choices=Choices(public_url=PUBLIC, geoparquet=True))
    before = tree(published)
    (published.store.root / lost).unlink()
    assert written_by(published) == [lost]
    assert tree(published) == before


def test_what_others_put_among_the_items_is_named_and_stays(
    published: Continent, caplog: pytest.LogCaptureFixture
) -> None:
    notes = [published.path / "items" / name for name in ("notes.txt", "2025/2025-01/europe.json")]
    for path in notes:
        path.write_text("mine")
    assert written_by(published) == []
    publish(published.store, "europe", choices=Choices(items="none"))
    assert {key for key in tree(published) if "items" in key} == {
        path.relative_to(published.store.root).as_posix() for path in notes
    }
    assert f"{notes[1]} was not written by this program, and stays there, as do 1 more" in caplog.text


@pytest.mark.parametrize("kind", ["*.png", "europe-*.json", "2025-01/catalog.json", "2025/catalog.json"])
def test_what_was_lost_of_the_items_is_written_again(published: Continent, kind: str) -> None:
    before = tree(published)
    lost = next((published.path / "items").rglob(kind))
    lost.unlink()
    publish(published.store, "europe")
    assert tree(published) == before


def test_items_survive_the_loss_of_the_collection(published: Continent) -> None:
    before = tree(published)
    (published.path / "collection.json").unlink()
    written = written_by(published)
    assert tree(published).keys() == before.keys()
    assert not [key for key in written if "items" in key]


def test_a_run_that_is_cut_anywhere_is_completed_by_the_next_and_never_leads_nowhere(
    published: Continent, tmp_path: Path
) -> None:
    published.append(["S3B", "S3A"])
    shutil.copytree(published.store.root, tmp_path / "before")
    count = len(written_by(published))
    whole = tree(published)
    assert count > 6
    for left in range(count):
        root = tmp_path / f"cut-{left}"
        shutil.copytree(tmp_path / "before", root)
        cut = Recording(root)
        cut.left = left
        with pytest.raises(StorageError):
            publish(cut, "europe")
        catalog = pystac.Catalog.from_file(root / "catalog.json")
        for item in catalog.get_items(recursive=True):
            assert Path(item.assets["thumbnail"].get_absolute_href() or "").exists()
        cut.left = None
        publish(cut, "europe")
        assert tree(Continent(cut, "Europe", published.grid)) == whole


def test_a_signal_ends_it_between_two_items_and_the_next_run_goes_on(europe: Continent) -> None:
    store = europe.store
    assert isinstance(store, Recording)
    store.signal_at = 3
    with pytest.raises(Interrupted), ending_on_signals(), deferred():
        publish(store, "europe", choices=ITEMS)
    assert [Path(key).suffix for key in store.written] == [".png", ".json", ".png", ".json"]
    store.signal_at = None
    written = written_by(europe)
    assert [Path(key).suffix for key in written[:5]] == [".png", ".json", ".png", ".json", ".json"]
    assert len(items_of(europe)) == 4


def test_a_run_that_has_to_end_leaves_items_to_the_next_one(published: Continent, africa: Continent) -> None:
    published.append(["S3B"])
    before = tree(published)
    assert publish(published.store, "europe", at_end=True) == 0
    assert tree(published) == before
    assert publish(africa.store, "africa", at_end=True) > 0


def rebuilt(continent: Continent, satellites: list[str], scale_of_last: object = SCALE) -> None:
    """Let other frames take the place of the archived ones."""
    shutil.rmtree(continent.path / "ndvi.zarr")
    continent.append(satellites[:-1])
    continent.append(satellites[-1:], SCALE if scale_of_last is SCALE else NO_DATA)


def test_after_a_rebuild_all_that_changed_is_written_and_nothing_stale_stays(published: Continent) -> None:
    before = tree(published)
    rebuilt(published, ["S3A", "S3A", "S3A", "S3A"], NO_DATA)
    publish(published.store, "europe")
    after = tree(published)
    fresh = LocalFolder(published.store.root.parent / "fresh")
    shutil.copytree(published.path / "ndvi.zarr", fresh.root / "europe" / "ndvi.zarr")
    publish(fresh, "europe", choices=ITEMS)
    assert after == tree(Continent(fresh, "Europe", published.grid))
    gone = [key for key in before if key not in after]
    assert [re.sub(r".*-(s3.)\.", r"\1.", key) for key in sorted(gone)] == ["s3b.json", "s3b.png"]


def test_an_unchanged_frame_is_not_drawn_again_after_a_rebuild(published: Continent) -> None:
    rebuilt(published, ["S3A", "S3B", "S3A", "S3A", "S3B"])
    written = written_by(published)
    drawn = [key for key in written if "items" in key and key.endswith(".png")]
    assert len(drawn) == 1
    assert drawn[0].endswith("-s3b.png")


def test_continents_keep_their_own_choices(published: Continent, africa: Continent) -> None:
    publish(africa.store, "africa")
    assert not (africa.path / "items").exists()
    assert len(items_of(published)) == 4


def test_items_repeat_what_people_say_of_all_frames(europe: Continent, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "catalog_templates"
    templates = tmp_path / "templates"
    shutil.copytree(shipped, templates)
    template = read_json(templates / "collection.json")
    template["summaries"] = {"instruments": ["olci"]}
    (templates / "collection.json").write_text(json.dumps(template))
    publish(europe.store, "europe", templates, ITEMS)
    for item in items_of(europe):
        assert item["properties"]["instruments"] == ["olci"]
        assert "constellation" not in item["properties"]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """pystac must find all by the links, not by luck of the working directory."""
    monkeypatch.chdir("/")
