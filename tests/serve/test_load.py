"""The load that `scripts/load.py` puts on a server, for a moment."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import clean_environment

pytestmark = pytest.mark.slow

LOAD = Path(__file__).parents[2] / "scripts/load.py"


def test_under_load_every_answer_is_right_and_the_memory_stays(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, LOAD, "--archive", folder, "--connections", "20", "--seconds", "4"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d* answers, .*: {'206': [1-9]\d*}$", done.stdout, re.MULTILINE)
    assert "; 0 faults" in done.stdout


def test_memory_that_grows_while_it_is_at_work_is_noticed() -> None:
    has_grown = runpy.run_path(str(LOAD))["has_grown"]

    assert has_grown([60, 100, 105, 110, 121])
    assert not has_grown([60, 100, 130, 110, 119])
