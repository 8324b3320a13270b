"""Archives to catalogue, and the schemas to check against."""

import json
import socket
from pathlib import Path
from shutil import copytree

import pytest
from pystac.validation import JsonSchemaSTACValidator

from etl.load.folder import LocalFolder
from etl.transform.grid import Grid

from .archives import Continent

SCHEMAS = Path(__file__).parents[3] / "shared" / "stac-schemas"


@pytest.fixture
def store(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "archive")


@pytest.fixture(scope="session")
def _europe(tmp_path_factory: pytest.TempPathFactory) -> Continent:
    store = LocalFolder(tmp_path_factory.mktemp("europe"))
    continent = Continent(store, "Europe", Grid(23, 17, (-11.25, 34.1, 31.0625, 71.3)))
    continent.append(["S3A", "S3B", "S3A"])
    continent.append(["S3A"])
    return continent


@pytest.fixture
def europe(store: LocalFolder, _europe: Continent) -> Continent:
    """Four frames of two satellites on a grid whose steps and edges are no round numbers."""
    copytree(_europe.store.root, store.root, dirs_exist_ok=True)
    return Continent(store, "Europe", _europe.grid)


@pytest.fixture
def africa(store: LocalFolder) -> Continent:
    """One frame."""
    continent = Continent(store, "Africa", Grid(31, 40, (-20.0, -35.0, 55.0, 38.0)))
    continent.append(["S3B"])
    return continent


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every attempt to reach another machine fail."""

    def refuse(*_args: object) -> None:
        raise AssertionError("something reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def validator(no_network: None) -> JsonSchemaSTACValidator:
    """pystac's validator with the schemas of all extensions at hand."""
    if not SCHEMAS.is_dir():
        pytest.skip(f"NOT VALIDATED: the STAC schemas are not at {SCHEMAS}")
    validator = JsonSchemaSTACValidator()
    for path in SCHEMAS.rglob("*.json"):
        validator.schema_cache[f"https://{path.relative_to(SCHEMAS).as_posix()}"] = json.loads(
            path.read_text()
        )
    return validator
