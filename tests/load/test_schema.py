"""The Zarr group looks as the archive format says, to every kind of reader."""

import json
from typing import Any, NoReturn

import numpy as np
import pytest
import zarr
import zarr_cm
import zarr_cm.geo_proj
import zarr_cm.spatial
from pyproj import CRS
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from etl.load.folder import LocalFolder
from etl.load.schema import Layout, Schema, empty_group
from etl.transform.grid import Grid

from .archives import ALONG_TIME, SMALL, archive, frames, group_path

NO_TIME = -(2**63)
SECONDS = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}
LARGE = Schema("North America", Grid(1025, 700, (-170.0, 10.0, -50.1, 83.3)), 12)


def _documents(schema: Schema) -> dict[str, Any]:
    """All metadata documents of a new group, the root's own under the empty name."""
    return {
        key.removesuffix("zarr.json").removesuffix("/"): json.loads(data)
        for key, data in empty_group(schema).items()
        if key.endswith("zarr.json")
    }


def _group(schema: Schema) -> zarr.Group:
    to_buffer = default_buffer_prototype().buffer.from_bytes
    store = MemoryStore({key: to_buffer(data) for key, data in empty_group(schema).items()})
    return zarr.open_group(store, mode="r")


def _array(schema: Schema, name: str) -> zarr.Array[Any]:
    array = _group(schema)[name]
    assert isinstance(array, zarr.Array)
    return array


@pytest.mark.parametrize(
    ("name", "dtype", "fill_value"),
    [
        ("time", "int64", NO_TIME),
        ("satellite", "int8", 0),
        ("frame_number", "int32", -1),
        ("source_min", "float64", np.nan),
        ("source_max", "float64", np.nan),
        ("valid_fraction", "float32", np.nan),
        ("ndvi_mean", "float32", np.nan),
        ("checksum", "uint32", 0),
        ("archived_at", "int64", NO_TIME),
    ],
)
def test_arrays_along_time_are_stored_as_the_format_says(name: str, dtype: str, fill_value: float) -> None:
    array = _array(SMALL, name)
    assert array.dtype == np.dtype(dtype)
    np.testing.assert_equal(array.fill_value, array.dtype.type(fill_value))
    assert (array.shape, array.chunks, array.shards) == ((0,), (4096,), None)
    assert array.metadata.dimension_names == ("time",)  # type: ignore[union-attr]


def test_the_group_holds_the_arrays_of_the_format_and_no_other() -> None:
    assert sorted(_group(SMALL).array_keys()) == sorted(("ndvi", *ALONG_TIME, "latitude", "longitude", "crs"))
    assert list(_group(SMALL).group_keys()) == []


@pytest.mark.parametrize(
    ("layout", "shards"), [("sharded", (1, 1024, 1536)), ("flat", None)], ids=["sharded", "flat"]
)
def test_ndvi_has_chunks_of_512_and_one_shard_a_frame_unless_flat(
    layout: Layout, shards: tuple[int, ...] | None
) -> None:
    array = _array(Schema(LARGE.continent, LARGE.grid, 12, layout), "ndvi")
    assert array.dtype == np.int16
    assert array.fill_value == -32768
    assert array.shape == (0, 700, 1025)
    assert (array.chunks, array.shards) == ((1, 512, 512), shards)
    assert array.metadata.dimension_names == ("time", "latitude", "longitude")  # type: ignore[union-attr]


@pytest.mark.parametrize("layout", ["sharded", "flat"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (512, 512), (513, 511), (3, 2000)])
def test_a_frame_is_one_object_or_one_a_chunk(
    store: LocalFolder, layout: Layout, rows: int, columns: int
) -> None:
    schema = Schema("Europe", Grid(columns, rows, (0.0, 0.0, 10.0, 10.0)), 12, layout)
    archive(store, frames([1], schema), schema)
    found = [path for path in (group_path(store) / "ndvi" / "c" / "0").rglob("*") if path.is_file()]
    assert len(found) == (1 if layout == "sharded" else -(-rows // 512) * -(-columns // 512))


def test_ndvi_is_packed_as_cf_and_zarr_both_say() -> None:
    document = _documents(SMALL)["ndvi"]
    attributes = document["attributes"]
    assert document["fill_value"] == attributes["_FillValue"] == -32768
    assert attributes["scale_factor"] == 0.0001
    assert attributes["standard_name"] == "normalized_difference_vegetation_index"
    assert attributes["units"] == "1"
    assert attributes["grid_mapping"] == "crs"
    assert attributes["source_bits"] == 12
    assert sorted(attributes["coordinates"].split()) == sorted(set(ALONG_TIME) - {"time"})


def test_times_and_satellites_are_described_as_cf_says() -> None:
    documents = _documents(SMALL)
    time, archived_at = documents["time"]["attributes"], documents["archived_at"]["attributes"]
    assert time["standard_name"] == "time"
    assert time["axis"] == "T"
    assert SECONDS.items() <= time.items()
    assert SECONDS.items() <= archived_at.items()
    satellite = documents["satellite"]["attributes"]
    assert satellite["flag_values"] == [1, 2, 3, 4]
    assert satellite["flag_meanings"] == "S3A S3B S3C S3D"


@pytest.mark.parametrize(
    ("name", "units", "axis"), [("latitude", "degrees_north", "Y"), ("longitude", "degrees_east", "X")]
)
def test_coordinates_are_the_grid_in_one_chunk(name: str, units: str, axis: str) -> None:
    array = _array(LARGE, name)
    np.testing.assert_array_equal(array[:], getattr(LARGE.grid, name))
    assert array.dtype == np.float64
    assert array.chunks == array.shape
    assert np.isnan(array.fill_value)
    assert array.metadata.dimension_names == (name,)  # type: ignore[union-attr]
    assert {"standard_name": name, "units": units, "axis": axis}.items() <= dict(array.attrs).items()


def test_the_crs_is_epsg_4326_with_the_grids_geotransform() -> None:
    array = _array(LARGE, "crs")
    attributes = dict(array.attrs)
    assert array.shape == ()
    assert array[()] == 4326
    assert CRS.from_wkt(str(attributes["crs_wkt"])) == CRS.from_epsg(4326)
    assert tuple(map(float, str(attributes["GeoTransform"]).split())) == LARGE.grid.geotransform
    assert CRS.from_cf(attributes).equals(CRS.from_epsg(4326), ignore_axis_order=True)


@pytest.mark.parametrize("schema", [SMALL, LARGE], ids=["small", "large"])
def test_group_and_ndvi_follow_the_spatial_and_proj_conventions(schema: Schema) -> None:
    documents = _documents(schema)
    ndvi = documents["ndvi"]
    ndvi["shape"][0] = 3
    for document in (documents[""], ndvi):
        attributes = document["attributes"]
        zarr_cm.validate_all(attributes)
        assert all(zarr_cm.detect_revisions(attributes)[name] for name in ("spatial", "proj"))
        zarr_cm.spatial.validate_node_metadata(document)
        zarr_cm.geo_proj.validate_node_metadata(document)
        assert attributes["spatial:transform_type"] == "affine"
        assert attributes["spatial:transform"] == list(schema.grid.affine)
        assert attributes["spatial:registration"] == "pixel"
        assert attributes["spatial:bbox"] == list(schema.grid.bbox)
        assert attributes["spatial:shape"] == ndvi["shape"][1:] == [schema.grid.rows, schema.grid.columns]
        assert attributes["spatial:dimensions"] == ndvi["dimension_names"][1:]
        assert attributes["proj:code"] == "EPSG:4326"


def test_metadata_is_json_that_strict_parsers_accept(store: LocalFolder) -> None:
    def refuse(token: str) -> NoReturn:
        raise AssertionError(f"{token} is not JSON")

    archive(store, frames(range(1, 6)))
    documents = list(group_path(store).rglob("zarr.json"))
    assert len(documents) == 1 + 1 + len(ALONG_TIME) + 3
    for path in documents:
        json.loads(path.read_bytes(), parse_constant=refuse)


def test_each_arrays_own_metadata_is_what_the_root_consolidates(store: LocalFolder) -> None:
    archive(store, frames(range(1, 4)))
    archive(store, frames(range(4, 6)))
    root = json.loads((group_path(store) / "zarr.json").read_bytes())
    consolidated = root["consolidated_metadata"]["metadata"]
    assert len(consolidated) == 1 + len(ALONG_TIME) + 3
    for name, document in consolidated.items():
        assert json.loads((group_path(store) / name / "zarr.json").read_bytes()) == document


def test_no_attribute_gives_a_valid_range_that_tilers_misread() -> None:
    for document in _documents(SMALL).values():
        assert not {"valid_min", "valid_max", "valid_range"} & set(document["attributes"])


def test_no_array_is_of_text() -> None:
    numbers = {"int8", "int16", "int32", "int64", "uint32", "float32", "float64"}
    documents = _documents(SMALL)
    root = documents.pop("")
    assert {document["data_type"] for document in documents.values()} <= numbers
    assert (root["zarr_format"], root["node_type"]) == (3, "group")
    assert root["attributes"]["Conventions"] == "CF-1.11"
    assert root["attributes"]["ndvi_archive_format"] == 1
    assert root["attributes"]["continent"] == "Europe"
