"""The page `/` in a real browser, and its lines for JavaScript in Node."""

import html
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import Page

from etl.serve.app import STATIC
from tests.serve.serving import ask

from .conftest import Seen, in_both_layouts, node

pytestmark = pytest.mark.slow

VIEWER = STATIC.parents[2] / "build" / "web" / "viewer"


def test_it_leads_to_the_viewer_and_to_the_catalog(url: str, page: Page, seen: Seen) -> None:
    page.goto(url)
    page.get_by_role("link", name="View on a map").click()
    page.wait_for_selector("#map[aria-busy=false][data-frame]")
    page.go_back()
    page.get_by_role("link", name="Browse the catalog").click()
    page.get_by_role("heading", name="Sentinel-3 NDVI archive").wait_for()

    assert seen.elsewhere <= {"tile.openstreetmap.org"}


def test_a_snippet_is_copied_by_a_button(url: str, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    page.goto(url)
    page.get_by_text("Open it from your code").click()

    page.get_by_role("button", name="Copy").first.click()

    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("import xarray as xr\n")
    assert copied.endswith("values)")


@in_both_layouts
def test_its_lines_for_zarrita_read_the_archive(archive: Path, url: str) -> None:
    if shutil.which("node") is None or not (VIEWER / "node_modules/zarrita").is_dir():
        pytest.skip("NOT TESTED WITH ZARRITA: there is no node, or scripts/build-web has not run here")
    found = re.search(
        r'data-language="javascript"><code>(.*?)</code>', ask(url, "/").body.decode(), re.DOTALL
    )
    assert found

    printed = node(html.unescape(found[1]), VIEWER)

    newest = xr.open_zarr(archive / "europe/ndvi.zarr", chunks=None, mask_and_scale=False).ndvi[-1].values
    first = re.fullmatch(r"\[ 50, 84 \] (\S+)\n", printed)
    assert first
    assert np.float64(first[1]) == pytest.approx(newest[0, 0] * 1e-4)
