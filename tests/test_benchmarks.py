"""The benchmarks, with everything in tiny: that they run and tell all figures, not what these are."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
MEASURED = {"wall", "cpu", "peak", "processes"}

MEASURE: list[str | Path] = [sys.executable, "-S", SCRIPTS / "benchmarks" / "runner.py"]
BUSY = "end = __import__('time').process_time() + 0.3\nwhile __import__('time').process_time() < end: pass"
"""A third of a second of work."""


@dataclass(frozen=True)
class Ended:
    """A run of all benchmarks."""

    code: int
    told: str
    folder: Path
    found: dict[str, Any]


def benchmarks(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(SCRIPTS), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    if shutil.which("ffmpeg") is None:
        pytest.skip("NOT TESTED: there is no ffmpeg program to compare a conversion with")
    folder = tmp_path_factory.mktemp("bench")
    done = benchmarks("--tiny", "--repeat", "1", "--check", "--out", folder)
    assert (folder / "results.json").exists(), done.stderr
    found = json.loads((folder / "results.json").read_text())
    return Ended(done.returncode, done.stdout, folder, found)


def test_every_benchmark_tells_its_figures_as_numbers(ended: Ended) -> None:
    assert ended.found["failed"] == {}
    assert list(ended.found["groups"]) == ["convert", "usual", "append", "read", "range", "scale"]
    for name, group in ended.found["groups"].items():
        assert group["figures"], name
        for figure in numbers(group):
            assert math.isfinite(figure), name


def test_every_run_was_measured_and_none_is_left_out(ended: Ended) -> None:
    for group in ended.found["groups"].values():
        for name, figures in group["variants"].items():
            assert set(figures) >= MEASURED, name
            for figure in MEASURED:
                (value,) = figures[figure]["runs"]
                assert value == figures[figure]["median"] > 0, name


def test_all_ways_to_convert_are_compared_in_size(ended: Ended) -> None:
    sizes = {
        name: figures["size"]["median"]
        for name, figures in ended.found["groups"]["usual"]["variants"].items()
    }

    # Four frames of 64 × 48 pixels: 4 bytes each in a GeoTIFF without compression.
    assert set(sizes) == {"convert", "GeoTIFF", "to_zarr"}
    assert 4 * 64 * 48 * 4 < sizes["GeoTIFF"] < 8 * 64 * 48 * 4
    assert sizes["convert"] > 0
    assert sizes["to_zarr"] > 0


def test_frames_decoded_for_a_range_are_counted(ended: Ended) -> None:
    for container, counts in ended.found["groups"]["range"]["more"].items():
        assert counts["decoded"] >= counts["asked"] == 10, container
        assert counts["necessary_frames"] >= counts["asked"], container
        assert counts["downloaded"] > 0, container


def test_the_model_tells_of_one_to_a_thousand_workers(ended: Ended) -> None:
    points = ended.found["groups"]["scale"]["more"]["cluster"]

    assert [points[0]["workers"], points[-1]["workers"]] == [1, 1000]
    walls = [point["wall"] for point in points]
    assert walls == sorted(walls, reverse=True)


def test_the_check_ends_with_one_where_a_target_is_missed(ended: Ended) -> None:
    missed = [target for target in ended.found["targets"] if not target["holds"]]
    lines = [line for line in ended.told.splitlines() if line.startswith("MISSED")]

    assert len(lines) == len(missed)
    assert ended.code == (1 if missed else 0)


def test_a_table_and_a_plot_are_written_and_only_clips_stay_beside_them(ended: Ended) -> None:
    names = sorted(path.name for path in ended.folder.iterdir())

    assert names == ["clips", "plot.png", "plot.svg", "results.json", "table.md"]
    assert (ended.folder / "table.md").read_text() in ended.told
    assert (ended.folder / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_measurement_counts_the_work_of_children_and_grandchildren(tmp_path: Path) -> None:
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\n{BUSY}"

    done = subprocess.run([*MEASURE, tmp_path / "result.json", sys.executable, "-c", child], check=False)

    figures = json.loads((tmp_path / "result.json").read_text())
    assert done.returncode == figures["code"] == figures["left"] == 0
    assert figures["cpu"] >= 0.6


def test_a_measurement_adds_up_the_memory_of_processes_that_run_at_a_time(tmp_path: Path) -> None:
    hold = "held = b'x' * 80_000_000; print(flush=True); input()"
    parent = (
        "import subprocess, sys\n"
        f"command = [sys.executable, '-c', {hold!r}]\n"
        "children = [subprocess.Popen(command, stdin=-1, stdout=-1) for _ in '12']\n"
        "[child.stdout.readline() for child in children]\n"
        f"{BUSY}\n"
        "[child.communicate(b'\\n') for child in children]\n"
    )

    subprocess.run([*MEASURE, tmp_path / "result.json", sys.executable, "-c", parent], check=True)

    figures = json.loads((tmp_path / "result.json").read_text())
    assert figures["processes"] == 3
    assert 160e6 < figures["peak"] < 240e6


def test_a_failure_of_what_is_measured_is_told(tmp_path: Path) -> None:
    command = [*MEASURE, tmp_path / "result.json", sys.executable, "-c", "raise SystemExit(3)"]

    subprocess.run(command, check=False)

    assert json.loads((tmp_path / "result.json").read_text())["code"] == 3


def numbers(found: object) -> Iterator[float]:
    """All values that are not text, at any depth; there must be nothing else."""
    if isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from numbers(each)
    elif not isinstance(found, str):
        assert isinstance(found, int | float), found
        yield found
