"""What a person at a terminal sees."""

import os
import pty
import subprocess
from pathlib import Path

from etl.demo.service import StandIn
from tests.program import PROGRAM, clean_environment, with_token


def at_a_terminal(*arguments: str | Path, variables: dict[str, str]) -> str:
    """Run the program with a terminal as its standard error; return what it shows there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [PROGRAM, *arguments],
        env=clean_environment() | variables | {"TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:  # Linux tells the end of a terminal as an error.
                break
        os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_a_bar_shows_frames_a_second_and_the_time_left(service: StandIn, archive: Path) -> None:
    shown = at_a_terminal("convert", "Europe", "--archive", archive, variables=with_token(service))

    assert "20/20" in shown
    assert "frames/s" in shown
    assert "0:00:00" in shown


def test_the_bar_goes_on_with_the_items_of_the_catalog(service: StandIn, archive: Path) -> None:
    shown = at_a_terminal(
        "convert", "Europe", "--archive", archive, "--items", "frame", variables=with_token(service)
    )

    frames, items = shown.split("items", 1)
    assert "frames/s" in frames
    assert "20/20" in items
    assert "items/s" in items


def test_the_bar_can_be_switched_off(service: StandIn, archive: Path) -> None:
    shown = at_a_terminal(
        "convert", "Europe", "--archive", archive, "--no-progress", variables=with_token(service)
    )

    assert "20/20" not in shown
    assert "committed 20 of 20 frames" in shown
