"""A real browser on the pages of a real server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Response, sync_playwright

from etl.catalog.quicklook import encode_png
from etl.demo.service import StandIn, Stream
from etl.serve.app import STATIC
from tests.program import convert
from tests.serve.serving import serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BLANK = encode_png(np.zeros((1, 1, 4), np.uint8))
"""For the base map of the STAC Browser."""


@dataclass
class Seen:
    """What happened on a page.

    Attributes:
        requests: what was requested of the server.
        elsewhere: hosts of other servers that something was requested of.
        faults: errors in the console, exceptions, and answers that are errors.
    """

    requests: list[Request] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("NOT TESTED IN A BROWSER: there is no chromium")
    with sync_playwright() as playwright:
        # As root, as in containers, its sandbox does not work.
        sandboxed = os.geteuid() != 0
        browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=sandboxed)
        yield browser
        browser.close()


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    missing = [page for page in ("viewer", "browser") if not (STATIC / page / "index.html").is_file()]
    if missing:
        pytest.skip(f"NOT TESTED IN A BROWSER: scripts/build-web has not built {' and '.join(missing)}")


@pytest.fixture
def seen() -> Seen:
    return Seen()


def is_elsewhere(url: str) -> bool:
    """Whether something is requested of a server other than ours."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and parts.hostname != "127.0.0.1"


@pytest.fixture
def page(chromium: Browser, seen: Seen) -> Iterator[Page]:
    """A page 1000 × 800 pixels large; the test fails where anything went wrong on it."""
    page = chromium.new_page(viewport={"width": 1000, "height": 800})
    page.set_default_timeout(60_000)

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            seen.faults.append(message.text)

    def on_response(response: Response) -> None:
        if response.status >= 400:
            seen.faults.append(f"{response.status} {response.url}")

    def on_request(request: Request) -> None:
        if is_elsewhere(request.url):
            seen.elsewhere.add(urlsplit(request.url).hostname or "")
        elif request.url.startswith("http:"):
            seen.requests.append(request)

    page.on("console", on_console)
    page.on("pageerror", lambda error: seen.faults.append(str(error)))
    page.on("response", on_response)
    page.on("request", on_request)
    page.route(is_elsewhere, lambda route: route.fulfill(body=BLANK, content_type="image/png"))
    yield page
    page.close()
    assert seen.faults == []


def picture(part: Locator) -> NDArray[np.uint8]:
    """A part of a page as it is on the screen: RGB, shape (height, width, 3)."""
    with av.open(BytesIO(part.screenshot()), "r") as png:
        return np.asarray(next(png.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)


def archived(europe: Stream, folder: Path, *arguments: str) -> Path:
    """Archive Europe by the program, in two runs."""
    with StandIn({"Europe": europe}) as service:
        for run in (("--end", "2021-03-05"), ()):
            assert convert(service, folder, *run, *arguments).code == 0
    return folder


@pytest.fixture(scope="session")
def sharded(europe: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archived(europe, tmp_path_factory.mktemp("sharded") / "archive", "--items", "frame")


@pytest.fixture(scope="session")
def flat(europe: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chunk an object, and rebuilt, so that the keys of chunks are of the other kind."""
    folder = archived(europe, tmp_path_factory.mktemp("flat") / "archive", "--layout", "flat")
    with StandIn({"Europe": europe}) as service:
        assert convert(service, folder, "--rebuild").code == 0
    return folder


@pytest.fixture(scope="session")
def sharded_url(sharded: Path) -> Iterator[str]:
    with serving(sharded) as server:
        yield server.url


@pytest.fixture(scope="session")
def flat_url(flat: Path) -> Iterator[str]:
    with serving(flat) as server:
        yield server.url


@pytest.fixture
def layout() -> str:
    """The layout of the archive a test is about; `in_both_layouts` gives it each."""
    return "sharded"


in_both_layouts = pytest.mark.parametrize("layout", ["sharded", "flat"])


@pytest.fixture
def archive(layout: str, request: pytest.FixtureRequest) -> Path:
    folder = request.getfixturevalue(layout)
    assert isinstance(folder, Path)
    return folder


@pytest.fixture
def url(layout: str, request: pytest.FixtureRequest) -> str:
    """Address of a server of the archive."""
    return str(request.getfixturevalue(f"{layout}_url"))


def node(script: str, folder: Path) -> str:
    """What a script prints that Node runs in a folder."""
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
