"""`etl.animate`: films that players play, and what is seen in them."""

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import cos, radians
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

import etl
from etl.analysis.picture import NO_DATA, Pictures
from etl.analysis.region import Region, box, read_geojson
from etl.analysis.selection import Selection
from etl.catalog.colormap import colour
from etl.errors import IncompatibleError, StorageError, UsageError
from etl.extract.frame import Frame, FrameEntry, Scale
from etl.load.archive import Appender
from etl.load.folder import LocalFolder
from etl.load.schema import Schema
from etl.signals import Interrupted, ending_on_signals
from etl.transform.grid import Grid
from etl.transform.packing import pack

FIRST = datetime(2021, 3, 30, 9, 57, 3, tzinfo=UTC)
SMALL = Grid(60, 40, (0.0, 40.0, 6.0, 44.0))
LARGE = Grid(1200, 800, (0.0, 40.0, 6.0, 44.0))
WEST = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
"""NDVI of the western half of the frames; the eastern half holds no data, but for every third frame."""

NEAR = 6
"""Steps of 255 by which a colour may differ in a film that is compressed."""

Film = list[NDArray[np.uint8]]


def archived(folder: Path, grid: Grid, ndvi: Sequence[float] = WEST) -> Path:
    """Frames of one day after the other, S3A and S3B in turn; in a third of them the east is at 0.85."""
    appender = Appender(LocalFolder(folder), "europe", Schema("Europe", grid, 12))
    for number, west in enumerate(ndvi, 1):
        codes = np.zeros((grid.rows, grid.columns), np.uint16)
        codes[:, : grid.columns // 2] = round(west * 4095)
        if number % 3 == 0:
            codes[:, grid.columns // 2 :] = round(0.85 * 4095)
        time = FIRST + timedelta(days=(number - 1) // 2)
        entry = FrameEntry(number, time, "S3A" if number % 2 else "S3B", Scale(0.0, 1.0))
        appender.append(pack(Frame(entry, codes, 12)))
    appender.commit()
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """To be read only."""
    return archived(tmp_path_factory.mktemp("film") / "archive", SMALL)


def made(archive: Path, out: Path, region: Region | None = None, **settings: Any) -> Film:  # noqa: ANN401 - passed on
    """Make a film, and see it."""
    etl.animate(Selection(str(archive), "Europe", region=region), out, **settings)
    return seen(out)


def seen(film: Path) -> Film:
    """The pictures of a film as a player shows them."""
    if film.suffix.lower() == ".gif":
        with Image.open(film) as image:
            return [np.asarray(each.convert("RGB")) for each in ImageSequence.Iterator(image)]
    with av.open(str(film)) as container:
        return [np.asarray(frame.to_image()) for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]


def of_ndvi(value: float) -> NDArray[np.uint8]:
    rgba: NDArray[np.uint8] = colour(np.array(round(value * 10000), np.int16))
    return rgba[:3]


def at(picture: NDArray[np.uint8], across: float, down: float) -> NDArray[np.uint8]:
    """The colour at a place of the map, which is as high as 2/3 of its width over the cosine of 42°."""
    height = picture.shape[1] * 4 / 6 / cos(radians(42))
    pixel: NDArray[np.uint8] = picture[int(down * height), int(across * picture.shape[1])]
    return pixel


def assert_near(found: NDArray[np.uint8], expected: object) -> None:
    assert np.abs(found.astype(int) - np.asarray(expected, int)).max() <= NEAR, (found, expected)


@pytest.mark.parametrize("name", ["season.mp4", "season.gif", "file:a%03d.GIF"])
def test_each_frame_is_a_picture_in_the_colours_of_its_ndvi(archive: Path, tmp_path: Path, name: str) -> None:
    film = made(archive, tmp_path / name, width=320)

    assert len(film) == len(WEST)
    for number, (picture, west) in enumerate(zip(film, WEST, strict=True), 1):
        assert_near(at(picture, 0.25, 0.5), of_ndvi(west))
        assert_near(at(picture, 0.75, 0.5), of_ndvi(0.85) if number % 3 == 0 else NO_DATA)


@pytest.mark.parametrize("name", ["season.mp4", "season.gif"])
def test_the_date_and_the_satellite_are_written_below(tmp_path: Path, name: str) -> None:
    alike = archived(tmp_path / "archive", SMALL, [0.5, 0.5])

    first, second = (picture.astype(int) for picture in made(alike, tmp_path / name, width=320))

    map_rows = round(320 * 4 / 6 / cos(radians(42)))
    assert np.abs(first - second)[: map_rows - 2].max() <= NEAR
    changed = np.argwhere(np.abs(first - second)[map_rows:].max(axis=2) > 60)
    # S3A has become S3B: the last letter alone.
    assert len(changed)
    assert np.ptp(changed[:, 1]) < 12


def test_browsers_play_the_mp4_from_its_first_bytes_on(archive: Path, tmp_path: Path) -> None:
    made(archive, tmp_path / "season.mp4", width=321, fps=12.5)

    data = (tmp_path / "season.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "season.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height % 2) == (320, 0)
        assert stream.average_rate == 12.5
        # BT.709, limited range: what players take an untagged film for.
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)


def test_the_gif_plays_endlessly_at_the_speed_asked_for(archive: Path, tmp_path: Path) -> None:
    made(archive, tmp_path / "season.gif", width=160, fps=5)

    with Image.open(tmp_path / "season.gif") as image:
        assert image.info["loop"] == 0
        assert image.info["duration"] == 200


def test_what_was_made_is_told(archive: Path, tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []

    film = etl.animate(
        Selection(str(archive), "Europe", satellite="S3B"),
        tmp_path / "b.gif",
        fps=2,
        width=160,
        progress=lambda *count: done.append(count[:2]),
    )

    assert (film.frames, film.pictures, film.seconds) == (3, 3, 1.5)
    assert film.bytes == (tmp_path / "b.gif").stat().st_size
    assert seen(film.path)[0].shape == (film.rows, film.columns, 3)
    assert done == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_month_is_one_picture_of_the_highest_values(archive: Path, tmp_path: Path) -> None:
    march, april = made(archive, tmp_path / "months.mp4", width=320, composite="month")

    assert_near(at(march, 0.25, 0.5), of_ndvi(0.5))
    assert_near(at(april, 0.25, 0.5), of_ndvi(0.8))
    for picture in (march, april):
        assert_near(at(picture, 0.75, 0.5), of_ndvi(0.85))


def test_a_day_is_one_picture_of_both_satellites(archive: Path, tmp_path: Path) -> None:
    film = made(archive, tmp_path / "days.gif", width=320, composite="day")

    assert len(film) == 4
    for picture, highest in zip(film, [0.3, 0.5, 0.7, 0.8], strict=True):
        assert_near(at(picture, 0.25, 0.5), of_ndvi(highest))


def test_what_lies_outside_of_the_polygon_is_no_data(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "triangle.geojson").write_text(
        '{"type": "Polygon", "coordinates": [[[0, 40], [3, 40], [0, 44], [0, 40]]]}'
    )

    film = made(archive, tmp_path / "season.mp4", read_geojson(tmp_path / "triangle.geojson"), width=320)

    rows, columns = film[0].shape[:2]
    assert_near(film[0][rows // 2, columns // 8], of_ndvi(0.2))
    assert_near(film[0][rows // 8, columns * 7 // 8], NO_DATA)


@pytest.mark.parametrize("south", [40.0, 42.0])
def test_a_degree_of_longitude_is_as_short_as_in_the_middle_of_the_region(
    archive: Path, tmp_path: Path, south: float
) -> None:
    region = box(1.0, south, 3.0, south + 2)
    pictures = Pictures(320, round(320 / cos(radians(south + 1))), "")

    assert made(archive, tmp_path / "season.gif", region, width=320)[0].shape == (pictures.rows, 320, 3)


@pytest.mark.parametrize("bounds", [(0.0, 40.0, 6.0, 41.0), (0.0, 40.0, 1.0, 44.0)])
def test_without_a_width_the_longer_side_of_the_map_has_960_pixels(
    archive: Path, tmp_path: Path, bounds: tuple[float, float, float, float]
) -> None:
    west, south, east, north = bounds
    wide, high = (east - west) * cos(radians((south + north) / 2)), north - south

    film = etl.animate(Selection(str(archive), "Europe", region=box(*bounds)), tmp_path / "long.gif")

    assert film.columns == pytest.approx(960 * min(1, wide / high), abs=2)
    footer = film.rows - film.columns * high / wide
    assert 30 < footer < 100


def test_a_region_smaller_than_a_pixel_is_shown_as_that_pixel(archive: Path, tmp_path: Path) -> None:
    film = made(archive, tmp_path / "tiny.mp4", box(1.01, 41.01, 1.02, 41.02), width=160)

    assert_near(film[0][80, 80], of_ndvi(0.2))


def test_the_overview_that_suffices_is_all_that_is_read(tmp_path: Path) -> None:
    archive = archived(tmp_path / "archive", LARGE, WEST[:3])
    group = archive / "europe/ndvi.zarr"
    expected = made(archive, tmp_path / "before.gif", width=320)
    for name in ("ndvi", "overviews/4/ndvi"):
        shutil.rmtree(group / name / "c")

    film = made(archive, tmp_path / "after.gif", width=320)

    np.testing.assert_array_equal(film, expected)
    assert_near(at(film[2], 0.75, 0.5), of_ndvi(0.85))


def test_a_mask_of_ones_own_is_not_taken_of_an_overview(tmp_path: Path) -> None:
    appender = Appender(LocalFolder(tmp_path / "archive"), "europe", Schema("Europe", LARGE, 12))
    codes = np.full((LARGE.rows, LARGE.columns), round(0.2 * 4095), np.uint16)
    codes[:, ::2] = round(0.4 * 4095)
    appender.append(pack(Frame(FrameEntry(1, FIRST, "S3A", Scale(0.0, 1.0)), codes, 12)))
    appender.commit()

    etl.animate(Selection(tmp_path / "archive", "Europe", mask=0.25), tmp_path / "high.mp4", width=160)

    assert_near(at(seen(tmp_path / "high.mp4")[0], 0.5, 0.5), of_ndvi(0.4))


@pytest.mark.parametrize("columns", [160, 320, 1920])
def test_a_long_title_is_cut_and_leaves_date_and_legend_alone(columns: int) -> None:
    values = np.full((4, 8), 5000, np.int16)
    titles = ("T", "T" + "itle\n" * 90)

    plain, titled = (Pictures(columns, 100, each).draw(values, "2021-06-01  S3A S3B") for each in titles)

    changed = np.argwhere((plain != titled).any(axis=2))
    text = max(10, min(28, columns // 36))
    assert len(changed)
    assert 100 + 1.6 * text < changed[:, 0].min()
    assert changed[:, 0].max() < 100 + 3.2 * text
    legend = np.argwhere((plain[100:] == NO_DATA).all(axis=2))[:, 1].min()
    assert changed[:, 1].max() < (legend if columns >= 300 else columns - text)


def test_the_date_has_room_in_the_narrowest_film() -> None:
    values = np.full((4, 8), 5000, np.int16)

    one, other = (Pictures(160, 100, "").draw(values, f"2021-06-01  S3A {name}") for name in ("S3B", "S3C"))

    assert np.argwhere((one != other).any(axis=2))[:, 1].min() > 100


@pytest.mark.parametrize("name", ["season.mp4", "season.gif"])
def test_a_damaged_frame_leaves_the_film_before_as_it_was(tmp_path: Path, name: str) -> None:
    archive = archived(tmp_path / "archive", SMALL)
    films = tmp_path / "films"
    films.mkdir()
    made(archive, films / name, width=160)
    before = (films / name).read_bytes()
    (archive / "europe/ndvi.zarr/ndvi/c/4/0/0").write_bytes(b"damaged")

    with pytest.raises(IncompatibleError, match="the frame of 2021-04-01T09:57:03 S3A is damaged"):
        made(archive, films / name, width=160)

    assert [path.name for path in films.iterdir()] == [name]
    assert (films / name).read_bytes() == before


def test_a_link_stays_a_link_to_the_new_film(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "first.gif").write_bytes(b"before")
    (tmp_path / "newest.gif").symlink_to("films/first.gif")

    made(archive, tmp_path / "newest.gif", width=160)

    assert (tmp_path / "newest.gif").is_symlink()
    assert len(seen(tmp_path / "films" / "first.gif")) == len(WEST)


def test_an_interrupted_film_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    def interrupt(done: int, planned: int, what: str = "", /) -> None:
        if done == 4:
            assert list(tmp_path.iterdir())
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="SIGINT"), ending_on_signals():
        made(archive, tmp_path / "season.mp4", progress=interrupt)

    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told(archive: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write /proc/season\.mp4: .*; check the path"):
        made(archive, Path("/proc/season.mp4"))


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("season.avi", {}, r"is neither \.mp4 nor \.gif"),
        ("nowhere/season.mp4", {}, "there is no folder"),
        ("folder.mp4", {}, "is a folder"),
        ("season.mp4", {"fps": 0}, "0 pictures a second"),
        ("season.mp4", {"fps": 100}, "100 pictures a second"),
        ("season.gif", {"fps": 60}, "60 pictures a second cannot be shown; choose 0.01 to 50"),
        ("season.mp4", {"width": 20}, "20 pixels wide"),
        ("season.mp4", {"composite": "year"}, "no composite 'year'; choose none, day, month"),
        ("season.mp4", {"width": 3840, "region": box(1.0, 40.0, 1.5, 44.0)}, "choose a wider region"),
        ("season.mp4", {"region": box(20.0, 40.0, 21.0, 41.0)}, "lies outside of the archive"),
    ],
)
def test_what_cannot_be_made_is_told_before_anything_is_written(
    archive: Path, tmp_path: Path, name: str, settings: dict[str, Any], told: str
) -> None:
    (tmp_path / "folder.mp4").mkdir()

    with pytest.raises(UsageError, match=told):
        made(archive, tmp_path / name, **settings)

    assert [path.name for path in tmp_path.iterdir()] == ["folder.mp4"]


def test_what_is_commonly_no_data_has_no_colour_to_be_shown_in(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="select with a mask"):
        etl.animate(Selection(str(archive), "Europe", mask=False), tmp_path / "season.mp4")


def test_without_matplotlib_the_extra_is_named(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(UsageError, match=r"run pip install 'ndvi-archive\[analysis\]'"):
        made(archive, tmp_path / "season.mp4")
