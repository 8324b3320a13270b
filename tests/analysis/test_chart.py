"""Charts: real pictures, with the values in them."""

import io
import re

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

import etl
from etl.analysis.chart import chart
from etl.analysis.region import box
from etl.analysis.selection import Selection

from .archives import Archived

BLUE, VERMILION = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


@pytest.fixture(scope="module")
def series(by_frames: Archived) -> xr.Dataset:
    return etl.timeseries(Selection(by_frames.place, "Europe", region=box(-5, 40, 10, 60)))


def opened(picture: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def pixels_of(picture: bytes, colour: tuple[int, int, int]) -> int:
    return int((opened(picture) == colour).all(-1).sum())


def marks(svg: str, satellite: str) -> list[tuple[float, float]]:
    """Places of a satellite's marks, to the right and downwards."""
    (group,) = re.findall(rf'<g id="{re.escape(satellite)}">(.*?)\n   </g>', svg, re.DOTALL)
    return [(float(x), float(y)) for x, y in re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', group)]


def test_a_png_shows_each_satellite_in_its_colour(series: xr.Dataset) -> None:
    picture = chart(series)

    assert opened(picture).shape == (675, 1350, 3)
    for colour in (BLUE, VERMILION):
        assert pixels_of(picture, colour) > 200
    of_one = chart(series.isel(time=(series.satellite == "S3B").values))
    assert pixels_of(of_one, VERMILION) == 0


def test_an_svg_has_its_words_as_text_and_a_mark_for_each_value(series: xr.Dataset) -> None:
    svg = chart(series, "svg").decode()

    words = set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    assert {
        "Europe, 40°N 5°W to 60°N 10°E: mean NDVI",
        "mean NDVI (dimensionless)",
        "date (UTC)",
        "S3A",
        "S3B",
    } <= words
    assert any(re.search(r"2025|Jan", word) for word in words)
    for satellite in ("S3A", "S3B"):
        of_it = series.value.values[series.satellite.values == satellite]
        held = of_it[np.isfinite(of_it)]
        found = marks(svg, satellite)
        assert len(found) == len(held) == 4
        slope, offset = np.polyfit(held, [y for _, y in found], 1)
        assert slope < 0
        np.testing.assert_allclose([y for _, y in found], slope * held + offset, atol=0.01)


def test_marks_lie_in_the_order_of_time(series: xr.Dataset) -> None:
    svg = chart(series, "svg").decode()

    held = series.isel(time=((series.satellite == "S3A") & np.isfinite(series.value)).values)
    seconds = held.time.values.astype("datetime64[s]").astype(np.int64)
    across = [x for x, _ in marks(svg, "S3A")]
    slope, offset = np.polyfit(seconds - seconds[0], across, 1)
    np.testing.assert_allclose(across, slope * (seconds - seconds[0]) + offset, atol=0.01)
    assert slope > 0


def test_a_pdf_is_a_page(series: xr.Dataset) -> None:
    page = chart(series, "pdf")

    assert page.startswith(b"%PDF-")
    assert page.rstrip().endswith(b"%%EOF")
    assert b"/MediaBox [ 0 0 648 324 ]" in page


def test_satellites_together_are_one_line(by_frames: Archived) -> None:
    svg = chart(etl.timeseries(Selection(by_frames.place, "Europe"), together=True), "svg").decode()

    assert len(marks(svg, "S3A+S3B")) > 2
    assert ">S3B<" not in svg


def test_counts_are_not_called_dimensionless(by_frames: Archived) -> None:
    svg = chart(etl.timeseries(Selection(by_frames.place, "Europe"), stat="count"), "svg").decode()

    assert ">pixels with data<" in svg
    assert "dimensionless" not in svg


def test_a_series_without_any_data_says_so(series: xr.Dataset) -> None:
    empty = series.assign(value=series.value * np.nan)

    assert ">no data<" in chart(empty, "svg").decode()
    assert ">no data<" not in chart(series, "svg").decode()


@pytest.mark.parametrize("name", ["$\\frac$ 100 % <fields> & more", "日本", "x" * 300])
def test_any_name_of_a_region_can_be_drawn(series: xr.Dataset, name: str) -> None:
    for form in ("png", "pdf"):
        assert len(chart(series.assign_attrs(title=name), form)) > 5000


def test_equal_series_give_equal_pictures(series: xr.Dataset) -> None:
    for form in ("png", "svg", "pdf"):
        assert chart(series, form) == chart(series.copy(deep=True), form)
