"""How `ndvi-archive serve` begins and ends."""

import json
import signal
import socket
from pathlib import Path

import pytest

from etl.load.folder import LocalFolder
from etl.transform.grid import Grid
from tests.catalog.archives import Continent
from tests.program import run

from .conftest import GRID
from .serving import ask, serving


@pytest.fixture
def europe(archive: Path) -> Continent:
    continent = Continent(LocalFolder(archive), "Europe", GRID)
    continent.append(["S3A"])
    return continent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well_when_told_to(europe: Continent, archive: Path, number: signal.Signals) -> None:
    with serving(archive) as server:
        assert ask(server.url, "/").status == 200
        server.process.send_signal(number)
        out, err = server.process.communicate(timeout=60)

    assert (server.process.returncode, out, err) == (0, "", "")
    assert server.line == f"Serving {archive} at {server.url}/\n"


def test_it_listens_on_this_machine_only_unless_told_otherwise(europe: Continent, archive: Path) -> None:
    with serving(archive) as server:
        assert server.url.startswith("http://127.0.0.1:")
    with serving(archive, "--host", "0.0.0.0") as server:  # noqa: S104 - that is what is tested
        assert ask(server.url, "/europe/ndvi.zarr/zarr.json").status == 200


def test_its_address_is_json_for_programs(europe: Continent, archive: Path) -> None:
    with serving(archive, variables={"NDVI_ARCHIVE_LOG_FORMAT": "json"}) as server:
        said = json.loads(server.line)

        assert said["archive"] == str(archive)
        assert ask(said["url"], "/").status == 200


def test_a_port_in_use_is_one_line(europe: Continent, archive: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--archive", archive, "--port", str(port))

    assert ended.code == 2
    assert ended.error == (
        f"cannot listen on port {port} of 127.0.0.1: Address already in use; give another --port or --host"
    )


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", ""])
def test_a_host_that_is_not_this_one_is_one_line(europe: Continent, archive: Path, host: str) -> None:
    ended = run("serve", "--archive", archive, "--port", "0", "--host", host)

    assert (ended.code, ended.out) == (2, "")
    assert ended.error.startswith(f"cannot listen on port 0 of {host}: ")


def test_without_an_archive_there_is_nothing_to_serve(archive: Path) -> None:
    ended = run("serve", "--archive", archive)

    assert ended.code == 2
    assert ended.error == (
        f"there is no archive in {archive}; check --archive, or run ndvi-archive convert first"
    )


def test_what_is_committed_meanwhile_is_served(europe: Continent, archive: Path) -> None:
    with serving(archive) as server:
        root = "/europe/ndvi.zarr/zarr.json"
        before, page = ask(server.url, root), ask(server.url, "/").body
        europe.append(["S3B", "S3A"])
        Continent(LocalFolder(archive), "Africa", Grid(3, 2, (0, 0, 3, 2))).append(["S3A"])

        after = ask(server.url, root, if_none_match=before.headers["etag"])

        assert after.status == 200
        assert b"Africa" not in page
        changed = ask(server.url, "/").body
        assert b"Africa" in changed
        assert b"S3A 2, S3B 1" in changed


@pytest.mark.parametrize(
    ("version", "said"),
    [(99, "has format 99; this program knows format"), (None, "is not an archive of this")],
)
def test_an_archive_of_which_nothing_can_be_read_is_not_served(
    europe: Continent, archive: Path, version: int | None, said: str
) -> None:
    path = archive / "europe/ndvi.zarr/zarr.json"
    root = json.loads(path.read_text())
    root["attributes"]["ndvi_archive_format"] = version
    path.write_text(json.dumps(root if version else {}))

    ended = run("serve", "--archive", archive, "--port", "0")

    assert ended.code == 6
    assert f"{archive}/europe/ndvi.zarr {said}" in ended.error
