"""`ndvi-archive catalog`, and the catalog that every convert keeps as it was chosen."""

import json
import shutil
from pathlib import Path

import pystac
import pytest

from etl.demo.service import StandIn
from etl.load.folder import LocalFolder
from tests.program import contents, convert, run

FRAMES = 20


@pytest.fixture(scope="module")
def _archived(europe: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames, without items."""
    archive = tmp_path_factory.mktemp("archived") / "archive"
    with StandIn({"Europe": europe}) as service:  # type: ignore[dict-item]
        assert convert(service, archive).code == 0
    return archive


@pytest.fixture
def archived(_archived: Path, archive: Path) -> Path:
    shutil.copytree(_archived, archive)
    return archive


def catalogued(archive: Path) -> dict[str, bytes]:
    """The files of the catalog."""
    return {
        key: data
        for key, data in contents(archive).items()
        if not {".lease", "runs", "ndvi.zarr"} & set(Path(key).parts)
    }


def items(archive: Path) -> list[str]:
    catalog = pystac.Catalog.from_file(archive / "catalog.json")
    return [item.id for item in catalog.get_items(recursive=True)]


def test_it_adds_an_item_for_every_frame_and_later_runs_keep_that(service: StandIn, archive: Path) -> None:
    convert(service, archive, "--end", "2021-03-04")
    ended = run("catalog", "--archive", archive, "--items", "frame")
    assert ended.code == 0
    assert ended.out.startswith("Europe: 8 frames, ")
    assert ended.out.endswith(" written\n")
    assert len(items(archive)) == 8
    assert convert(service, archive).code == 0
    assert len(items(archive)) == FRAMES
    assert run("catalog", "--archive", archive).out == f"Europe: {FRAMES} frames, up to date\n"
    assert run("verify", "--archive", archive).code == 0


def test_convert_can_choose_too(service: StandIn, archive: Path) -> None:
    public = "https://example.org/ndvi"
    assert convert(service, archive, "--items", "frame", "--public-url", public).code == 0
    item = json.loads(next((archive / "europe" / "items").rglob("europe-*.json")).read_text())
    assert all(link["href"].startswith(f"{public}/") for link in item["links"])
    assert run("verify", "--archive", archive, "--quick").code == 0


def test_it_writes_what_was_lost(archived: Path) -> None:
    before = catalogued(archived)
    for key in before:
        (archived / key).unlink()
    assert run("catalog", "--archive", archived).code == 0
    assert catalogued(archived) == before


def test_its_result_can_be_read_by_machines(archived: Path) -> None:
    ended = run("--log-format", "json", "catalog", "--archive", archived, "--public-url", "https://a.org")
    result = json.loads(ended.out)
    [europe] = result["continents"]
    assert (europe["continent"], europe["frames"]) == ("Europe", FRAMES)
    assert europe["bytes_written"] > 0


def test_templates_of_ones_own_are_used(archived: Path, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(Path(__file__).parents[2] / "catalog_templates", templates)
    text = (templates / "collection.json").read_text()
    (templates / "collection.json").write_text(
        text.replace("Operator of this archive", "Institute of ${folder}")
    )
    assert run("catalog", "--archive", archived, "--templates", templates).code == 0
    collection = pystac.Collection.from_file(archived / "europe" / "collection.json")
    assert collection.providers is not None
    assert collection.providers[-1].name == "Institute of europe"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--public-url", "example.org/ndvi"], "no http or https address"),
        (["--public-url", "https://me:secret@a.org/"], "has an account"),
        (["--geoparquet"], "no items to export; add --items frame"),
        (["--items", "day"], "'day'"),
        (["--templates", "nowhere"], "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line_and_nothing_is_written(
    archived: Path, options: list[str], message: str
) -> None:
    before = catalogued(archived)
    ended = run("catalog", "--archive", archived, *options)
    assert ended.code == 2
    assert message in ended.error
    assert "secret" not in ended.err
    assert catalogued(archived) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ('{"id": "i", "title": "${mistake}", "description": "d"}', "the unknown placeholder ${mistake}"),
        ('{"id": "i", "title": "t", "description": "d", "providers": 5}', "providers: must be a list"),
    ],
)
def test_a_template_that_cannot_be_used_changes_nothing(
    archived: Path, tmp_path: Path, text: str, message: str
) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(Path(__file__).parents[2] / "catalog_templates", templates)
    (templates / "collection.json").write_text(text)
    before = catalogued(archived)
    ended = run("catalog", "--archive", archived, "--templates", templates)
    assert ended.code == 2
    assert message in ended.error
    assert str(templates / "collection.json") in ended.error
    assert catalogued(archived) == before


@pytest.mark.parametrize("option", ["--dry-run", "--no-progress"])
def test_a_template_that_cannot_be_used_stops_convert_before_it_asks_the_service(
    service: StandIn, archive: Path, tmp_path: Path, option: str
) -> None:
    ended = convert(service, archive, "--templates", tmp_path, option)

    assert ended.code == 2
    assert f"the template {tmp_path / 'catalog.json'} cannot be read" in ended.error
    assert service.requests == []
    assert not archive.exists()


def test_a_public_url_that_is_none_stops_convert_before_it_archives(service: StandIn, archive: Path) -> None:
    ended = convert(service, archive, "--public-url", "nowhere")
    assert (ended.code, archive.exists()) == (2, False)
    assert "no http or https address" in ended.error


def test_where_nothing_is_archived_it_says_so(tmp_path: Path) -> None:
    ended = run("catalog", "--archive", tmp_path)
    assert ended.code == 2
    assert "there is no archive in" in ended.error


def test_a_damaged_continent_keeps_no_other_from_its_catalog(archived: Path) -> None:
    shutil.copytree(archived / "europe", archived / "africa")
    (archived / "africa" / "ndvi.zarr" / "zarr.json").write_text("{")
    ended = run("catalog", "--archive", archived, "--items", "frame")
    assert ended.code == 6
    assert "africa" in ended.error
    assert ended.out.startswith(f"Europe: {FRAMES} frames, ")
    assert len(list((archived / "europe" / "items").rglob("*.png"))) == FRAMES


def test_while_a_run_writes_it_stops(archived: Path) -> None:
    with LocalFolder(archived).lease("europe"):
        ended = run("catalog", "--archive", archived, "--items", "frame")
    assert ended.code == 5
    assert not (archived / "europe" / "items").exists()
