"""What was appended reads back, value by value, with readers that are not ours."""

from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 - registers the `rio` accessor
import xarray as xr

from etl.errors import IncompatibleError
from etl.load.archive import Appender
from etl.load.folder import LocalFolder
from etl.load.inventory import read_inventory
from etl.load.schema import Layout, Schema
from etl.transform.grid import Grid
from etl.transform.packing import crc32c, recover_codes

from .archives import (
    ALONG_TIME,
    REAL,
    SMALL,
    archive,
    assert_holds,
    expected,
    frame,
    frames,
    group_path,
    inventory_of,
    objects,
    real_frames,
)

TILED = Grid(1030, 515, (-20.0, -35.0, 55.0, 38.0))
"""Wider and higher than a chunk, by a few pixels."""


def _open(store: LocalFolder, *, consolidated: bool = True) -> xr.Dataset:
    dataset: xr.Dataset = xr.open_zarr(group_path(store), consolidated=consolidated)
    return dataset


@pytest.mark.parametrize("name", REAL)
def test_real_ndvi_reads_back_to_its_last_code(store: LocalFolder, name: str) -> None:
    schema, packed, all_codes, ndvi = real_frames(name)
    archive(store, packed[:7], schema)
    archive(store, packed[7:], schema)
    assert_holds(store, packed)

    with _open(store) as dataset:
        decoded = dataset["ndvi"].values
        minimum, maximum = dataset["source_min"].values, dataset["source_max"].values
        satellites = dataset["satellite"].values
    assert set(satellites) == {1, 2} if "aqua" in name else {1}
    half_a_code = ((maximum - minimum) / 4095 / 2)[:, None, None]
    error = np.abs(decoded - ndvi)
    assert np.all((error <= half_a_code + 0.00005 + 1e-7) | np.isnan(ndvi))
    stored = inventory_of(store)
    for position, (each, codes) in enumerate(zip(packed, all_codes, strict=True)):
        values = stored.frame(position)
        np.testing.assert_array_equal(recover_codes(values, each.entry.scale), codes)
        assert crc32c(values) == stored.columns["checksum"][position]


@pytest.mark.parametrize("consolidated", [True, False], ids=["consolidated", "not consolidated"])
@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_xarray_reads_decoded_values_with_their_coordinates(
    store: LocalFolder, layout: Layout, consolidated: bool
) -> None:
    schema = Schema("Africa", TILED, 12, layout)
    packed = frames(range(1, 6), schema)
    archive(store, packed, schema)
    with _open(store, consolidated=consolidated) as dataset:
        assert dict(dataset.sizes) == {"time": 5, "latitude": 515, "longitude": 1030}
        assert list(dataset.data_vars) == ["ndvi"]
        assert set(dataset.coords) == {*ALONG_TIME, "latitude", "longitude", "crs"}
        stored = expected(packed)
        values = stored.pop("ndvi")
        np.testing.assert_array_equal(
            dataset["ndvi"].values, np.where(values == -32768, np.nan, values * 0.0001)
        )
        np.testing.assert_array_equal(
            dataset["time"].values, stored.pop("time").astype("datetime64[s]"), strict=False
        )
        for name, column in stored.items():
            np.testing.assert_array_equal(dataset[name].values, column, err_msg=name)
        assert np.issubdtype(dataset["archived_at"].dtype, np.datetime64)
        np.testing.assert_array_equal(dataset["latitude"].values, TILED.latitude)
        np.testing.assert_array_equal(dataset["longitude"].values, TILED.longitude)


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # from rioxarray itself
def test_rioxarray_finds_the_crs_and_the_pixels_edges(store: LocalFolder) -> None:
    archive(store, frames([1, 2]))
    with _open(store) as dataset:
        for found in (dataset["ndvi"].rio, dataset.rio):
            assert found.crs.to_epsg() == 4326
            assert found.bounds() == pytest.approx(SMALL.grid.bbox)
            assert tuple(found.transform())[:6] == pytest.approx(SMALL.grid.affine)


def test_dask_takes_one_frame_at_a_time(store: LocalFolder) -> None:
    archive(store, frames([1, 2, 3]))
    with _open(store) as dataset:
        assert dataset["ndvi"].chunks == ((1, 1, 1), (3,), (5,))
        assert dataset["ndvi"].encoding["chunks"] == (1, 3, 5)


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_other_bit_depths_are_archived_as_well(store: LocalFolder, bits: int) -> None:
    schema = Schema("Europe", SMALL.grid, bits)
    packed = frames(range(1, 4), schema)
    archive(store, packed, schema)
    assert_holds(store, packed)
    assert inventory_of(store).bits == bits


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_a_frame_of_fill_has_its_objects_like_any_other(store: LocalFolder, layout: Layout) -> None:
    schema = Schema("Africa", TILED, 12, layout)
    packed = [frame(3, schema), frame(4, schema)]
    assert np.all(packed[1].values == -32768)
    archive(store, packed, schema)
    chunks = group_path(store) / "ndvi" / "c"
    names = [_names(chunks / str(position)) for position in (0, 1)]
    assert names[0] == names[1]
    assert len(names[1]) == (1 if layout == "sharded" else 6)
    with _open(store) as dataset:
        assert dataset["ndvi"].isel(time=1).isnull().all()
        assert dataset["valid_fraction"].values[1] == 0


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_a_frame_whose_object_was_deleted_reads_as_no_data_and_never_as_zero(
    store: LocalFolder, layout: Layout
) -> None:
    schema = Schema("Africa", TILED, 12, layout)
    packed = frames([1, 2, 3], schema)
    archive(store, packed, schema)
    (group_path(store) / "ndvi" / "c" / "1" / "0" / "0").unlink()
    with _open(store) as dataset:
        decoded = dataset["ndvi"].values
    rows, columns = (512, 512) if layout == "flat" else (515, 1030)
    assert np.all(np.isnan(decoded[1, :rows, :columns]))
    decoded[1, :rows, :columns] = packed[1].values[:rows, :columns] * 0.0001
    np.testing.assert_array_equal(decoded, expected(packed)["ndvi"] * 0.0001)
    with pytest.raises(IncompatibleError, match="its values do not have its checksum"):
        inventory_of(store).frame(1)


def test_the_inventory_tells_what_was_archived(store: LocalFolder) -> None:
    packed = frames(range(1, 8))
    archive(store, packed)
    inventory = inventory_of(store)
    assert (len(inventory), inventory.continent, inventory.grid, inventory.bits) == (
        7,
        "Europe",
        SMALL.grid,
        12,
    )
    assert inventory.times == [each.entry.time for each in packed]
    assert inventory.satellites == [each.entry.satellite for each in packed]
    assert inventory.index == {
        (each.entry.time, each.entry.satellite): place for place, each in enumerate(packed)
    }
    for place, each in enumerate(packed):
        np.testing.assert_array_equal(inventory.frame(place), each.values)


def test_an_inventory_stays_as_it_was_read_while_frames_are_added(store: LocalFolder) -> None:
    archive(store, frames([1, 2]))
    inventory = inventory_of(store)
    with _open(store) as dataset:
        archive(store, frames([3, 4, 5]))
        assert len(inventory) == len(inventory.times) == 2
        np.testing.assert_array_equal(inventory.frame(1), frame(2).values)
        np.testing.assert_array_equal(dataset["frame_number"].values, [1, 2])
        assert dataset["ndvi"].values.shape == (2, 3, 5)


def test_continents_of_one_archive_do_not_touch(store: LocalFolder) -> None:
    archive(store, frames([1, 2]))
    before = objects(store)
    africa = Schema("Africa", TILED, 10)
    appender = Appender(store, "africa", africa)
    appender.append(frame(7, africa))
    appender.commit()
    assert objects(store) == before
    found = read_inventory(store, "africa")
    assert found is not None
    assert (found.continent, found.bits, found.grid) == ("Africa", 10, TILED)
    np.testing.assert_array_equal(found.frame(0), frame(7, africa).values)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
