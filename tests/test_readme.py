"""README is true: every command in it works on a clean checkout."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import av
import pytest

from etl.demo.service import StandIn
from tests.forked import clean_environment
from tests.program import with_login
from tests.test_soak import FAULTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


DEMO, TEST, FIELD, ARCHIVE, WORKERS, TAKE, OPTIMIZE, *OTHERS = blocks("sh")
NIGHT, CHECK, REBUILD, CATALOG, MEMORY, SOAK = OTHERS
OPEN, FIRST_RECIPE, *_ = blocks("python")
(OVERVIEW,) = re.findall(r"`(xr\.open_zarr\([^`]*group=[^`]*)`", README)
(COURSE,) = (block for block in blocks("python") if 'layout="series"' in block)


def shell(
    script: str, folder: Path, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a block in a folder, as a user's shell does, up to the first command that fails."""
    return subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=folder,
        env=clean_environment() | (variables or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout: nothing that was installed or made here."""
    made_here = shutil.ignore_patterns(
        *(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "*-archive", "build", "static")
    )
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("checkout") / "source", ignore=made_here))


@pytest.fixture(scope="module")
def demo(checkout: Path) -> subprocess.CompletedProcess[str]:
    """What the first command of README does."""
    return shell(DEMO, checkout)


def test_the_demo_ends_with_lines_that_open_its_archive(
    checkout: Path, demo: subprocess.CompletedProcess[str]
) -> None:
    assert demo.returncode == 0, demo.stderr
    assert demo.stdout.count("120 frames archived") == 2
    lines = demo.stdout.split("Open the result in Python:\n")[1].split("What the archive holds")[0]
    code = "\n".join(line.strip() for line in lines.splitlines())

    opened = subprocess.run(
        [checkout / ".venv/bin/python", "-c", code], cwd=checkout, capture_output=True, text=True, check=False
    )

    assert opened.returncode == 0, opened.stderr
    assert "(time: 240, latitude: 400, longitude: 672)" in opened.stdout


def test_the_recipes_begin_with_the_archive_of_the_demo(
    checkout: Path, demo: subprocess.CompletedProcess[str]
) -> None:
    assert demo.returncode == 0, demo.stderr

    opened = subprocess.run(
        [checkout / ".venv/bin/python", "-c", FIRST_RECIPE],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )

    assert opened.returncode == 0, opened.stderr
    assert "(time: 240, latitude: 400, longitude: 672)" in opened.stdout
    assert "dask.array" in opened.stdout


def test_the_archive_of_the_demo_has_the_overview_and_the_series_that_recipes_open(
    checkout: Path, demo: subprocess.CompletedProcess[str]
) -> None:
    assert demo.returncode == 0, demo.stderr
    code = f"import etl\nimport xarray as xr\nprint(dict({OVERVIEW}.ndvi.sizes))\n{COURSE}"

    optimized = shell(OPTIMIZE, checkout)
    opened = subprocess.run(
        [checkout / ".venv/bin/python", "-W", "error", "-c", code],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )

    assert optimized.returncode == 0, optimized.stderr
    assert "224 frames put into the series, which has 224 of 240 now" in optimized.stdout
    assert opened.returncode == 0, opened.stderr
    assert "{'time': 240, 'latitude': 200, 'longitude': 336}" in opened.stdout
    assert "2021-06-28" in opened.stdout


def test_the_way_from_a_clone_to_the_time_series_of_a_polygon_and_to_files_and_films(
    checkout: Path, demo: subprocess.CompletedProcess[str]
) -> None:
    assert demo.returncode == 0, demo.stderr

    field = shell(FIELD, checkout)
    taken = shell(f". .venv/bin/activate\n{TAKE}", checkout)

    assert field.returncode == 0, field.stderr
    assert field.stdout.count("  S3A  ") == field.stdout.count("  S3B  ") == 120
    assert (checkout / "mine.png").read_bytes().startswith(b"\x89PNG")
    assert taken.returncode == 0, taken.stderr
    names = sorted(path.name for path in (checkout / "maps").iterdir())
    days = ("20210501", "20210502", "20210503")
    assert names == [
        f"NDVI_Synthetic-Europe_{satellite}_{day}.tif" for satellite in ("S3A", "S3B") for day in days
    ]
    assert len((checkout / "munich.csv").read_text().splitlines()) == 1 + 240
    with av.open(str(checkout / "alps.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 120


def test_the_second_command_is_the_one_that_runs_these_tests() -> None:
    assert TEST == "scripts/test\n"
    assert os.access(ROOT / "scripts/test", os.X_OK)
    assert "exec scripts/test" in (ROOT / ".ci/run").read_text()


def test_the_commands_that_archive_a_continent_work_and_so_do_the_lines_that_open_it(
    checkout: Path, demo: subprocess.CompletedProcess[str], service: StandIn
) -> None:
    assert demo.returncode == 0, demo.stderr

    archived = shell(ARCHIVE, checkout, with_login(service))
    opened = subprocess.run(
        [checkout / ".venv/bin/python", "-c", OPEN], cwd=checkout, capture_output=True, text=True, check=False
    )

    assert archived.returncode == 0, archived.stderr
    assert "would archive 10 frames" in archived.stdout
    assert "10 frames archived, 0 there before" in archived.stdout
    assert "10 frames archived, 10 there before" in archived.stdout
    assert "Europe: 20 frames; S3A 10, S3B 10" in archived.stdout
    assert opened.returncode == 0, opened.stderr
    assert "'time': 10" in opened.stdout


def test_the_command_for_many_workers_works(
    checkout: Path, demo: subprocess.CompletedProcess[str], service: StandIn
) -> None:
    assert demo.returncode == 0, demo.stderr
    shutil.rmtree(checkout / "archive", ignore_errors=True)

    archived = shell(f". .venv/bin/activate\n{WORKERS}", checkout, with_login(service))

    assert archived.returncode == 0, archived.stderr
    assert "sharing the frames among 4 workers" in archived.stderr
    assert "20 frames archived, 0 there before" in archived.stdout


def test_the_commands_of_every_night_work_and_so_do_those_that_check_and_rebuild(
    checkout: Path, demo: subprocess.CompletedProcess[str], service: StandIn
) -> None:
    assert demo.returncode == 0, demo.stderr
    service.streams["Africa"] = service.streams["Europe"]
    shutil.rmtree(checkout / "archive", ignore_errors=True)

    # As after the block before them, in which the environment was activated.
    night, checked, rebuilt, catalogued = (
        shell(f". .venv/bin/activate\n{block}", checkout, with_login(service))
        for block in (NIGHT, CHECK, REBUILD, CATALOG)
    )

    assert night.returncode == 0, night.stderr
    assert json.loads((checkout / "night.json").read_text())["exit_code"] == 0
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "20 frames" in rebuilt.stdout
    assert catalogued.returncode == 0, catalogued.stderr
    assert len(list(checkout.glob("archive/europe/items/2021/2021-03/*.json"))) == 21


def test_the_soak_is_the_one_of_its_own_test() -> None:
    assert f".venv/bin/python scripts/soak.py --faults {FAULTS}\n" == SOAK


def test_memory_does_not_grow_with_the_length_of_a_run(
    checkout: Path, demo: subprocess.CompletedProcess[str]
) -> None:
    assert demo.returncode == 0, demo.stderr

    measured = shell(MEMORY, checkout)

    assert measured.returncode == 0, measured.stdout + measured.stderr
    assert "2000 frames:" in measured.stdout


def test_all_exit_codes_are_listed() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}

    assert listed == {*range(8), 130, 143}
