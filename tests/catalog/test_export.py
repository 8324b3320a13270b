"""The STAC-GeoParquet export: the items, searchable without a server."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from etl.catalog import style
from etl.catalog.export import read_export
from etl.catalog.publish import publish
from etl.catalog.style import Choices
from etl.catalog.verify import check_collection
from etl.errors import UsageError
from etl.load.verify.findings import Verdict

from .archives import NO_DATA, Continent
from .reading import read_json

ALL = Choices("frame", geoparquet=True)


def test_dates_are_found_by_platform_time_and_share_of_valid_pixels(europe: Continent) -> None:
    europe.append(["S3A"], NO_DATA)
    publish(europe.store, "europe", choices=ALL)
    found = pq.read_table(
        europe.path / "items.parquet",
        columns=["id", "datetime", "ndvi_archive:time_index"],
        filters=(pc.field("platform") == "sentinel-3a")
        & (pc.field("datetime") >= datetime(2025, 1, 2, tzinfo=UTC))
        & (pc.field("ndvi_archive:valid_fraction") > 0.5),
    ).to_pylist()
    inventory = europe.inventory
    expected = [
        position
        for position in range(len(inventory))
        if inventory.satellites[position] == "S3A"
        and inventory.times[position] >= datetime(2025, 1, 2, tzinfo=UTC)
        and inventory.columns["valid_fraction"][position] > 0.5
    ]
    assert [row["ndvi_archive:time_index"] for row in found] == expected == [2, 3]
    assert [row["datetime"] for row in found] == [inventory.times[position] for position in expected]


@pytest.mark.parametrize("public_url", [None, "https://example.org/ndvi"])
def test_it_holds_every_item_and_leads_to_it(europe: Continent, public_url: str | None) -> None:
    publish(europe.store, "europe", choices=Choices("frame", True, public_url))
    items = read_export((europe.path / "items.parquet").read_bytes())
    paths = sorted((europe.path / "items").rglob("europe-*.json"), key=lambda path: path.name)
    assert len(items) == len(paths) == 4
    for item, path in zip(items, paths, strict=True):
        whole = read_json(path)
        times = [datetime.fromisoformat(each["properties"].pop("created")) for each in (item, whole)]
        assert times[0] == times[1]
        assert item["properties"] == whole["properties"]
        assert (item["id"], item["geometry"]) == (whole["id"], whole["geometry"])
        assert list(item["bbox"]) == whole["bbox"]
        [own] = [link["href"] for link in item["links"] if link["rel"] == "self"]
        home = f"{public_url}/europe" if public_url else "."
        assert own == f"{home}/{path.relative_to(europe.path).as_posix()}"
        thumbnail = item["assets"]["thumbnail"]["href"]
        assert thumbnail == own.replace(".json", ".png")


def test_it_is_geoparquet_with_the_extent_of_the_collection(europe: Continent) -> None:
    publish(europe.store, "europe", choices=ALL)
    metadata = pq.read_metadata(europe.path / "items.parquet").metadata
    assert {b"geo", b"stac-geoparquet"} <= set(metadata)
    asset = read_json(europe.path / "collection.json")["assets"]["items"]
    assert asset["href"] == "./items.parquet"
    assert (asset["type"], asset["roles"]) == ("application/vnd.apache.parquet", ["collection-mirror"])


def test_it_is_kept_up_to_date_by_later_runs_and_removed_when_it_is_not_wanted(europe: Continent) -> None:
    publish(europe.store, "europe", choices=ALL)
    path = europe.path / "items.parquet"
    before = path.read_bytes()
    assert publish(europe.store, "europe") == 0
    europe.append(["S3B"])
    publish(europe.store, "europe")
    assert len(read_export(path.read_bytes())) == len(read_export(before)) + 1
    publish(europe.store, "europe", choices=Choices(geoparquet=False))
    assert not path.exists()
    assert "items" not in read_json(europe.path / "collection.json")["assets"]
    europe.append(["S3B"])
    publish(europe.store, "europe")
    assert not path.exists()


def test_without_the_library_the_next_run_leaves_it_out_and_the_one_after_makes_it_again(
    europe: Continent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(europe.store, "europe", choices=ALL)
    path = europe.path / "items.parquet"
    with monkeypatch.context() as without:
        without.setattr(style, "_LIBRARY", "a_library_that_nobody_has")
        verdict = Verdict()
        check_collection(europe.inventory, verdict, with_pixels=True)
        assert verdict.findings == []
        assert [note.split(":")[0] for note in verdict.notes] == ["europe/items.parquet was not read"]
        europe.append(["S3B"])
        publish(europe.store, "europe")
        assert "ndvi-archive[geoparquet]" in caplog.text
        assert not path.exists()
        assert "items" not in read_json(europe.path / "collection.json")["assets"]
        with pytest.raises(UsageError, match="is not installed"):
            publish(europe.store, "europe", choices=ALL)
    publish(europe.store, "europe")
    assert len(read_export(path.read_bytes())) == 5


def test_an_export_of_no_items_is_refused(europe: Continent) -> None:
    with pytest.raises(UsageError, match="no items to export; add --items frame"):
        publish(europe.store, "europe", choices=Choices(geoparquet=True))
    assert not Path(europe.path / "collection.json").exists()


def test_what_is_no_such_file_is_refused() -> None:
    with pytest.raises(ValueError, match="Parquet"):
        read_export(b"PAR1 and nothing more")
