"""Clients that mean no good, and archives that change under those that do."""

import json
import os
import resource
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import xarray as xr

from etl.demo.service import StandIn
from etl.extract.frame import Frame, FrameEntry
from etl.load.archive import Appender
from etl.load.folder import LocalFolder
from etl.load.schema import Schema
from etl.transform.grid import Grid
from etl.transform.packing import pack
from tests.catalog.archives import SCALE
from tests.program import convert

from .conftest import Served
from .serving import Serving, ask, serving

FRAME = "/europe/ndvi.zarr/ndvi/c/0/0/0"
ROOT = "/europe/ndvi.zarr/zarr.json"


def connected(server: Serving, request: bytes) -> socket.socket:
    """A connection on which a request was sent."""
    parts = urlsplit(server.url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)
    connection.sendall(request)
    return connection


def status(server: Serving, request: bytes) -> int:
    """The status of the answer to a request that is sent as it is."""
    with connected(server, request) as connection:
        return int(connection.makefile("rb").readline().split()[1])


def get(target: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join(
        [b"GET " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers, b"", b""]
    )


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (get(b"/europe/%ff%fe"), 404),
        (get(b"/\xff\xfe"), 400),
        (get(b"/europe\x00/zarr.json"), 400),
        (get(b"/" + b"a" * 40_000), 404),
        (get(b"/" + b"a" * 200_000), 400),
        (get(b"/europe/ndvi.zarr" + b"/a" * 5000), 404),
        (get(b"/" + b"a" * 5000 + b"/ndvi.zarr"), 404),
        (get(b"/europe/ndvi.zarr/" + b"a" * 5000), 404),
        (get(b"/europe/ndvi.zarr/ndvi/c/" + b"1" * 5000), 404),
        (get(b"/viewer/" + b"a" * 300), 404),
        (get(b"/pages//etc/passwd"), 404),
        (get(b"http://elsewhere.example/catalog.json"), 404),
        (get(FRAME.encode(), b"Range: bytes=" + b"0-1," * 10_000), 200),
        (get(FRAME.encode(), b"Range: bytes=0-" + b"9" * 40_000), 200),
        (get(FRAME.encode(), b"Range: bytes=999999999999999999-"), 416),
        (get(FRAME.encode(), b"Range: bytes=-999999999999999999"), 206),
        (get(ROOT.encode(), b"If-None-Match: " + b", ".join(b'"%d"' % each for each in range(3000))), 200),
        (get(b"/", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"), 200),
        (b"GET / HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n", 200),
        (b"GET /catalog.json HTTP/1.0\r\n\r\n", 200),
        (b"NONSENSE\r\n\r\n", 400),
    ],
    ids=[
        "escaped bytes that are no text",
        "bytes that are no text",
        "a NUL",
        "a long path",
        "a very long path",
        "a deep path",
        "a long name of a continent",
        "a long name of an array",
        "a long name of a chunk",
        "a long name of a page",
        "a path in a path",
        "an address elsewhere",
        "thousands of ranges",
        "a number of thousands of digits",
        "a range far behind the end",
        "a suffix longer than all",
        "thousands of entity tags",
        "another protocol",
        "a host that is none",
        "HTTP/1.0",
        "nonsense",
    ],
)
def test_what_no_reader_sends_is_answered_and_harms_nobody(
    served: Served, request_: bytes, expected: int
) -> None:
    assert status(served.server, request_) == expected
    assert ask(served.url, ROOT).status == 200


def test_what_clients_do_wrong_fills_no_log(folder: Path) -> None:
    with serving(folder) as server:
        upgrade = get(b"/", b"Connection: Upgrade", b"Upgrade: websocket")
        found = [status(server, request) for request in (b"NONSENSE\r\n\r\n", get(b"/\xff"), upgrade)]
        server.process.terminate()
        _, log = server.process.communicate(timeout=60)

    assert (found, log) == ([400, 400, 200], "")


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Serving]:
    """A frame of 7 MB, served."""
    codes = np.random.default_rng(1).integers(0, 4096, (2100, 2100)).astype(np.uint16)
    appender = Appender(
        LocalFolder(tmp_path / "archive"), "europe", Schema("Europe", Grid(2100, 2100, (0, 0, 21, 21)), 12)
    )
    appender.append(pack(Frame(FrameEntry(1, datetime(2025, 1, 1, tzinfo=UTC), "S3A", SCALE), codes, 12)))
    appender.commit()
    with serving(tmp_path / "archive") as server:
        yield server


def test_clients_that_do_not_read_take_little_memory_and_keep_nobody_waiting(large: Serving) -> None:
    clients, each = 60, 7_000_000
    asked = get(FRAME.encode())
    with connected(large, asked) as connection:
        assert len(connection.makefile("rb").read()) > each
    before = resident(large)

    with ExitStack() as connections:
        for _ in range(clients):
            waiting = connections.enter_context(connected(large, asked))
            # The answer has begun.
            assert waiting.recv(15) == b"HTTP/1.1 200 OK"
        assert ask(large.url, ROOT).status == 200

        assert resident(large) - before < clients * each / 3


def test_an_object_that_shrinks_while_it_is_sent_ends_the_answer(large: Serving, tmp_path: Path) -> None:
    frame = tmp_path / f"archive{FRAME}"
    with connected(large, get(FRAME.encode())) as connection:
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        before = resident(large)
        os.truncate(frame, 1000)
        received = sum(map(len, iter(lambda: connection.recv(1 << 16), b"")))

    assert received < 7_000_000
    assert resident(large) - before < 10_000_000
    assert ask(large.url, FRAME).body == frame.read_bytes()
    large.process.terminate()
    assert "became shorter while it was sent" in large.process.communicate(timeout=60)[1]


@pytest.mark.slow
def test_requests_that_are_not_finished_are_closed_and_keep_nobody_waiting(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4000)), hard))
    try:
        with serving(folder) as server, ExitStack() as connections:
            half = [
                connections.enter_context(connected(server, b"GET / HTTP/1.1\r\nX: " * (each % 2)))
                for each in range(1500)
            ]
            assert ask(server.url, ROOT).status == 200

            for connection in half:
                with suppress(ConnectionResetError):
                    assert connection.recv(1) == b""
            assert ask(server.url, ROOT).status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_connection_that_is_used_again_is_waited_for_again(folder: Path) -> None:
    with (
        serving(folder) as server,
        connected(server, b"GET /catalog.json HTTP/1.1\r\nHost: x\r\n\r\n") as used,
    ):
        reader = used.makefile("rb")
        for _ in range(2):
            head = dict(
                line.split(b": ", 1) for line in iter(lambda: reader.readline().strip(), b"") if b": " in line
            )
            assert json.loads(reader.read(int(head[b"content-length"])))["type"] == "Catalog"
            used.sendall(b"GET /catalog.json HTTP/1.1\r\nHost: x\r\n\r\n")


def resident(server: Serving) -> int:
    """Memory of the server in bytes."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_who_reads_while_the_archive_is_rebuilt_sees_one_or_the_other(
    service: StandIn, archive: Path, layout: str
) -> None:
    assert convert(service, archive, "--end", "2021-03-03", "--layout", layout).code == 0
    with serving(archive) as server:
        url = f"{server.url}/europe/ndvi.zarr"
        with xr.open_zarr(url) as before:
            old = xr.open_zarr(archive / "europe/ndvi.zarr").load()
            assert convert(service, archive, "--rebuild").code == 0
            assert convert(service, archive).code == 0

            xr.testing.assert_identical(before.load(), old)
        with xr.open_zarr(url) as after:
            assert after.sizes["time"] == 20
            xr.testing.assert_identical(after.load(), xr.open_zarr(archive / "europe/ndvi.zarr").load())


def test_an_archive_that_is_gone_is_missing_and_comes_back(folder: Path, tmp_path: Path) -> None:
    archive = shutil.copytree(folder, tmp_path / "archive")
    with serving(archive) as server:
        archive.rename(tmp_path / "elsewhere")
        gone = [ask(server.url, path).status for path in (ROOT, FRAME, "/europe/ndvi.zarr")]
        page = ask(server.url, "/")
        (tmp_path / "elsewhere").rename(archive)

        assert gone == [404, 404, 404]
        assert (page.status, b"No frame is archived yet" in page.body) == (200, True)
        assert ask(server.url, ROOT).status == 200


def test_the_address_of_a_group_says_how_to_open_it(served: Served) -> None:
    url = f"{served.url}/europe/ndvi.zarr"
    for path in ("/europe/ndvi.zarr", "/europe/ndvi.zarr/"):
        plain, person = ask(served.url, path), ask(served.url, path, accept="text/html,*/*")

        assert (plain.status, plain.headers["vary"]) == (404, "Accept")
        assert f'xarray.open_zarr("{url}")' in plain.body.decode()
        assert (person.status, person.headers["location"]) == (303, "/#europe")
    nowhere = [ask(served.url, "/africa/ndvi.zarr", accept=accept) for accept in ("*/*", "text/html")]
    assert [(found.status, found.body) for found in nowhere] == [(404, b"there is no such object\n")] * 2


def test_a_weak_name_of_the_contents_is_not_enough_for_a_range(served: Served) -> None:
    etag = ask(served.url, FRAME).headers["etag"]

    assert ask(served.url, FRAME, range="bytes=0-9", if_range=f"W/{etag}").status == 200
