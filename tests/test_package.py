"""The wheel holds all that the program needs."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from etl import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    # Pages that are built already are taken in; building them takes minutes.
    environment = os.environ | {"NDVI_ARCHIVE_BUILD_WEB": "no"}
    subprocess.run([*pip, str(ROOT)], check=True, capture_output=True, env=environment)
    return next(folder.glob("ndvi_archive-*.whl"))


def test_the_wheel_holds_the_package_its_templates_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "etl/py.typed" in names
    for folder in ("etl", "etl/demo"):
        assert {f"{folder}/catalog_templates/{name}.json" for name in ("catalog", "collection")} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"etl"}


def test_the_source_package_holds_what_people_read_and_the_scripts(tmp_path: Path) -> None:
    hatch = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(hatch, cwd=ROOT, check=True, capture_output=True)

    name = f"ndvi_archive-{__version__}"
    shutil.unpack_archive(tmp_path / f"{name}.tar.gz", tmp_path, filter="data")
    package = tmp_path / name
    assert (package / "CHANGELOG.md").read_text() == (ROOT / "CHANGELOG.md").read_text()
    for part in ("LICENSE", "README.md", "etl/py.typed", "scripts/figure.py", "catalog_templates"):
        assert (package / part).exists(), part
    assert not (package / "tests").exists()


def test_the_changelog_begins_with_this_version() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]

    assert headings[0].startswith(f"## [{__version__}] - ")


def test_the_wheel_holds_the_pages_that_are_built_and_not_their_sources(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {"etl/serve/pages/landing.html", "etl/serve/pages/landing.css"} <= set(names)
    for page in ("viewer", "browser"):
        index = f"etl/serve/static/{page}/index.html"
        assert (index in names) == (ROOT / index).is_file()
    assert not [name for name in names if name.startswith("etl/serve/web/")]


@pytest.mark.parametrize("built_before", [(), ("viewer",)])
def test_without_npm_the_wheel_is_built_and_says_which_pages_are_left_out_or_old(
    tmp_path: Path, built_before: tuple[str, ...]
) -> None:
    sources = tmp_path / "sources"
    for name in ("etl", "catalog_templates", "scripts"):
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("static", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    for page in built_before:
        (sources / "etl/serve/static" / page).mkdir(parents=True)
        (sources / "etl/serve/static" / page / "index.html").touch()
    pip = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-build-isolation"]

    done = subprocess.run(
        [*pip, "--wheel-dir", tmp_path, sources],
        check=True,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "NDVI_ARCHIVE_BUILD_WEB"}
        | {"PATH": str(tmp_path)},
    )

    for page in ("viewer", "browser"):
        what = "is taken in as it was built before" if page in built_before else "is left out."
        assert f"There is no npm: the {page} of `ndvi-archive serve` {what}" in done.stdout + done.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert "etl/serve/pages/landing.html" in names
    pages = {name.split("/")[3] for name in names if name.startswith("etl/serve/static/")}
    assert pages == {*built_before}


def test_templates_are_found_from_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import etl.catalog.templates as found; print(found.__file__, found.shipped_templates())"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )

    assert done.stdout.split() == [
        str(tmp_path / name) for name in ("etl/catalog/templates.py", "etl/catalog_templates")
    ]
