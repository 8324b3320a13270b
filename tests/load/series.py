"""Series to look at: frames large enough for two bands, and what readers must find of them."""

from collections.abc import Sequence

import numpy as np
import zarr
from numpy.typing import NDArray

from etl.load.inventory import read_inventory
from etl.load.recovery import recover
from etl.load.schema import Schema
from etl.load.stores import Store
from etl.pipeline.optimizing import Optimization, SeriesReport, extend
from etl.transform.grid import Grid

from .archives import FOLDER, archive, expected, frames

WIDE = Schema("Europe", Grid(35, 520, (-11.25, 34.1, 31.0625, 71.3)), 12)
"""Two bands of one shard each, neither of them full: 17 and 2 chunks."""

PERIOD = 4


def archive_frames(store: Store, numbers: Sequence[int], schema: Schema = WIDE) -> None:
    archive(store, frames(numbers, schema), schema)


def optimize(store: Store, *, rewrite: bool = False) -> SeriesReport:
    """Extend the series as the command does, without the catalog."""
    report = SeriesReport("Europe", str(store))
    inventory = recover(store, FOLDER)
    assert inventory is not None
    extend(inventory, Optimization("Europe", str(store), PERIOD, rewrite), report)
    return report


def length_of_series(store: Store) -> int:
    """Frames in the series, by the root."""
    inventory = read_inventory(store, FOLDER)
    assert inventory is not None
    document = inventory.root["consolidated_metadata"]["metadata"].get("series/ndvi")
    return int(document["shape"][0]) if document else 0


def assert_series(found: zarr.Group, numbers: Sequence[int], schema: Schema = WIDE) -> None:
    """A series holds these frames, each value of them."""
    wanted = expected(frames(numbers, schema))
    for name in ("ndvi", "time", "satellite"):
        np.testing.assert_array_equal(values(found, name), wanted[name], err_msg=name)
    np.testing.assert_array_equal(values(found, "latitude"), schema.grid.latitude)
    np.testing.assert_array_equal(values(found, "longitude"), schema.grid.longitude)


def values(group: zarr.Group, name: str) -> NDArray[np.generic]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return np.asarray(array[...])
