"""The page `/`."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
import xarray as xr

from etl.catalog.publish import publish
from etl.demo.server import ServerThread
from etl.load.folder import LocalFolder
from etl.serve.app import build_app
from tests.catalog.archives import Continent

from .conftest import GRID, Served
from .serving import ask, serving


def snippets(page: str) -> dict[str, str]:
    found = re.findall(r'<pre data-language="(\w+)"><code>(.*?)</code></pre>', page, re.DOTALL)
    return {language: html.unescape(text) for language, text in found}


class _References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.pictures_without_text = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [value for name in ("href", "src") if (value := given.get(name))]
        self.pictures_without_text += tag == "img" and not given.get("alt")


def test_it_tells_what_the_archive_holds(served: Served) -> None:
    found = ask(served.url, "/")
    page = found.body.decode()

    assert found.headers["content-type"] == "text/html; charset=utf-8"
    assert '<h2 id="name-europe">Europe</h2>' in page
    assert "S3A 3, S3B 2" in page
    assert re.search(r"2025-01-01</time> to\s+<time [^>]*>2025-01-03</time>", page)
    assert "23 × 17 pixels" in page
    assert "11.25° W to 31.0625° E, 34.1° N to 71.3° N" in page
    assert "sharded" in page


def test_it_says_of_the_archive_what_the_catalog_says(served: Served, tmp_path: Path) -> None:
    page = ask(served.url, "/").body.decode()
    assert "<h1>Sentinel-3 NDVI archive</h1>" in page
    assert "<p>Vegetation seen by the Sentinel-3 satellites" in page
    assert re.search(r"<footer>\s+<p>Contains modified Copernicus Sentinel data\. Questions", page)

    store = LocalFolder(tmp_path / "synthetic")
    continent = Continent(store, "Synthetic Europe", GRID)
    continent.folder = "synthetic-europe"
    continent.append(["S3A"])
    publish(store, "synthetic-europe")
    with serving(store.root) as server:
        made_up = ask(server.url, "/").body.decode()
        (store.root / "catalog.json").write_text("[")
        damaged = ask(server.url, "/").body.decode()

    assert "<h1>Synthetic NDVI archive</h1>" in made_up
    assert "no satellite has seen it" in made_up
    assert "Copernicus" not in made_up
    assert "<h1>NDVI archive</h1>" in damaged


def test_every_link_of_it_leads_somewhere_on_this_server(served: Served) -> None:
    references = _References()
    references.feed(ask(served.url, "/").body.decode())
    own = [found for found in references.found if not found.startswith("https://")]

    assert {"europe/thumbnail.png", "pages/landing.css", "catalog.json"} <= set(own)
    assert references.pictures_without_text == 0
    for reference in own:
        path = urljoin("/", reference).partition("#")[0]
        assert ask(served.url, path).status == 200, reference


def test_it_needs_nothing_from_elsewhere(served: Served) -> None:
    policy = ask(served.url, "/").headers["content-security-policy"]

    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_its_lines_for_xarray_open_the_archive(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    lines = snippets(ask(served.url, "/").body.decode())["python"]

    exec(lines, {})  # noqa: S102 - what the page tells people to run

    here = xr.open_zarr(served.folder / "europe/ndvi.zarr").ndvi.isel(time=-1)
    assert float(capsys.readouterr().out) == pytest.approx(here.where(here >= 0.05).mean().values)


def test_addresses_on_it_are_as_the_reader_came(served: Served) -> None:
    page = ask(served.url, "/", host="ndvi.example:81").body.decode()

    assert "http://ndvi.example:81/europe/ndvi.zarr" in snippets(page)["python"]
    assert served.url not in page


def test_a_host_that_is_no_name_cannot_write_into_it(served: Served) -> None:
    page = ask(served.url, "/", host='"><script>alert(1)</script>').body.decode()

    assert "<script>alert" not in page


def test_a_damaged_continent_does_not_hide_the_others(archive: Path) -> None:
    store = LocalFolder(archive)
    for name in ("Europe", "Africa"):
        Continent(store, name, GRID).append(["S3A"])
    newer = json.loads(store.get("europe/ndvi.zarr/zarr.json") or b"")
    newer["attributes"]["ndvi_archive_format"] = 99
    store.put("africa/ndvi.zarr/zarr.json", b"{}")
    store.put("asia/ndvi.zarr/zarr.json", json.dumps(newer).encode())

    with serving(archive) as server:
        page = ask(server.url, "/").body.decode()

    assert (
        "<strong>africa</strong> cannot be read: africa/ndvi.zarr is not an archive of this program, or its"
        " zarr.json is damaged." in page
    )
    assert "<strong>asia</strong> cannot be read: asia/ndvi.zarr has format 99; this program knows" in page
    assert str(archive) not in page
    assert '<h2 id="name-europe">Europe</h2>' in page


@pytest.mark.parametrize(
    ("built", "said"),
    [
        ((), "Neither the viewer nor the STAC Browser is"),
        (("viewer",), "The STAC Browser is not"),
        (("browser",), "The viewer is not"),
        (("viewer", "browser"), None),
    ],
)
def test_it_says_which_pages_are_not_built(
    folder: Path, tmp_path: Path, built: tuple[str, ...], said: str | None
) -> None:
    for page in built:
        (tmp_path / page).mkdir()
        (tmp_path / page / "index.html").write_text(f"the {page}")
    server = ServerThread()
    server.start(build_app(LocalFolder(folder), tmp_path))
    try:
        page = ask(server.url, "/").body.decode()
        found = {name: ask(server.url, f"/{name}/?continent=europe") for name in ("viewer", "browser")}
        without_slash = ask(server.url, "/viewer?continent=europe")
    finally:
        server.stop()

    assert (said in page) if said else ("part of this installation" not in page)
    for name, answer in found.items():
        assert (f'href="{name}/' in page) == (name in built)
        assert answer.status == (200 if name in built else 404)
        assert (answer.body == f"the {name}".encode()) == (name in built)
    assert without_slash.headers["location"] == "/viewer/?continent=europe"
