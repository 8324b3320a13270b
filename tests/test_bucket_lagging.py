"""A bucket whose listings lack objects that are there: nothing is lost, and nothing is taken for missing."""

import json
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from etl.demo.service import StandIn
from tests.load.buckets import clean, faults, in_fork, outlive_all, raw, read, s3_server, variables
from tests.load.lagging import lag, lagging, left_out
from tests.program import Ended, convert, with_token
from tests.test_bucket_crashes import FOLDER, PLACE, assert_equals

FRAMES_OF_REBUILDS = rf"{FOLDER}/.*ndvi/3/0/0$"
"""One frame, in the side folder and beside the archived ones, with the chunk keys of a first rebuild."""


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[str, str]]:
    """The server, and the proxy before it."""
    with s3_server() as server, lagging(server) as proxy:
        yield server, proxy


@pytest.fixture
def server(both: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The server, as whoever reads asks it."""
    clean(both[0])
    lag(both[1])
    for name, value in variables(both[0]).items():
        monkeypatch.setenv(name, value)
    return both[0]


@pytest.fixture
def proxy(both: tuple[str, str], server: str) -> str:
    return both[1]


@pytest.fixture
def reference(service: StandIn, tmp_path: Path) -> Path:
    archive = tmp_path / "reference"
    assert convert(service, archive).code == 0
    return archive


def into_bucket(service: StandIn, proxy: str, *options: str) -> Ended:
    arguments = ("convert", "Europe", "--archive", PLACE, *options)
    return in_fork(proxy, *arguments, variables_too=with_token(service))


def test_a_rebuild_loses_no_frame_that_a_listing_lacks(
    service: StandIn, server: str, proxy: str, reference: Path
) -> None:
    assert into_bucket(service, proxy).code == 0
    lag(proxy, FRAMES_OF_REBUILDS)

    ended = into_bucket(service, proxy, "--rebuild")

    assert ended.code == 0, ended.err
    assert_equals(server, reference)
    assert into_bucket(service, proxy).code == 0
    assert_equals(server, reference)


def test_frames_that_are_taken_over_are_not_looked_up_in_a_listing(
    service: StandIn, server: str, proxy: str, reference: Path
) -> None:
    """The service lists them no more, so that there is no other place to take them from."""
    assert into_bucket(service, proxy).code == 0
    lag(proxy, rf"{FOLDER}/.*ndvi/(c/)?\d+/0/0$")

    ended = into_bucket(service, proxy, "--rebuild", "--start", "2021-03-06", "--end", "2021-03-07")

    assert ended.code == 0, ended.err
    assert_equals(server, reference)


def test_nothing_depends_on_a_listing_that_shows_nothing(
    service: StandIn, server: str, proxy: str, reference: Path
) -> None:
    lag(proxy, "")

    for options in (("--end", "2021-03-04", "--items", "frame"), (), ("--rebuild",)):
        ended = into_bucket(service, proxy, *options)
        assert ended.code == 0, ended.err
    optimized = in_fork(proxy, "optimize", "Europe", "--archive", PLACE, "--period", "4")
    assert optimized.code == 0, optimized.err
    catalogued = in_fork(proxy, "catalog", "--archive", PLACE)
    assert catalogued.code == 0, catalogued.err
    verified = in_fork(proxy, "verify", "--archive", PLACE)

    assert verified.code == 0, verified.err
    assert left_out(proxy) > 100
    links = json.loads(read(server, "ndvi/catalog.json"))["links"]
    assert [link["href"] for link in links if link["rel"] == "child"] == ["./europe/collection.json"]
    assert_equals(server, reference)


def test_what_an_interrupted_run_has_written_need_not_be_listed_for_the_next_one(
    service: StandIn, server: str, proxy: str, reference: Path
) -> None:
    lag(proxy, requests=300)
    for options, skip in (((), 10), (("--commit-frames", "5"), 40), (("--rebuild",), 50)):
        refused = {"fault": "answer", "path": "europe", "skip": skip, "status": 403, "code": "AccessDenied"}
        faults(server, refused)
        assert into_bucket(service, proxy, *options).code == 1
        faults(server)
        outlive_all(server, FOLDER, "ndvi")
    ended = into_bucket(service, proxy)

    assert ended.code == 0, ended.err
    assert left_out(proxy) > 0
    assert_equals(server, reference)


def test_an_object_of_a_rebuild_that_is_really_missing_ends_it_before_anything_is_replaced(
    service: StandIn, server: str, proxy: str, reference: Path
) -> None:
    assert into_bucket(service, proxy).code == 0
    root = read(server, f"{FOLDER}/ndvi.zarr/zarr.json")
    # Written out, it stops before what makes it the archived one.
    faults(
        server, {"fault": "answer", "path": r"\.rebuild/ready\.json$", "status": 403, "code": "AccessDenied"}
    )
    assert into_bucket(service, proxy, "--rebuild").code == 1
    faults(server)
    obstore.delete(raw(server), f"{FOLDER}/.rebuild/ndvi.zarr/ndvi/3/0/0")

    ended = into_bucket(service, proxy, "--rebuild")

    assert ended.code == 6
    assert ".rebuild/ndvi.zarr/ndvi/3/0/0 is missing; nothing was replaced" in ended.error
    assert read(server, f"{FOLDER}/ndvi.zarr/zarr.json") == root
    assert_equals(server, reference)
    assert into_bucket(service, proxy, "--rebuild").code == 0
    assert_equals(server, reference)
