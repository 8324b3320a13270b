"""The STAC Browser in a real browser, on this archive's catalog."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as NotShown

from etl.catalog.colormap import TABLE

from .conftest import Seen, picture

pytestmark = pytest.mark.slow


@pytest.fixture
def collection(url: str, page: Page) -> Page:
    """The page of Europe's collection, by the link in the catalog."""
    page.goto(f"{url}/browser/")
    page.get_by_role("heading", name="Sentinel-3 NDVI archive").wait_for()
    # When its language has come, STAC Browser goes to the page it was opened at, even if one has left it.
    page.wait_for_load_state("networkidle")
    page.get_by_role("link", name="Sentinel-3 NDVI of Europe").first.click()
    page.get_by_role("heading", name="Sentinel-3 NDVI of Europe").wait_for()
    return page


def test_the_catalog_leads_to_the_collection(collection: Page, url: str) -> None:
    assert collection.url == f"{url}/browser/#/europe/collection.json"


def test_the_collection_shows_its_dates_and_what_it_is(collection: Page) -> None:
    text = collection.inner_text("body")

    assert re.search(r"2021-03-01 \S+ UTC\s*–\s*2021-03-10 \S+ UTC", text)
    assert "normalized difference vegetation index" in text.lower()
    assert "xr.open_zarr" in text


def test_the_extent_is_drawn_on_the_map(collection: Page, seen: Seen) -> None:
    page_map = collection.locator(".ol-viewport").first
    page_map.locator("canvas").first.wait_for()
    collection.wait_for_load_state("networkidle")

    # It is drawn when its layers are ready, of which nothing tells but the picture.
    image = next((image for _ in range(50) if _outline(image := picture(page_map)).any()), picture(page_map))
    rows, columns = np.nonzero(_outline(image))
    width, height = np.radians(31 - -11), _mercator(60) - _mercator(35)
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(width / height, rel=0.03)
    assert seen.elsewhere <= {"tile.openstreetmap.org"}


def _outline(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the blue line around an extent is."""
    return np.asarray((np.abs(image.astype(int) - (51, 153, 204)) < 12).all(axis=2))


def _mercator(latitude: float) -> float:
    """Northing of a latitude in degrees on a web map, in radians of longitude."""
    return float(np.arctanh(np.sin(np.radians(latitude))))


def test_the_thumbnail_is_shown(collection: Page) -> None:
    collection.get_by_text("Thumbnails", exact=True).click()
    picture = collection.locator("img[src$='/europe/thumbnail.png']").first
    picture.wait_for()

    assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth; }") == 84


def test_the_variables_and_the_zarr_group_are_listed(collection: Page) -> None:
    text = collection.inner_text("body")
    assert {"ndvi", "valid_fraction", "satellite"} <= set(re.findall(r"\w+", text))

    link = collection.locator("a[href='/europe/ndvi.zarr']").first
    link.wait_for(state="attached")
    assert collection.get_by_text("NDVI, all frames (Zarr v3 group)").first.is_visible()


def test_the_colours_are_a_strip_and_the_page_is_not_a_long_one(collection: Page) -> None:
    strip = collection.locator(".metadata .colours")
    strip.wait_for()

    colours = strip.evaluate("strip => getComputedStyle(strip).backgroundImage.match(/rgba?\\([^)]*\\)/g)")

    assert len(colours) == len(TABLE)
    assert colours[0] == f"rgba({', '.join(map(str, TABLE[0]))}, 0)"
    assert colours[-1] == f"rgb({', '.join(map(str, TABLE[-1]))})"
    # A screen has 800; a row for each colour would make 38,000.
    assert collection.evaluate("document.documentElement.scrollHeight") < 8000


def test_the_group_is_opened_and_not_downloaded(collection: Page, url: str) -> None:
    collection.get_by_role("button", name="NDVI, all frames (Zarr v3 group)").first.click()
    how = collection.get_by_role("link", name="How to open it")
    how.wait_for()
    assert collection.get_by_role("link", name="Download").count() == 0

    how.click()

    collection.get_by_text("Python, xarray").wait_for()
    assert collection.url == f"{url}/#europe"


def test_an_item_leads_to_its_frame_in_the_viewer(collection: Page, archive: Path) -> None:
    for title in ("Europe in 2021", "Europe in 2021-03", re.compile("2021-03-04 .* S3B")):
        collection.get_by_role("link", name=title).first.click()
    asset = collection.get_by_role("button", name="NDVI, all frames (Zarr v3 group)")
    on_map = collection.get_by_role("link", name="View on a map")
    asset.click()
    try:
        on_map.click(timeout=10_000)
    except NotShown:
        # What is still being drawn closes again.
        asset.click()
        on_map.click()
    collection.wait_for_selector("#map[aria-busy=false][data-frame]")

    frame = int(collection.get_attribute("#map", "data-frame") or -1)
    store = xr.open_zarr(archive / "europe/ndvi.zarr")
    assert str(store.time[frame].values).startswith("2021-03-04")
    assert int(store.satellite[frame]) == 2
    assert collection.inner_text("#date").startswith("2021-03-04")


def test_a_person_who_opens_the_address_of_a_group_learns_how_to_open_it(url: str, page: Page) -> None:
    page.goto(f"{url}/europe/ndvi.zarr")

    page.get_by_text("Python, xarray").wait_for()
    assert page.url == f"{url}/#europe"
