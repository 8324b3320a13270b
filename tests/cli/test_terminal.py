"""What a person at a terminal sees."""

from pathlib import Path

from etl.demo.service import StandIn
from tests.program import at_a_terminal, with_token


def test_a_bar_shows_frames_a_second_and_the_time_left(service: StandIn, archive: Path) -> None:
    shown = at_a_terminal(
        *("convert", "Europe", "--archive", archive), stream="stderr", variables=with_token(service)
    )

    assert "20/20" in shown
    assert "frames/s" in shown
    assert "0:00:00" in shown


def test_the_bar_goes_on_with_the_items_of_the_catalog(service: StandIn, archive: Path) -> None:
    shown = at_a_terminal(
        "convert",
        "Europe",
        "--archive",
        archive,
        "--items",
        "frame",
        stream="stderr",
        variables=with_token(service),
    )

    frames, items = shown.split("items", 1)
    assert "frames/s" in frames
    assert "20/20" in items
    assert "items/s" in items


def test_the_bar_can_be_switched_off(service: StandIn, archive: Path) -> None:
    shown = at_a_terminal(
        "convert",
        "Europe",
        "--archive",
        archive,
        "--no-progress",
        stream="stderr",
        variables=with_token(service),
    )

    assert "20/20" not in shown
    assert "committed 20 of 20 frames" in shown
