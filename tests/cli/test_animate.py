"""`ndvi-archive animate` as a user runs it."""

import json
from pathlib import Path

import av
import pytest
from PIL import Image

from etl.demo.service import StandIn, Stream
from tests.program import convert, run


@pytest.fixture(scope="module")
def europe_of(europe: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Europe, archived; to be read only."""
    folder = tmp_path_factory.mktemp("animate") / "archive"
    with StandIn({"Europe": europe}) as service:
        assert convert(service, folder).code == 0
    return folder


def test_a_film_of_a_week_and_a_box(europe_of: Path, tmp_path: Path) -> None:
    film = tmp_path / "week.mp4"

    ended = run(
        *("animate", "Europe", "--archive", europe_of, "--start", "2021-03-02", "--end", "2021-03-08"),
        *("--bbox", "0,40,10,50", "--fps", "5", "--width", "400", "--out", film),
    )

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{film}: 14 frames, 2.8 s, 400 × ")
    with av.open(str(film)) as container:
        assert len(list(container.decode(video=0))) == 14


def test_its_figures_as_json(europe_of: Path, tmp_path: Path) -> None:
    film = tmp_path / "months.gif"

    ended = run(
        *("--log-format", "json", "animate", "Europe", "--archive", europe_of, "--satellite", "S3A"),
        *("--composite", "month", "--width", "160", "--out", film),
    )

    assert ended.code == 0
    figures = json.loads(ended.out)
    assert (figures["path"], figures["frames"], figures["pictures"]) == (str(film), 10, 1)
    with Image.open(film) as image:
        assert image.size == (figures["columns"], figures["rows"])


def test_a_region_outside_is_told_in_one_line(europe_of: Path, tmp_path: Path) -> None:
    out = tmp_path / "film.mp4"

    ended = run("animate", "Europe", "--archive", europe_of, "--bbox", "40,40,50,50", "--out", out)

    assert ended.code == 2
    assert "lies outside of the archive; choose a place within -11 to 31 °E" in ended.error
    assert not out.exists()
