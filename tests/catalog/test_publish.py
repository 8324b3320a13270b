"""Publishing: what is written, when, and what is left alone."""

import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from etl.catalog.colormap import colour
from etl.catalog.publish import publish
from etl.catalog.style import Choices
from etl.catalog.verify import check_catalog, check_collection
from etl.errors import IncompatibleError, UsageError
from etl.load.folder import LocalFolder
from etl.load.verify.findings import Verdict
from etl.transform.grid import Grid

from .archives import NO_DATA, Continent
from .reading import decode_png, read_json

STAC_FILES = ("collection.json", "overview.png", "thumbnail.png")


def children(store: LocalFolder) -> list[str]:
    links = read_json(store.root / "catalog.json")["links"]
    return [link["href"] for link in links if link["rel"] == "child"]


def files(store: LocalFolder) -> dict[Path, tuple[bytes, int]]:
    """Bytes and time of change of every file that readers see."""
    paths = [path for path in store.root.rglob("*") if path.is_file() and path.name[0] != "."]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_what_the_demo_made_up_is_called_so_and_nobody_elses(store: LocalFolder) -> None:
    continent = Continent(store, "Synthetic Europe", Grid(23, 17, (-11.25, 34.1, 31.0625, 71.3)))
    continent.folder = "synthetic-europe"
    continent.append(["S3A", "S3B"])

    publish(store, "synthetic-europe")

    found = json.loads((store.root / "synthetic-europe/collection.json").read_text())
    assert found["title"] == "Synthetic NDVI of Synthetic Europe (no satellite has seen it)"
    assert "no satellite has seen it" in found["description"]
    catalog = (store.root / "catalog.json").read_text()
    assert "no satellite has seen it" in catalog
    for word in ("Copernicus", "ESA", "sci:citation", "Legal"):
        assert word not in json.dumps(found) + catalog
    verdict = Verdict()
    check_collection(continent.inventory, verdict)
    check_catalog(store, verdict)
    assert verdict == Verdict()


def test_a_first_run_writes_the_four_files_and_says_how_much(europe: Continent) -> None:
    before = set(files(europe.store))
    written = publish(europe.store, "europe")
    paths = [europe.store.root / "catalog.json", *(europe.path / name for name in STAC_FILES)]
    assert set(files(europe.store)) - before == set(paths)
    assert written == sum(path.stat().st_size for path in paths)


def test_a_second_run_changes_nothing(europe: Continent) -> None:
    publish(europe.store, "europe")
    before = files(europe.store)
    assert publish(europe.store, "europe") == 0
    assert files(europe.store) == before


@pytest.mark.parametrize("name", STAC_FILES)
def test_a_file_that_was_lost_is_written_again_and_no_other(europe: Continent, name: str) -> None:
    publish(europe.store, "europe")
    before = files(europe.store)
    lost = (europe.path / name).read_bytes()
    (europe.path / name).unlink()
    assert publish(europe.store, "europe") == len(lost)
    after = files(europe.store)
    assert {path for path in after if after[path] != before[path]} == {europe.path / name}
    assert (europe.path / name).read_bytes() == lost


def test_no_frame_is_read_when_nothing_changed(europe: Continent) -> None:
    publish(europe.store, "europe")
    shutil.rmtree(europe.path / "ndvi.zarr" / "ndvi" / "c")
    before = files(europe.store)
    publish(europe.store, "europe")
    assert files(europe.store) == before


def test_an_appended_frame_changes_extent_dates_and_counts(europe: Continent) -> None:
    publish(europe.store, "europe")
    before = read_json(europe.path / "collection.json")
    europe.append(["S3B"])
    assert publish(europe.store, "europe") > 0
    after = read_json(europe.path / "collection.json")
    newest = f"{europe.inventory.times[-1]:%Y-%m-%dT%H:%M:%SZ}"
    old_times = before["cube:dimensions"]["time"]["values"]
    assert newest not in old_times
    assert after["cube:dimensions"]["time"]["values"] == [*old_times, newest]
    assert after["cube:dimensions"]["time"]["extent"] == [old_times[0], newest]
    assert after["extent"]["temporal"]["interval"] == [[old_times[0], newest]]
    assert after["extent"]["spatial"] == before["extent"]["spatial"]
    assert (before["ndvi_archive:frames"], after["ndvi_archive:frames"]) == (4, 5)
    assert after["ndvi_archive:frames_by_platform"] == {"sentinel-3a": 3, "sentinel-3b": 2}
    assert after["assets"]["overview"]["datetime"] == newest


def test_the_overview_shows_the_frame_it_names(europe: Continent) -> None:
    publish(europe.store, "europe")
    np.testing.assert_array_equal(
        decode_png((europe.path / "overview.png").read_bytes()), colour(europe.inventory.frame(3))
    )


def test_a_frame_of_no_data_is_not_shown(europe: Continent) -> None:
    publish(europe.store, "europe")
    shown = read_json(europe.path / "collection.json")["assets"]["overview"]["datetime"]
    overview = (europe.path / "overview.png").read_bytes()
    europe.append(["S3B"], NO_DATA)
    publish(europe.store, "europe")
    assert read_json(europe.path / "collection.json")["assets"]["overview"]["datetime"] == shown
    assert (europe.path / "overview.png").read_bytes() == overview


def test_quicklooks_of_a_large_odd_grid_cover_its_extent(store: LocalFolder) -> None:
    grid = Grid(2501, 333, (-10.0, 0.0, 15.01, 3.33))
    continent = Continent(store, "Asia", grid)
    continent.append(["S3A"])
    publish(store, "asia")
    assets = read_json(continent.path / "collection.json")["assets"]
    for name, longest in (("overview", 2048), ("thumbnail", 512)):
        rows, columns = assets[name]["proj:shape"]
        assert decode_png((continent.path / f"{name}.png").read_bytes()).shape == (rows, columns, 4)
        assert (rows, columns) == (round(333 * longest / 2501), longest)
        a, b, c, d, e, f = assets[name]["proj:transform"]
        assert (b, d, c, f) == (0.0, 0.0, grid.bbox[0], grid.bbox[3])
        assert (c + a * columns, f + e * rows) == pytest.approx((grid.bbox[2], grid.bbox[1]), rel=0, abs=1e-9)
        assert assets[name]["proj:bbox"] == list(grid.bbox)


def test_the_catalog_lists_every_published_continent(europe: Continent, africa: Continent) -> None:
    publish(europe.store, "europe")
    assert children(europe.store) == ["./europe/collection.json"]
    publish(africa.store, "africa")
    assert children(europe.store) == ["./africa/collection.json", "./europe/collection.json"]


def test_publishing_one_continent_leaves_the_other_alone(europe: Continent, africa: Continent) -> None:
    publish(africa.store, "africa")
    before = files(africa.store)
    publish(europe.store, "europe")
    after = files(africa.store)
    changed = {path for path in after if before.get(path) != after[path]}
    assert {path.relative_to(africa.store.root).parts[0] for path in changed} == {"catalog.json", "europe"}


def test_continents_published_at_the_same_time_are_all_listed(store: LocalFolder) -> None:
    names = ["Africa", "Asia", "Europe", "Oceania"]
    for name in names:
        Continent(store, name, Grid(9, 7, (0.0, 0.0, 9.0, 7.0))).append(["S3A"])
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: publish(store, name.lower()), names))
    assert children(store) == [f"./{name.lower()}/collection.json" for name in names]


def test_the_catalog_is_written_under_the_lease_of_the_root(europe: Continent) -> None:
    publish(europe.store, "europe")
    (europe.store.root / "catalog.json").unlink()
    with ThreadPoolExecutor(1) as pool:
        with europe.store.lease(""):
            publishing = pool.submit(publish, europe.store, "europe")
            with pytest.raises(TimeoutError):
                publishing.result(timeout=0.3)
            assert not (europe.store.root / "catalog.json").exists()
        assert publishing.result() > 0
    assert children(europe.store) == ["./europe/collection.json"]


def test_a_damaged_continent_keeps_its_link_and_stops_nobody(
    europe: Continent, africa: Continent, caplog: pytest.LogCaptureFixture
) -> None:
    publish(africa.store, "africa")
    (africa.path / "ndvi.zarr" / "zarr.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        publish(europe.store, "europe")
    assert children(europe.store) == ["./africa/collection.json", "./europe/collection.json"]
    assert "africa" in caplog.text


def test_a_folder_that_is_no_continent_is_not_listed(europe: Continent) -> None:
    notes = europe.store.root / "notes"
    notes.mkdir()
    (notes / "collection.json").write_text("{}")
    publish(europe.store, "europe")
    assert children(europe.store) == ["./europe/collection.json"]


def test_a_folder_without_frames_cannot_be_published(store: LocalFolder) -> None:
    with pytest.raises(UsageError, match="holds no archived frames"):
        publish(store, "europe")


def test_a_broken_template_is_found_before_anything_is_written(europe: Continent, tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text('{"id": "a", "title": "b", "description": "${mistake}"}')
    shutil.copy(Path(__file__).parents[2] / "catalog_templates" / "collection.json", tmp_path)
    before = files(europe.store)
    with pytest.raises(UsageError, match="mistake"):
        publish(europe.store, "europe", tmp_path)
    assert files(europe.store) == before


def test_a_frame_that_is_missing_is_not_drawn_as_one_of_no_data(europe: Continent) -> None:
    shutil.rmtree(europe.path / "ndvi.zarr/ndvi/c/3")
    with pytest.raises(
        IncompatibleError, match=r"frame 4 \(.*S3A\) in .* is damaged: .* checksum; take its day"
    ):
        publish(europe.store, "europe")
    assert not list(europe.path.glob("*.png"))
    shutil.rmtree(europe.path / "ndvi.zarr/ndvi/c/1")
    with pytest.raises(IncompatibleError, match=r"frame 2 \(.*S3B\)"):
        publish(europe.store, "europe", choices=Choices(items="frame"))
    assert len(list(europe.path.rglob("*.png"))) == 1
