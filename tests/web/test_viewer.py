"""The viewer in a real browser, against the store."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from playwright.sync_api import Page

from etl.catalog.colormap import TABLE, colour
from etl.extract.frame import Frame, FrameEntry, Scale
from etl.load.archive import Appender
from etl.load.folder import LocalFolder
from etl.load.schema import Schema
from etl.transform.grid import Grid
from etl.transform.packing import pack
from tests.catalog.archives import NO_DATA, Continent
from tests.serve.serving import serving

from .conftest import Seen, in_both_layouts, picture

pytestmark = pytest.mark.slow

SHARD_INDEX = 20
"""Bytes at the end of a shard of one chunk: where it is, its length, and a checksum of these."""

_PLACE = re.compile(
    r"(?P<value>.+) at (?P<lat>[\d.]+)° ([NS]), (?P<lon>[\d.]+)° ([EW]) on (?P<date>\S+), (\w+)"
)


@dataclass(frozen=True)
class Told:
    """What the viewer says of a place.

    Attributes:
        stored: the value in steps of 0.0001; None is no data.
        latitude: middle of the pixel, degrees north.
        longitude: middle of the pixel, degrees east.
        date: of the frame.
        satellite: of the frame.
    """

    stored: int | None
    latitude: float
    longitude: float
    date: str
    satellite: str


def told(page: Page) -> Told:
    page.wait_for_function("document.querySelector('#value').textContent.includes(' on 20')")
    text = page.inner_text("#value")
    found = _PLACE.fullmatch(text)
    assert found, text
    ndvi = re.match(r"NDVI (−?[\d.]+)", found["value"])
    stored = round(float(ndvi[1].replace("−", "-")) * 10_000) if ndvi else None
    north, east = (1 if found[index] in "NE" else -1 for index in (3, 5))
    return Told(stored, north * float(found["lat"]), east * float(found["lon"]), found["date"], found[7])


def shown(page: Page) -> int:
    """Wait until a frame is on the map; its position in the archive."""
    page.wait_for_selector("#map[aria-busy=false][data-frame]")
    return int(page.get_attribute("#map", "data-frame") or -1)


def plain_places(image: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """(x, y) of places around which all is of one colour, and that colour is one of NDVI."""
    colours = {tuple(each) for each in TABLE.tolist()}
    height, width, _ = image.shape
    return [
        (x, y)
        for y in range(60, height - 60, 23)
        for x in range(60, width - 60, 23)
        if tuple(image[y, x].tolist()) in colours
        and np.ptp(image[y - 2 : y + 3, x - 2 : x + 3], (0, 1)).max() == 0
    ]


def click(page: Page, place: tuple[int, int]) -> Told:
    page.evaluate("document.querySelector('#value').textContent = ''")
    page.locator("#map").click(position={"x": place[0], "y": place[1]})
    return told(page)


@pytest.fixture
def store(archive: Path) -> Iterator[xr.Dataset]:
    with xr.open_zarr(archive / "europe/ndvi.zarr", mask_and_scale=False, chunks=None) as found:
        yield found


@pytest.fixture
def viewer(url: str, page: Page) -> Page:
    page.goto(f"{url}/viewer/?continent=europe")
    shown(page)
    return page


def stored_at(store: xr.Dataset, frame: int, place: Told) -> int:
    found = store.ndvi.isel(time=frame)
    return int(found.sel(latitude=place.latitude, longitude=place.longitude, method="nearest"))


@in_both_layouts
def test_the_colours_on_the_map_are_those_of_the_values_a_click_tells(
    viewer: Page, store: xr.Dataset
) -> None:
    frame, image = shown(viewer), picture(viewer.locator("#map"))
    places = plain_places(image)
    assert len(places) > 20

    for place in places[:: len(places) // 8]:
        found = click(viewer, place)
        assert found.stored == stored_at(store, frame, found)
        assert colour(np.array(found.stored, np.int16)).tolist() == [*image[place[1], place[0]].tolist(), 255]
        assert found.date == str(store.time[frame].values)[:10]


def test_a_place_without_data_says_so(viewer: Page, store: xr.Dataset) -> None:
    frame = shown(viewer)
    low = np.argwhere(store.ndvi[frame].values < 500)
    row, column = low[len(low) // 2]
    latitude, longitude = float(store.latitude[row]), float(store.longitude[column])
    # The whole grid is in the middle of the map, north up.
    box = viewer.locator("#map").bounding_box()
    assert box
    scale = min((box["width"] - 50) / 42, (box["height"] - 50) / 25)
    x = box["width"] / 2 + (longitude - 10) * scale
    y = box["height"] / 2 - (latitude - 47.5) * scale

    found = click(viewer, (round(x), round(y)))

    assert [found.latitude, found.longitude] == pytest.approx([latitude, longitude])
    assert found.stored == store.ndvi[frame].values[row, column]
    assert "commonly no data" in viewer.inner_text("#value")


@in_both_layouts
def test_the_slider_changes_the_frame_its_colours_and_the_value(viewer: Page, store: xr.Dataset) -> None:
    last, before = shown(viewer), picture(viewer.locator("#map"))
    place = plain_places(before)[5]
    first = click(viewer, place)

    viewer.locator("#slider").focus()
    for _ in range(9):
        viewer.keyboard.press("ArrowLeft")
    viewer.wait_for_selector(f"#map[aria-busy=false][data-frame='{last - 9}']")
    viewer.wait_for_function("text => document.querySelector('#value').textContent.includes(text)", arg="S3A")
    second = told(viewer)

    assert second.date == str(store.time[last - 9].values)[:10] != first.date
    assert (second.latitude, second.longitude) == (first.latitude, first.longitude)
    assert second.stored == stored_at(store, last - 9, second) != first.stored
    # Outside of the ring that marks the place.
    near = colour(
        store.ndvi[last - 9]
        .sel(latitude=second.latitude, longitude=second.longitude, method="nearest")
        .values
    )
    assert near.tolist() == [*picture(viewer.locator("#map"))[place[1], place[0]].tolist(), 255]


def test_only_frames_of_the_chosen_satellite_are_offered(viewer: Page, store: xr.Dataset) -> None:
    of_s3b = np.flatnonzero(store.satellite.values == 2).tolist()

    viewer.get_by_label("S3B").check()
    viewer.wait_for_selector(f"#map[aria-busy=false][data-frame='{of_s3b[-1]}']")
    viewer.get_by_label("Previous frame").click()
    viewer.wait_for_selector(f"#map[aria-busy=false][data-frame='{of_s3b[-2]}']")

    assert viewer.get_attribute("#slider", "max") == str(len(of_s3b) - 1)
    assert viewer.inner_text("#date").endswith("UTC, S3B")
    viewer.wait_for_function("location.search.includes('satellite=S3B')")


def test_it_is_used_by_keys_alone(viewer: Page, store: xr.Dataset) -> None:
    while viewer.evaluate("document.activeElement.id") != "map":
        viewer.keyboard.press("Tab")
    viewer.keyboard.press("Enter")

    found = told(viewer)

    # The middle of the grid, which is a corner of four pixels of half a degree.
    assert [found.longitude, found.latitude] == pytest.approx([10, 47.5], abs=0.26)
    assert found.stored == stored_at(store, shown(viewer), found)


def test_a_click_on_the_chart_chooses_a_date(viewer: Page) -> None:
    viewer.locator("#chart").click(position={"x": 35, "y": 40})

    viewer.wait_for_selector("#map[aria-busy=false][data-frame='0'], #map[aria-busy=false][data-frame='1']")
    assert viewer.inner_text("#date").startswith("2021-03-01")


@pytest.mark.parametrize(("asked", "found"), [("2021-03-04", "2021-03-04"), ("1999-01-01", "2021-03-01")])
def test_one_can_go_to_a_date(viewer: Page, store: xr.Dataset, asked: str, found: str) -> None:
    last = shown(viewer)

    viewer.get_by_label("Go to a date").fill(asked)
    viewer.wait_for_selector(f"#map[aria-busy=false][data-frame]:not([data-frame='{last}'])")

    assert str(store.time[shown(viewer)].values)[:10] == found
    assert viewer.input_value("#day") == found
    assert viewer.inner_text("#date").startswith(found)


def test_everything_that_can_be_used_has_a_name(viewer: Page) -> None:
    nameless = viewer.evaluate(
        """() => [...document.querySelectorAll("a, button, input, select, #chart, [tabindex]")]
            .filter((each) => !each.ariaLabel && !each.labels?.length && !each.textContent.trim())
            .map((each) => each.outerHTML)"""
    )

    assert nameless == []


def test_a_pixel_without_data_is_told_as_that_and_so_is_a_frame(page: Page, tmp_path: Path) -> None:
    continent = Continent(LocalFolder(tmp_path / "archive"), "Africa", Grid(40, 30, (0.0, 0.0, 40.0, 30.0)))
    continent.append(["S3A"], NO_DATA)

    with serving(tmp_path / "archive") as server:
        page.goto(f"{server.url}/viewer/")
        shown(page)
        found = click(page, (500, 200))

    assert found.stored is None
    assert page.inner_text("#value").startswith("no data at ")
    assert page.inner_text("#date").endswith("UTC, S3A, no data")


def test_a_frame_that_cannot_be_read_is_told_and_the_others_go_on(
    page: Page, seen: Seen, archive: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(archive, tmp_path / "archive")
    damaged = copy / "europe/ndvi.zarr/ndvi/c/18/0/0"
    data = damaged.read_bytes()
    damaged.write_bytes(bytes(len(data) - SHARD_INDEX) + data[-SHARD_INDEX:])

    with serving(copy) as server:
        page.goto(f"{server.url}/viewer/")
        last = shown(page)
        page.get_by_label("Previous frame").click()
        page.get_by_text("This frame cannot be read: ").wait_for()
        page.get_by_label("Previous frame").click()
        page.wait_for_selector(f"#map[aria-busy=false][data-frame='{last - 2}']")

    assert seen.faults == []


def test_an_archive_that_is_emptied_is_told(page: Page, seen: Seen, archive: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(archive, tmp_path / "archive")

    with serving(copy) as server:
        shutil.rmtree(copy / "europe")
        page.goto(f"{server.url}/viewer/")
        page.get_by_text("The archive cannot be opened: no frame is archived yet.").wait_for()
        page.goto(f"{server.url}/")
        page.get_by_text("No frame is archived yet").wait_for()


def test_the_address_leads_to_what_is_shown(viewer: Page) -> None:
    viewer.get_by_label("Previous frame").click()
    viewer.wait_for_function("document.querySelector('#map').dataset.frame === '18'")
    date = viewer.inner_text("#date")
    moment = date.removesuffix(" UTC, S3A").replace(" ", "T")
    viewer.wait_for_function("moment => location.search.includes(encodeURIComponent(moment))", arg=moment)
    address = viewer.url

    viewer.goto("about:blank")
    viewer.goto(address)

    assert shown(viewer) == 18
    assert viewer.inner_text("#date") == date


def test_the_legend_has_the_colours_of_the_program(viewer: Page) -> None:
    pixels = viewer.evaluate(
        """() => {
            const canvas = document.querySelector("#legend canvas");
            return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, 1).data];
        }"""
    )

    assert np.reshape(pixels, (-1, 4))[:, :3].tolist() == TABLE.tolist()
    assert viewer.locator("#legend span").all_inner_texts() == ["0.0", "0.45", "0.9"]


def test_it_asks_nobody_else_and_keeps_what_never_changes(viewer: Page, seen: Seen) -> None:
    assert seen.elsewhere == set()

    values = [request for request in seen.requests if "/ndvi.zarr/ndvi/" in request.url]
    assert values
    for request in values:
        response = request.response()
        assert response is not None
        assert "immutable" in response.headers["cache-control"]
        assert re.search(r"\?crc32c=\d+$", request.url)


def test_of_a_large_grid_only_what_is_in_view_is_fetched(page: Page, seen: Seen, tmp_path: Path) -> None:
    grid = Grid(4608, 4608, (0.0, 0.0, 46.08, 46.08))
    store = LocalFolder(tmp_path / "archive")
    appender = Appender(store, "africa", Schema("Africa", grid, 12, "flat", overviews=False))
    codes = np.full((4608, 4608), 2000, np.uint16)
    entry = FrameEntry(1, datetime(2025, 1, 1, 10, tzinfo=UTC), "S3A", Scale(-0.1, 0.9))
    appender.append(pack(Frame(entry, codes, 12)))
    appender.commit()

    with serving(tmp_path / "archive") as server:
        page.goto(f"{server.url}/viewer/")
        page.get_by_text("81 chunks are in view").wait_for()
        before = [request.url for request in seen.requests if "/ndvi.zarr/ndvi/" in request.url]
        page.locator("#map").focus()
        for _ in range(2):
            page.keyboard.press("+")
        shown(page)
        fetched = {request.url for request in seen.requests if "/ndvi.zarr/ndvi/" in request.url}

    assert before == []
    assert 1 <= len(fetched) < 64


def test_of_a_large_grid_the_level_is_fetched_that_the_map_can_show(
    page: Page, seen: Seen, tmp_path: Path
) -> None:
    grid = Grid(4090, 3001, (0.0, 0.0, 40.9, 30.01))
    store = LocalFolder(tmp_path / "archive")
    appender = Appender(store, "africa", Schema("Africa", grid, 12))
    # Squares of one value, 500 pixels long; a third of the pixels in each hold no data.
    squares = np.add.outer(np.arange(3001) // 500, np.arange(4090) // 500)
    codes = np.where(np.add.outer(np.arange(3001), np.arange(4090)) % 3 == 0, 0, 1000 + 200 * squares)
    entry = FrameEntry(1, datetime(2025, 1, 1, 10, tzinfo=UTC), "S3A", Scale(-0.1, 0.9))
    appender.append(pack(Frame(entry, codes.astype(np.uint16), 12)))
    appender.commit()

    with serving(tmp_path / "archive") as server:
        page.goto(f"{server.url}/viewer/")
        shown(page)
        assert page.get_attribute("#map", "data-level") == "4"
        fetched = {request.url for request in seen.requests if "/ndvi/c/" in request.url}
        of_levels = re.compile(r".+/africa/ndvi\.zarr/overviews/[48]/ndvi/c/0/0/0\?crc32c=\d+")
        assert [url for url in fetched if not of_levels.fullmatch(url)] == []
        image = picture(page.locator("#map"))
        places = plain_places(image)
        found = [click(page, place) for place in places[:: len(places) // 6]]
        page.locator("#map").focus()
        for finer in ("2", "1"):
            page.keyboard.press("+")
            page.wait_for_selector(f"#map[aria-busy=false][data-level='{finer}']")

    assert len(found) >= 6
    for place, one in zip(places[:: len(places) // 6], found, strict=True):
        row, column = int((30.01 - one.latitude) / 0.01), int(one.longitude / 0.01)
        mean = round((1000 + 200 * squares[row, column]) / 4095 * 10000 - 1000)
        assert one.stored in (mean, -1000, None)
        assert colour(np.array(mean, np.int16)).tolist() == [*image[place[1], place[0]].tolist(), 255]
    assert any("/ndvi.zarr/ndvi/c/0/0/0?crc32c=" in request.url for request in seen.requests)
