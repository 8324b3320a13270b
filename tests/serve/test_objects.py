"""Objects of an archive over HTTP, from a folder and from a bucket."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import requests
import xarray as xr

from tests.program import contents

from .conftest import Served, client
from .serving import ask, serving

ROOT = "/europe/ndvi.zarr/zarr.json"
FRAME = "/europe/ndvi.zarr/ndvi/c/0/0/0"
PUBLIC = ("catalog.json", "europe/collection.json", "europe/overview.png", "europe/thumbnail.png")


def bytes_of(served: Served, path: str) -> bytes:
    return (served.folder / path.lstrip("/")).read_bytes()


def test_every_object_of_the_archive_comes_as_it_is(served: Served) -> None:
    public = {
        name: data
        for name, data in contents(served.folder).items()
        if name in PUBLIC or (name.startswith("europe/ndvi.zarr/") and "/." not in name)
    }
    assert len(public) > 20

    for name, data in public.items():
        found = ask(served.url, f"/{name}")
        assert (found.status, found.body) == (200, data)
        assert found.headers["content-length"] == str(len(data))
        assert found.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=0-0", 0, 1),
        ("bytes=10-", 10, None),
        ("bytes=0-", 0, None),
        ("bytes=-20", -20, None),
        ("bytes=-99999999", 0, None),
        ("bytes=100-99999999", 100, None),
    ],
)
def test_a_range_is_sent_as_it_was_asked_for(
    served: Served, header: str, start: int, stop: int | None
) -> None:
    data = bytes_of(served, FRAME)
    first, after, _ = slice(start, stop).indices(len(data))

    found = ask(served.url, FRAME, range=header)

    assert (found.status, found.body) == (206, data[first:after])
    assert found.headers["content-range"] == f"bytes {first}-{after - 1}/{len(data)}"
    assert found.headers["content-length"] == str(after - first)


@pytest.mark.parametrize("header", ["bytes=99999999-", "bytes=99999999-99999999999", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused_with_the_length(served: Served, header: str) -> None:
    found = ask(served.url, FRAME, range=header)

    assert found.status == 416
    assert found.headers["content-range"] == f"bytes */{len(bytes_of(served, FRAME))}"


@pytest.mark.parametrize("header", ["bytes=0-1,4-5", "bytes=9-3", "lines=1-2", "nonsense"])
def test_what_is_no_single_range_gets_all(served: Served, header: str) -> None:
    found = ask(served.url, FRAME, range=header)

    assert (found.status, found.body) == (200, bytes_of(served, FRAME))


@pytest.mark.parametrize("path", ["/catalog.json", "/europe/thumbnail.png", ROOT, FRAME])
def test_head_answers_as_get_without_the_body(served: Served, path: str) -> None:
    got = ask(served.url, path)
    found = ask(served.url, path, "HEAD", range="bytes=0-9")

    assert (found.status, found.body) == (200, b"")
    assert {**found.headers, "date": ""} == {**got.headers, "date": ""}


def test_what_a_reader_has_already_is_not_sent_again(served: Served) -> None:
    etag = ask(served.url, ROOT).headers["etag"]

    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        found = ask(served.url, ROOT, if_none_match=known)
        assert (found.status, found.body) == (304, b"")
        assert found.headers["etag"] == etag
    assert ask(served.url, ROOT, if_none_match='"other"').body == bytes_of(served, ROOT)


def test_a_range_of_other_contents_than_there_are_gets_all(served: Served) -> None:
    etag = ask(served.url, FRAME).headers["etag"]

    same = ask(served.url, FRAME, range="bytes=0-9", if_range=etag)
    other = ask(served.url, FRAME, range="bytes=0-9", if_range='"other"')
    dated = ask(served.url, FRAME, range="bytes=0-9", if_range="Tue, 01 Jul 2025 00:00:00 GMT")

    assert (same.status, len(same.body)) == (206, 10)
    assert (other.status, other.body) == (dated.status, dated.body) == (200, bytes_of(served, FRAME))


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/catalog.json", "application/json"),
        ("/europe/collection.json", "application/json"),
        ("/europe/thumbnail.png", "image/png"),
        (ROOT, "application/json"),
        (FRAME, "application/octet-stream"),
    ],
)
def test_an_object_has_its_media_type(served: Served, path: str, media_type: str) -> None:
    assert ask(served.url, path).headers["content-type"] == media_type


def test_only_the_values_of_frames_may_be_kept_unasked(served: Served) -> None:
    for path in ("/catalog.json", "/europe/thumbnail.png", ROOT, "/europe/ndvi.zarr/ndvi/zarr.json"):
        assert ask(served.url, path).headers["cache-control"] == "no-cache"
    assert ask(served.url, "/europe/ndvi.zarr/time/c/0").headers["cache-control"] == "no-cache"
    assert ask(served.url, FRAME).headers["cache-control"] == "public, max-age=3600"
    assert "immutable" in ask(served.url, f"{FRAME}?crc32c=1234").headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    [
        "/.lease",
        "/europe/.lease",
        "/europe/.outdated",
        "/europe/.partial/0123",
        "/europe/.rebuild/ndvi.zarr/zarr.json",
        "/europe/runs/20250101.json",
        "/europe/notes.txt",
        "/europe/ndvi.zarr/.hidden",
        "/notes.json",
        "/Private/collection.json",
        "/europe",
        "/europe/",
        "/europe/ndvi.zarr",
        "/europe/ndvi.zarr/",
        "/europe/ndvi.zarr/ndvi/c/0/0/9",
        "/africa/collection.json",
    ],
)
def test_nothing_else_is_served(served: Served, path: str) -> None:
    for method in ("GET", "HEAD"):
        assert ask(served.url, path, method).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.json",
        "/europe/ndvi.zarr/../../../secret.json",
        "/europe/ndvi.zarr/%2e%2e/%2E%2e/%2e%2e/secret.json",
        "/europe/ndvi.zarr/..%2f..%2f..%2fsecret.json",
        "/europe/ndvi.zarr/%252e%252e/secret.json",
        "/europe/ndvi.zarr/..%5c..%5c..%5csecret.json",
        "/europe/ndvi.zarr/zarr.json%00",
        "/europe/ndvi.zarr/./zarr.json",
        "/europe//ndvi.zarr/zarr.json",
        "//europe/ndvi.zarr/zarr.json",
        "/europe/ndvi.zarr/zarr.json/",
        "/%2fetc/passwd",
        "/pages/../../app.py",
        "/pages/%2e%2e/app.py",
    ],
)
def test_no_path_leads_out_of_the_archive(served: Served, path: str) -> None:
    (served.folder.parent / "secret.json").write_text("{}")

    assert ask(served.url, path).status == 404


@pytest.mark.parametrize(
    "name",
    [
        "notes.json",
        "ndvi/notes",
        "ndvi/c/9/0/0",
        "ndvi/c/0/0/1",
        "other/c/0",
        "other/zarr.json",
        "ndvi/c/0/0/0.bak",
    ],
)
def test_what_the_metadata_do_not_name_is_not_served(from_folder: Served, name: str) -> None:
    stray = from_folder.folder / "europe/ndvi.zarr" / name
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_text("{}")
    try:
        for method in ("GET", "HEAD"):
            assert ask(from_folder.url, f"/europe/ndvi.zarr/{name}", method).status == 404
    finally:
        stray.unlink()


def test_frames_that_only_an_arrays_own_metadata_name_are_served(from_folder: Served) -> None:
    array = from_folder.folder / "europe/ndvi.zarr/ndvi"
    document = (array / "zarr.json").read_text()
    own = json.loads(document)
    frames, *rest = own["shape"]
    ahead = array / f"c/{frames}/0/0"
    ahead.parent.mkdir(parents=True)
    ahead.write_bytes(b"of a commit that was interrupted before the root")
    (array / "zarr.json").write_text(json.dumps(own | {"shape": [frames + 1, *rest]}))
    try:
        assert ask(from_folder.url, f"/europe/ndvi.zarr/ndvi/c/{frames}/0/0").body == ahead.read_bytes()
    finally:
        ahead.unlink()
        (array / "zarr.json").write_text(document)


def test_a_link_within_the_folder_is_not_followed(from_folder: Served) -> None:
    frame = from_folder.folder / FRAME.lstrip("/")
    moved = frame.rename(frame.with_name("moved"))
    frame.symlink_to(moved)
    try:
        assert ask(from_folder.url, FRAME).status == 404
    finally:
        frame.unlink()
        moved.rename(frame)


def test_a_link_out_of_the_folder_is_not_followed(from_folder: Served, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text("{}")
    link = from_folder.folder / "europe/ndvi.zarr/elsewhere.json"
    link.symlink_to(tmp_path / "elsewhere.json")
    try:
        assert ask(from_folder.url, "/europe/ndvi.zarr/elsewhere.json").status == 404
    finally:
        link.unlink()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "MKCOL"])
def test_nothing_can_be_written(served: Served, method: str) -> None:
    before = contents(served.folder)

    for path in ("/catalog.json", "/europe/new.json", "/"):
        found = ask(served.url, path, method, content_length="0")
        assert (found.status, found.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert contents(served.folder) == before


def test_pages_from_anywhere_may_read_ranges(served: Served) -> None:
    asked = {"origin": "https://maps.example", "access_control_request_method": "GET"}
    allowed = ask(served.url, FRAME, "OPTIONS", **asked, access_control_request_headers="range")
    answers = [
        ask(served.url, FRAME, range=header, origin=asked["origin"])
        for header in ("bytes=0-1", "bytes=99999999-")
    ]

    assert allowed.status == 204
    assert "Range" in allowed.headers["access-control-allow-headers"].split(", ")
    for found in (allowed, *answers, ask(served.url, "/missing"), ask(served.url, "/")):
        assert found.headers["access-control-allow-origin"] == "*"
        exposed = found.headers["access-control-expose-headers"].split(", ")
        assert {"Content-Range", "Content-Length", "ETag"} <= set(exposed)


def test_xarray_reads_over_http_what_is_in_the_store(served: Served) -> None:
    with xr.open_zarr(f"{served.url}/europe/ndvi.zarr") as found:
        here = xr.open_zarr(served.folder / "europe/ndvi.zarr")
        xr.testing.assert_identical(found.load(), here.load())
        assert np.isfinite(found.ndvi).any()


def test_an_object_that_was_replaced_is_another_one(from_folder: Served) -> None:
    path = from_folder.folder / "europe/collection.json"
    before, data = ask(from_folder.url, "/europe/collection.json"), path.read_bytes()
    # As the program writes: the new object takes the place of the old one.
    path.with_name(".new").write_bytes(data.replace(b"Europe", b"Eurasi"))
    path.with_name(".new").replace(path)

    after = ask(from_folder.url, "/europe/collection.json", if_none_match=before.headers["etag"])

    path.write_bytes(data)
    assert after.status == 200
    assert "Eurasi" in json.loads(after.body)["title"]


def test_a_storage_that_refuses_is_told_to_the_client_and_logged(endpoint: Mapping[str, str]) -> None:
    client(endpoint).put_object(Bucket="maps", Key="ndvi/catalog.json", Body=b"{}")
    with serving("s3://maps/ndvi", variables=endpoint) as server:
        # From now on the account is unknown there.
        requests.post(f"{endpoint['AWS_ENDPOINT_URL']}/moto-api/reset-auth", data="0", timeout=60)
        try:
            found = ask(server.url, "/catalog.json")
        finally:
            forever = str(math.inf)
            requests.post(f"{endpoint['AWS_ENDPOINT_URL']}/moto-api/reset-auth", data=forever, timeout=60)
        server.process.terminate()
        assert server.process.stderr is not None
        log = server.process.stderr.read()

    assert (found.status, found.body) == (502, b"the archive cannot be read just now\n")
    assert "WARNING cannot read s3://maps/ndvi/catalog.json: " in log
    assert log.count("\n") == 1
