"""One archive in a folder and in a bucket, both served by the program."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from etl.catalog.publish import publish
from etl.load.folder import LocalFolder
from etl.transform.grid import Grid
from tests.catalog.archives import Continent

from .serving import Serving, serving

GRID = Grid(23, 17, (-11.25, 34.1, 31.0625, 71.3))


@dataclass(frozen=True)
class Served:
    """An archive and its server.

    Attributes:
        folder: the archive, or a copy of it, in a folder.
        server: the program.
    """

    folder: Path
    server: Serving

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five frames of Europe with their catalog, and what else can lie in an archive."""
    root = tmp_path_factory.mktemp("served") / "archive"
    store = LocalFolder(root)
    europe = Continent(store, "Europe", GRID)
    europe.append(["S3A", "S3B", "S3A", "S3B", "S3A"])
    publish(store, "europe")
    for name in (
        ".lease",
        "europe/.lease",
        "europe/.outdated",
        "europe/.partial/0123",
        "europe/.rebuild/ndvi.zarr/zarr.json",
        "europe/runs/20250101.json",
        "europe/notes.txt",
        "europe/ndvi.zarr/.hidden",
        "notes.json",
        "Private/collection.json",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not for the public")
    return root


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Mapping[str, str]]:
    """A server that speaks S3, as the variables that lead there; it has the bucket `maps`."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    variables = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    client(variables).create_bucket(Bucket="maps")
    try:
        yield variables
    finally:
        server.stop()


def client(variables: Mapping[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN201 - boto3 has no types
    return boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_DEFAULT_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture(scope="module")
def from_folder(folder: Path) -> Iterator[Served]:
    with serving(folder) as server:
        yield Served(folder, server)


@pytest.fixture(scope="module")
def from_bucket(folder: Path, endpoint: Mapping[str, str]) -> Iterator[Served]:
    bucket = client(endpoint)
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.upload_file(path, "maps", f"ndvi/{path.relative_to(folder).as_posix()}")
    with serving("s3://maps/ndvi", variables=endpoint) as server:
        yield Served(folder, server)


@pytest.fixture(params=["folder", "bucket"])
def served(request: pytest.FixtureRequest) -> Served:
    """The archive, served from either."""
    found = request.getfixturevalue(f"from_{request.param}")
    assert isinstance(found, Served)
    return found
