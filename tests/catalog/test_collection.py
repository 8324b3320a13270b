"""A continent's collection, field by field, against its store as xarray and zarr read it."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import xarray as xr
import zarr
from pystac.validation import JsonSchemaSTACValidator, validate_dict

import etl
from etl.catalog.collection import build_collection
from etl.catalog.colormap import colour
from etl.catalog.documents import to_json
from etl.catalog.publish import publish
from etl.catalog.style import Choices
from etl.catalog.templates import PLACEHOLDERS, load_template
from etl.load.folder import LocalFolder
from etl.transform.grid import Grid

from .archives import NO_DATA, Continent
from .reading import Document, read_json


@pytest.fixture
def collection(europe: Continent) -> Document:
    publish(europe.store, europe.folder)
    return read_json(europe.path / "collection.json")


@pytest.fixture
def frames(europe: Continent) -> xr.Dataset:
    dataset: xr.Dataset = xr.open_zarr(europe.path / "ndvi.zarr")
    return dataset


@pytest.fixture
def group(europe: Continent) -> zarr.Group:
    return zarr.open_group(europe.path / "ndvi.zarr", mode="r")


def times(frames: xr.Dataset) -> list[str]:
    return [f"{time}Z" for time in frames["time"].values.astype("datetime64[s]")]


def edges(frames: xr.Dataset, name: str) -> list[float]:
    """Outer edges of an axis, from its pixel centres."""
    centres = np.sort(frames[name].values)
    half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2
    return [float(centres[0] - half), float(centres[-1] + half)]


@pytest.mark.parametrize("kind", ["catalog", "collection"])
def test_it_is_valid_stac_without_any_network(
    europe: Continent, collection: Document, validator: JsonSchemaSTACValidator, kind: str
) -> None:
    document = collection if kind == "collection" else read_json(europe.store.root / "catalog.json")
    schemas = validate_dict(document, validator=validator)
    expected = [f"https://schemas.stacspec.org/v1.1.0/{kind}-spec/json-schema/{kind}.json"]
    assert schemas == expected + document.get("stac_extensions", [])


def test_the_validator_does_reject(collection: Document, validator: JsonSchemaSTACValidator) -> None:
    collection["cube:dimensions"]["longitude"]["extent"] = [None, 3]
    with pytest.raises(pystac.STACValidationError, match="datacube"):
        validate_dict(collection, validator=validator)


def test_it_declares_the_extensions_it_uses(collection: Document) -> None:
    declared = {
        "cf": "0.3.0",
        "datacube": "2.3.0",
        "processing": "1.2.0",
        "projection": "2.0.0",
        "raster": "2.0.0",
        "render": "2.0.0",
        "scientific": "1.0.0",
        "version": "1.2.0",
        "zarr": "1.1.0",
    }
    assert sorted(collection["stac_extensions"]) == [
        f"https://stac-extensions.github.io/{name}/v{version}/schema.json"
        for name, version in declared.items()
    ]


def test_the_spatial_extent_is_the_outer_edges_of_the_pixels(
    collection: Document, frames: xr.Dataset
) -> None:
    (west, east), (south, north) = edges(frames, "longitude"), edges(frames, "latitude")
    [bbox] = collection["extent"]["spatial"]["bbox"]
    assert bbox == pytest.approx([west, south, east, north], rel=1e-12)


def test_the_temporal_extent_is_the_first_and_the_last_frame(
    collection: Document, frames: xr.Dataset
) -> None:
    assert collection["extent"]["temporal"]["interval"] == [[times(frames)[0], times(frames)[-1]]]


def test_the_time_dimension_lists_every_frame(collection: Document, frames: xr.Dataset) -> None:
    assert collection["cube:dimensions"]["time"] == {
        "type": "temporal",
        "description": frames["time"].attrs["long_name"],
        "extent": [times(frames)[0], times(frames)[-1]],
        "values": times(frames),
        "step": None,
    }


@pytest.mark.parametrize(("name", "axis"), [("longitude", "x"), ("latitude", "y")])
def test_a_spatial_dimension_is_that_of_the_store(
    collection: Document, frames: xr.Dataset, name: str, axis: str
) -> None:
    dimension = collection["cube:dimensions"][name]
    assert dimension.pop("extent") == pytest.approx(edges(frames, name), rel=1e-12)
    assert dimension.pop("step") == pytest.approx(np.abs(np.diff(frames[name])).mean(), rel=1e-12)
    assert dimension == {
        "type": "spatial",
        "axis": axis,
        "description": frames[name].attrs["long_name"],
        "unit": frames[name].attrs["units"],
        "reference_system": int(frames["crs"]),
    }


def test_the_dimensions_are_those_of_the_store(collection: Document, frames: xr.Dataset) -> None:
    assert set(collection["cube:dimensions"]) == set(frames.sizes)


def test_every_other_array_is_a_variable(collection: Document, group: zarr.Group) -> None:
    assert set(collection["cube:variables"]) == set(group.array_keys()) - {"time", "latitude", "longitude"}


def test_a_variable_is_described_as_the_array_it_is(collection: Document, group: zarr.Group) -> None:
    for name, variable in collection["cube:variables"].items():
        array = group[name]
        assert isinstance(array, zarr.Array)
        assert variable["type"] == ("data" if name == "ndvi" else "auxiliary")
        assert variable["dimensions"] == list(array.metadata.dimension_names or [])  # type: ignore[union-attr]
        assert variable["data_type"] == array.dtype.name
        assert variable.get("unit") == array.attrs.get("units")
        assert variable.get("description", "").startswith(str(array.attrs.get("long_name", "")))
        is_nan = array.dtype.kind == "f" and np.isnan(array.fill_value)
        assert variable.get("nodata") == ("nan" if is_nan else array.attrs.get("_FillValue"))
        assert variable.get("cf:standard_name") == array.attrs.get("standard_name")


def test_ndvi_comes_first_and_says_how_it_is_packed(collection: Document, group: zarr.Group) -> None:
    name, ndvi = next(iter(collection["cube:variables"].items()))
    assert name == "ndvi"
    assert ndvi["nodata"] == group["ndvi"].fill_value == -32768  # type: ignore[union-attr]
    assert ndvi["description"].endswith(f"stored number × {group['ndvi'].attrs['scale_factor']}")


def test_flags_are_explained(collection: Document) -> None:
    assert "1 = S3A, 2 = S3B" in collection["cube:variables"]["satellite"]["description"]


def test_the_summaries_are_those_of_the_frames(collection: Document, frames: xr.Dataset) -> None:
    assert sorted(set(frames["satellite"].values.tolist())) == [1, 2]
    summaries = collection["summaries"]
    for name in ("valid_fraction", "ndvi_mean"):
        span = summaries.pop(f"ndvi_archive:{name}")
        assert np.float32(span["minimum"]) == frames[name].min()
        assert np.float32(span["maximum"]) == frames[name].max()
        assert span["minimum"] < span["maximum"]
    assert summaries == {
        "constellation": ["sentinel-3"],
        "instruments": ["olci", "slstr"],
        "platform": ["sentinel-3a", "sentinel-3b"],
        "gsd": [pytest.approx((71.3 - 34.1) / 17 * 111_133, rel=1e-4)],
        "proj:code": ["EPSG:4326"],
    }


def test_the_summaries_of_frames_without_data_have_no_range_of_means(store: LocalFolder) -> None:
    continent = Continent(store, "Asia", Grid(9, 7, (0.0, 0.0, 9.0, 7.0)))
    continent.append(["S3A"], NO_DATA)
    summaries = build_collection(continent.inventory, load_template("collection.json"), "").summaries
    assert summaries.to_dict()["ndvi_archive:valid_fraction"] == {"minimum": 0.0, "maximum": 0.0}
    assert "ndvi_archive:ndvi_mean" not in summaries.to_dict()


def test_the_frames_are_counted(collection: Document, frames: xr.Dataset) -> None:
    flags = frames["satellite"].values.tolist()
    assert collection["ndvi_archive:frames"] == frames.sizes["time"] == 4
    assert collection["ndvi_archive:frames_by_platform"] == {
        "sentinel-3a": flags.count(1),
        "sentinel-3b": flags.count(2),
    }
    assert collection["ndvi_archive:format"] == frames.attrs["ndvi_archive_format"]


def test_it_was_created_with_its_first_and_updated_with_its_last_frame(europe: Continent) -> None:
    first = datetime(2025, 3, 1, 6, 0, 9, tzinfo=UTC).timestamp()
    archived_at = np.array([first, first, first, first + 86400], np.int64)
    inventory = replace(europe.inventory, columns={**europe.inventory.columns, "archived_at": archived_at})
    collection = json.loads(to_json(build_collection(inventory, load_template("collection.json"), "Root")))
    assert (collection["created"], collection["updated"]) == ("2025-03-01T06:00:09Z", "2025-03-02T06:00:09Z")


def test_its_dates_are_those_of_the_store(collection: Document, frames: xr.Dataset) -> None:
    archived = frames["archived_at"].values.astype("datetime64[s]")
    assert (collection["created"], collection["updated"]) == (f"{archived[0]}Z", f"{archived[-1]}Z")


def test_the_asset_is_the_group_itself(collection: Document, europe: Continent, group: zarr.Group) -> None:
    root = read_json(europe.path / "ndvi.zarr" / "zarr.json")
    ndvi, attributes = collection["assets"]["ndvi"], group["ndvi"].attrs.asdict()
    for text in ("title", "description", "processing:lineage", "processing:software", "bands"):
        assert ndvi.pop(text)
    assert ndvi == {
        "href": "./ndvi.zarr",
        "type": "application/vnd.zarr; version=3",
        "roles": ["data"],
        "zarr:consolidated": "consolidated_metadata" in root,
        "zarr:node_type": root["node_type"],
        "zarr:zarr_format": group.metadata.zarr_format,
        "proj:code": attributes["proj:code"],
        "proj:bbox": attributes["spatial:bbox"],
        "proj:shape": attributes["spatial:shape"],
        "proj:transform": attributes["spatial:transform"],
    }


def test_the_band_is_the_array(collection: Document, group: zarr.Group) -> None:
    ndvi = group["ndvi"]
    assert isinstance(ndvi, zarr.Array)
    [band] = collection["assets"]["ndvi"]["bands"]
    latitude = np.asarray(group["latitude"][:])  # type: ignore[index]
    metres = 6_367_449 * np.radians(latitude[0] - latitude[1])
    assert band.pop("raster:spatial_resolution") == pytest.approx(metres, rel=1e-4)
    assert band == {
        "name": "ndvi",
        "description": ndvi.attrs["long_name"],
        "data_type": ndvi.dtype.name,
        "nodata": ndvi.fill_value,
        "unit": ndvi.attrs["units"],
        "cf:standard_name": "normalized_difference_vegetation_index",
        "raster:scale": ndvi.attrs["scale_factor"],
        "raster:offset": 0,
        "raster:sampling": "area",
    }


def test_it_tells_how_the_values_were_made_and_by_what(collection: Document) -> None:
    ndvi = collection["assets"]["ndvi"]
    assert ndvi["processing:software"] == {"ndvi-archive": etl.__version__}
    assert "code / 4095 × (maximum − minimum) + minimum" in ndvi["processing:lineage"]


def test_the_rendering_has_the_colours_of_the_quicklooks(collection: Document) -> None:
    [(name, render)] = collection["renders"].items()
    assert render["assets"] == [name] == ["ndvi"]
    [[first, last]] = render["rescale"]
    assert list(render["colormap"]) == [str(index) for index in range(256)]
    index = np.arange(256)
    stored = np.rint(first + index * (last - first) / 255).astype(np.int16)
    table = np.array([list(bytes.fromhex(each.removeprefix("#"))) for each in render["colormap"].values()])
    shown = index > 14
    np.testing.assert_array_equal(table[shown], colour(stored)[shown])
    np.testing.assert_array_equal(table[:, 3], np.where(index >= 14, 255, 0))
    assert render["nodata"] == -32768


def test_there_is_a_link_to_the_store(collection: Document) -> None:
    [link] = [link for link in collection["links"] if link["rel"] == "store"]
    ndvi = collection["assets"]["ndvi"]
    assert (link["href"], link["type"]) == (ndvi["href"], ndvi["type"])


def test_the_quicklooks_name_their_frame(collection: Document, frames: xr.Dataset) -> None:
    shown = frames.isel(time=-1)
    satellite = {1: "S3A", 2: "S3B"}[int(shown["satellite"])]
    for name, roles in {"overview": ["overview", "visual"], "thumbnail": ["thumbnail"]}.items():
        asset = collection["assets"][name]
        assert (asset["href"], asset["type"], asset["roles"]) == (f"./{name}.png", "image/png", roles)
        assert asset["datetime"] == times(frames)[-1]
        assert asset["platform"] == f"sentinel-3{satellite[-1].lower()}"
        assert f"{asset['datetime'][:10]} ({satellite})" in asset["title"]


@pytest.mark.parametrize("kind", ["catalog", "collection"])
def test_links_are_relative_and_titled_and_none_is_self(
    europe: Continent, collection: Document, kind: str
) -> None:
    home = europe.store.root if kind == "catalog" else europe.path
    document = read_json(home / "catalog.json") if kind == "catalog" else collection
    for link in document["links"]:
        assert link["rel"] != "self"
        assert link["title"]
        if link["rel"] not in {"license", "about"}:
            assert re.match(r"\.\.?/", link["href"])
            assert (home / link["href"]).exists()
    for asset in document.get("assets", {}).values():
        assert re.match(r"\./", asset["href"])
        assert (home / asset["href"]).exists()


@pytest.mark.parametrize("kind", ["catalog", "collection"])
def test_with_a_public_url_all_links_are_absolute_and_it_names_itself(europe: Continent, kind: str) -> None:
    public = "https://example.org/data/ndvi"
    publish(europe.store, europe.folder, choices=Choices(public_url=f"{public}/"))
    key = "catalog.json" if kind == "catalog" else "europe/collection.json"
    document = read_json(europe.store.root / key)
    [own] = [link for link in document["links"] if link["rel"] == "self"]
    assert (own["href"], own["title"]) == (f"{public}/{key}", document["title"])
    hrefs = [link["href"] for link in document["links"] if link["rel"] not in {"license", "about"}]
    hrefs += [asset["href"] for asset in document.get("assets", {}).values()]
    for href in hrefs:
        assert href.startswith(f"{public}/")
        assert (europe.store.root / href.removeprefix(f"{public}/")).exists()
    assert f'archive = "{public}"' in read_json(europe.path / "collection.json")["description"]


def test_the_licence_is_linked(collection: Document) -> None:
    assert collection["license"] == "other"
    assert [link["title"] for link in collection["links"] if link["rel"] == "license"]


def test_root_parent_and_child_agree(europe: Continent, collection: Document) -> None:
    catalog = pystac.Catalog.from_file(europe.store.root / "catalog.json")
    [child] = catalog.get_children()
    assert (child.id, child.title) == (collection["id"], collection["title"])
    assert [link.title for link in catalog.get_child_links()] == [child.title]
    for rel in ("root", "parent"):
        [link] = child.get_links(rel)
        assert link.title == catalog.title


def test_the_texts_tell_of_this_archive(europe: Continent, collection: Document) -> None:
    assert collection["title"] == "Sentinel-3 NDVI of Europe"
    assert "${" not in json.dumps(collection)
    assert "${" not in (europe.store.root / "catalog.json").read_text()
    for part in (
        "Sentinel-3A and Sentinel-3B, 2025-01-01 to 2025-01-03",
        "23 × 17 pixels of 1.84° × 2.188°: about 124 km west to east at 53° N, 243 km north to south",
        "codes, 0 to 4095",
        "0.00012 where the range is 1",
        "at most 0.00005",
        "lossy",
        "Contains modified Copernicus Sentinel data 2025",
    ):
        assert part in collection["description"], part
    assert collection["version"] == collection["updated"][:10]
    assert "Contains modified Copernicus Sentinel data 2025" in collection["sci:citation"]


def test_it_follows_good_practice(collection: Document) -> None:
    assert re.fullmatch(r"[a-z0-9_-]+", collection["id"])
    assert collection["summaries"]
    assert len(collection["links"]) <= 20
    assert all(link["title"] for link in collection["links"])
    assert len(set(collection["keywords"])) == len(collection["keywords"]) > 5
    roles = {role for provider in collection["providers"] for role in provider["roles"]}
    assert roles == {"licensor", "producer", "processor", "host"}
    for asset in collection["assets"].values():
        assert {"title", "type", "roles"} <= set(asset)


def test_the_snippet_of_the_description_runs(
    europe: Continent, collection: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", collection["description"], re.DOTALL)
    monkeypatch.chdir(europe.store.root)
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102 - that it can be copied and run is what is tested
    ndvi = names["ndvi"].values
    stored = europe.inventory.frame(len(europe.inventory) - 1)
    np.testing.assert_array_equal(np.isfinite(ndvi), stored >= 500)
    np.testing.assert_allclose(ndvi[stored >= 500], stored[stored >= 500] * 0.0001, rtol=1e-6)


def test_the_file_is_readable_json(europe: Continent, collection: Document) -> None:
    text = (europe.path / "collection.json").read_text("utf-8")
    assert text == json.dumps(collection, indent=2, ensure_ascii=False) + "\n"
    assert "×" in text


def test_a_template_can_say_more(europe: Continent, tmp_path: Path) -> None:
    shipped = dict(load_template("collection.json").document)
    citation = "https://stac-extensions.github.io/scientific/v1.0.0/schema.json"
    shipped |= {"stac_extensions": [citation], "sci:citation": "Somebody, ${continent}, ${years}"}
    (tmp_path / "collection.json").write_text(json.dumps(shipped))
    template = load_template("collection.json", tmp_path)
    document = json.loads(to_json(build_collection(europe.inventory, template, "Root")))
    assert document["stac_extensions"][-1] == citation
    assert document["sci:citation"] == "Somebody, Europe, 2025"


def test_a_template_can_have_every_placeholder_that_there_is(europe: Continent, tmp_path: Path) -> None:
    every = "|".join(f"{name}=${{{name}}}" for name in PLACEHOLDERS)
    texts = {"id": "i", "title": "T", "description": every}
    (tmp_path / "collection.json").write_text(json.dumps(texts))
    template = load_template("collection.json", tmp_path)
    description = build_collection(europe.inventory, template, "Root").description
    assert [part.partition("=")[0] for part in description.split("|")] == list(PLACEHOLDERS)
    assert "$" not in description
