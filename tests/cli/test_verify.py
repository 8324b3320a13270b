"""`ndvi-archive verify` as an operator runs it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etl.demo.service import StandIn, Stream
from tests.forked import clean_environment
from tests.program import PROGRAM, contents, convert, run, with_token

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def pristine(europe: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of Europe, archived by the program."""
    archive = tmp_path_factory.mktemp("pristine") / "archive"
    with StandIn({"Europe": europe}) as service:
        assert convert(service, archive).code == 0
    return archive


@pytest.fixture
def archived(pristine: Path, archive: Path) -> Path:
    shutil.copytree(pristine, archive)
    return archive


def verify(archive: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    ended = run("verify", "--archive", archive, "--json", *arguments)
    return ended.code, json.loads(ended.out)


def test_a_sound_archive_is_said_to_be_so_and_nothing_is_written(archived: Path) -> None:
    before = contents(archived)

    ended = run("verify", "Europe", "--archive", archived)

    assert (ended.code, ended.out, ended.err) == (0, "Europe: 20 frames, 20 read; nothing wrong\n", "")
    assert contents(archived) == before
    assert run("verify", "--quick", "--archive", archived).out == (
        "Europe: 20 frames, structure checked; nothing wrong\n"
    )


def test_a_flat_archive_that_was_rebuilt_is_sound(service: StandIn, archive: Path) -> None:
    convert(service, archive, "--layout", "flat")
    assert convert(service, archive, "--rebuild").code == 0

    code, figures = verify(archive)

    assert code == 0
    (continent,) = figures["continents"]
    assert (continent["frames_read"], continent["findings"]) == (20, [])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)


def swap(path: Path) -> None:
    other = path.parents[2] / "5/0/0"
    data = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "positions", "quick"),
    [
        (flip, [4], False),
        (swap, [4, 5], False),
        (Path.unlink, [4], True),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), [4], True),
    ],
    ids=["flipped", "swapped", "missing", "truncated"],
)
def test_damaged_frames_are_named_with_exit_code_6(
    archived: Path, damage: Damage, positions: list[int], *, quick: bool
) -> None:
    damage(archived / "europe/ndvi.zarr/ndvi/c/4/0/0")

    for arguments in [[], ["--quick"]] if quick else [[]]:
        code, figures = verify(archived, *arguments)
        assert code == 6
        (continent,) = figures["continents"]
        assert [finding["frame"]["position"] for finding in continent["findings"]] == positions
        first = continent["findings"][0]
        assert first["frame"] == {
            "position": 4,
            "number": 5,
            "time": first["frame"]["time"],
            "satellite": "S3A",
        }
        assert first["frame"]["time"].startswith("2021-03-03T")
        assert first["where"] == "europe/ndvi.zarr/ndvi/c/4/0/0"
        assert first["kind"] == "damage"


def test_findings_are_lines_for_people_and_the_error_counts_them(archived: Path) -> None:
    (archived / "europe/ndvi.zarr/ndvi/c/4/0/0").unlink()
    (archived / "catalog.json").unlink()

    ended = run("verify", "--archive", archived)

    assert ended.code == 6
    assert ended.error.startswith(f"2 findings in {archived}; ")
    head, frame, catalog, missing = ended.out.splitlines()
    assert head == "Europe: 20 frames, 19 read; 1 finding"
    assert frame.startswith("  damage: frame 5 (2021-03-03T")
    assert frame.endswith(" S3A) at position 4: its object is missing [europe/ndvi.zarr/ndvi/c/4/0/0]")
    assert catalog == "catalog: 1 finding"
    assert missing == "  damage: is missing; the next run of convert writes it anew [catalog.json]"


def test_edited_metadata_and_a_lost_continent_are_findings_and_no_traceback(archived: Path) -> None:
    root = archived / "europe/ndvi.zarr/zarr.json"
    text = root.read_text()
    root.write_text(text.replace('"scale_factor": 0.0001', '"scale_factor": 0.001'))
    code, figures = verify(archived, "--quick")
    assert code == 6
    assert any("scale_factor" in finding["what"] for finding in figures["continents"][0]["findings"])

    root.write_text(text[:-2])
    assert verify(archived)[0] == 6

    shutil.rmtree(archived / "europe")
    code, figures = verify(archived)
    assert code == 6
    assert figures["continents"] == []
    assert "europe/collection.json" in figures["catalog"]["findings"][0]["what"]


def test_where_there_is_no_archive_it_is_a_mistake_of_the_user(archived: Path, tmp_path: Path) -> None:
    empty = run("verify", "--archive", tmp_path / "nothing")
    assert empty.code == 2
    assert "there is no archive" in empty.error
    other = run("verify", "Africa", "--archive", archived)
    assert other.code == 2
    assert "nothing of Africa is archived" in other.error


def test_frames_are_compared_with_the_service(archived: Path, service: StandIn) -> None:
    arguments = ("verify", "--archive", archived, "--quick", "--against-source", "6")

    ended = run(*arguments, "--seed", "5", variables=with_token(service))
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "Europe: 20 frames, structure checked, 6 compared with the service; nothing wrong",
        "frames drawn with --seed 5",
    ]

    service.faults.metadata = lambda answer: answer | {"images": []}
    ended = run(*arguments, "--json", variables=with_token(service))
    assert ended.code == 6
    figures = json.loads(ended.out)
    assert isinstance(figures["seed"], int)
    kinds = [finding["kind"] for finding in figures["continents"][0]["findings"]]
    assert kinds == ["difference"] * 6


def test_a_service_that_refuses_is_told_after_what_was_found(archived: Path, service: StandIn) -> None:
    service.faults.forbidden = True
    arguments = ("verify", "--archive", archived, "--against-source", "6")
    ended = run(*arguments, variables=with_token(service))
    assert ended.code == 3
    assert ended.out.startswith("Europe: 20 frames, 20 read, 0 compared with the service; nothing wrong\n")

    (archived / "catalog.json").unlink()
    assert run(*arguments, variables=with_token(service)).code == 6


def test_an_archive_is_sound_at_any_moment_while_convert_writes_it(service: StandIn, archive: Path) -> None:
    convert(service, archive, "--end", "2021-03-01")
    service.faults.bytes_per_second = 60_000
    variables = {"NDVI_ARCHIVE_COMMIT_FRAMES": "1", **with_token(service)}
    with subprocess.Popen(
        [PROGRAM, "convert", "Europe", "--archive", archive],
        env=clean_environment() | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as writing:
        seen = []
        while writing.poll() is None:
            code, figures = verify(archive)
            assert code == 0, figures
            seen.append(figures["continents"][0]["frames"])
    assert writing.returncode == 0
    code, figures = verify(archive)
    assert (code, figures["continents"][0]["frames"]) == (0, 20)
    assert seen
    assert seen == sorted(seen)
