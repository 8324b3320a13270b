"""Readers that are not ours open the archive, over HTTP from `serve` and from a bucket: the same values."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests
import tensorstore
import xarray as xr
import zarr
from numpy.typing import NDArray
from obstore.store import HTTPStore, S3Store
from zarr.storage import ObjectStore

from etl.load.archive import Appender
from etl.load.bucket import Bucket
from etl.load.folder import LocalFolder
from etl.load.schema import Schema
from etl.load.stores import Store
from etl.transform.grid import Grid

from .load.archives import FOLDER, expected, frames
from .load.buckets import BUCKET, s3_server, variables
from .serve.serving import serving

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from obstore.store import ClientConfig

VIEWER = Path(__file__).parents[1] / "build" / "web" / "viewer"
"""Where scripts/build-web has put zarrita."""

NUMBERS = range(1, 5)
GRID = Grid(600, 530, (0.0, 0.0, 60.0, 53.0))
SCHEMAS = {
    "sharded": Schema("Europe", GRID, 12, "sharded"),
    "flat": Schema("Europe", GRID, 12, "flat"),
    "sharded, rebuilt": Schema("Europe", GRID, 12, "sharded", "v2"),
}


@dataclass(frozen=True)
class Place:
    """Where a reader finds a group.

    Attributes:
        url: http address of the group, or None.
        bucket: endpoint of the bucket that holds it, or None.
    """

    url: str | None = None
    bucket: str | None = None


def write(store: Store, schema: Schema) -> None:
    appender = Appender(store, FOLDER, schema)
    for each in frames(NUMBERS, replace(schema, layout="sharded", keys="default")):
        appender.append(each)
    appender.commit()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server whose bucket anyone may read, and only that: without credentials it lists nothing."""
    with s3_server() as address:
        # moto asks for an action of its own before it answers HEAD; S3 takes GetObject for both.
        actions = ["s3:GetObject", "s3:HeadObject"]
        everyone = {"Effect": "Allow", "Principal": "*", "Action": actions}
        policy = {"Version": "2012-10-17", "Statement": [everyone | {"Resource": f"arn:aws:s3:::{BUCKET}/*"}]}
        requests.put(f"{address}/{BUCKET}?policy", json=policy, timeout=30).raise_for_status()
        yield address


@pytest.fixture(
    scope="module", params=[(kind, where) for kind in SCHEMAS for where in ("serve", "bucket")], ids=" ".join
)
def place(
    request: pytest.FixtureRequest, endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    kind, where = request.param
    if where == "serve":
        root: Path = tmp_path_factory.mktemp("archive") / "archive"
        write(LocalFolder(root), SCHEMAS[kind])
        with serving(root) as server:
            yield Place(url=f"{server.url}/{FOLDER}/ndvi.zarr")
        return
    before = dict(os.environ)
    os.environ.update(variables(endpoint))
    try:
        store = Bucket(f"s3://{BUCKET}/{kind.replace(', ', '-')}")
        write(store, SCHEMAS[kind])
        yield Place(bucket=f"{kind.replace(', ', '-')}/{FOLDER}/ndvi.zarr")
    finally:
        os.environ.clear()
        os.environ.update(before)


def zarr_store(place: Place) -> ObjectStore[Any]:
    options: ClientConfig = {"allow_http": True}
    if place.url:
        return ObjectStore(HTTPStore.from_url(place.url, client_options=options), read_only=True)
    return ObjectStore(S3Store(BUCKET, prefix=place.bucket, client_options=options), read_only=True)


def with_xarray(place: Place) -> NDArray[Any]:
    opened = xr.open_zarr(place.url or zarr_store(place), mask_and_scale=False)
    return np.asarray(opened.ndvi.values)


def with_zarr_python(place: Place) -> NDArray[Any]:
    return np.asarray(zarr.open_array(zarr_store(place), path="ndvi", mode="r")[:])


def with_zarrs(place: Place) -> NDArray[Any]:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return with_zarr_python(place)


def with_tensorstore(place: Place) -> NDArray[Any]:
    kvstore: dict[str, Any] = {"driver": "http", "base_url": f"{place.url}/ndvi/"}
    if place.bucket:
        kvstore = {
            "driver": "s3",
            "bucket": BUCKET,
            "path": f"{place.bucket}/ndvi/",
            "endpoint": os.environ["AWS_ENDPOINT_URL"],
            "aws_region": os.environ["AWS_REGION"],
        }
    opened = tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, open=True, read=True).result()
    return np.asarray(opened.read().result())


def with_zarrita(place: Place) -> NDArray[Any]:
    """In Node; from a bucket as from a public one, by the addresses of its objects."""
    if shutil.which("node") is None or not (VIEWER / "node_modules/zarrita").is_dir():
        pytest.skip("NOT TESTED WITH ZARRITA: there is no node, or scripts/build-web has not run here")
    url = place.url or f"{os.environ['AWS_ENDPOINT_URL']}/{BUCKET}/{place.bucket}"
    script = f"""
        import * as zarr from "zarrita";
        const group = await zarr.open.v3(new zarr.FetchStore({json.dumps(url)}), {{ kind: "group" }});
        const ndvi = await zarr.open.v3(group.resolve("ndvi"), {{ kind: "array" }});
        const {{ data, shape }} = await zarr.get(ndvi);
        process.stdout.write(JSON.stringify([data.constructor.name, shape, Array.from(data)]));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        cwd=VIEWER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kind, shape, values = json.loads(done.stdout)
    return np.reshape(np.array(values, {"Int16Array": np.int16}[kind]), shape)


@pytest.mark.filterwarnings("ignore:Successfully reconstructed a store:RuntimeWarning")
@pytest.mark.parametrize("read", [with_xarray, with_zarr_python, with_zarrs, with_tensorstore, with_zarrita])
def test_a_reader_sees_every_value(place: Place, read: Callable[[Place], NDArray[Any]]) -> None:
    wanted = expected(frames(NUMBERS, SCHEMAS["sharded"]))["ndvi"]

    found = read(place)

    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, wanted)
