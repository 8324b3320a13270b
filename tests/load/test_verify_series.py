"""What is wrong with a series is found and named, and what is not is not."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from etl.errors import StorageError
from etl.load.archive import Appender
from etl.load.folder import LocalFolder
from etl.load.generations import finish_replacing, prepare_replacing, side_folder
from etl.load.verify.continent import check_structure
from etl.load.verify.findings import Verdict
from etl.load.verify.frames import check_frames
from etl.load.verify.series_values import check_series_values

from .archives import FOLDER, WatchedFolder, WithoutExchange, frames, group_path
from .series import WIDE, archive_frames, optimize
from .test_verify import Damage, added, cut, edited, removed, stored

pytestmark = pytest.mark.usefixtures("unsynced")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames, eight of them in the series."""
    store = LocalFolder(tmp_path_factory.mktemp("pristine"))
    archive_frames(store, range(1, 11))
    optimize(store)
    return store.root


@pytest.fixture
def optimized(pristine: Path, store: LocalFolder) -> LocalFolder:
    shutil.copytree(pristine, store.root)
    return store


def verified(store: LocalFolder, *, quick: bool) -> Verdict:
    verdict = Verdict()
    snapshot, damaged = check_structure(store, FOLDER, verdict)
    assert snapshot is not None
    if not quick:
        check_frames(snapshot, damaged, verdict, lambda done, planned: None)
        check_series_values(snapshot, verdict, lambda done, planned: None)
    return verdict


def assert_sound(store: LocalFolder) -> list[str]:
    verdict = verified(store, quick=False)
    assert [str(finding) for finding in verdict.findings] == []
    return verdict.notes


def test_a_series_is_sound(optimized: LocalFolder) -> None:
    assert assert_sound(optimized) == []


def test_a_run_that_was_interrupted_leaves_nothing_that_is_wrong(tmp_path: Path) -> None:
    noted: set[str] = set()
    for refused in (1, 6, 13, 16, 20, 22, 23):
        store = LocalFolder(tmp_path / str(refused))
        archive_frames(store, range(1, 9))
        with pytest.raises(StorageError):
            optimize(WatchedFolder(store.root, refused_from=refused))
        noted.update(note.partition(" objects beyond ")[2] or note for note in assert_sound(store))
    assert noted == {
        "the committed series are of a run that was interrupted, or that is under way; the next one writes"
        " them anew",
        "the series is being extended, or that was interrupted; the next run goes on with it",
    }


@pytest.mark.parametrize("kind", [WatchedFolder, WithoutExchange])
def test_what_a_rebuild_leaves_of_it_goes_by_itself(
    optimized: LocalFolder, kind: type[WatchedFolder]
) -> None:
    appender = Appender(optimized, side_folder(FOLDER), replace(WIDE, keys="v2"))
    for each in frames(range(1, 7), WIDE):
        appender.append(each)
    appender.commit()
    folder = kind(optimized.root)
    prepare_replacing(folder, FOLDER)
    finish_replacing(folder, FOLDER)

    for _ in range(2):
        notes = assert_sound(optimized)
        assert len(notes) == 2
        assert any("objects of a series are of the group before or after a rebuild" in note for note in notes)
        optimize(optimized)


def frames_exchanged(group: Path) -> None:
    one, other = (group / f"series/ndvi/c/{period}/0/0" for period in (0, 1))
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def flipped(place: str, position: int) -> Damage:
    def flip(group: Path) -> None:
        data = bytearray((group / place).read_bytes())
        data[position] ^= 0x10
        (group / place).write_bytes(data)

    return flip


def without_consolidated(path: str) -> Damage:
    def drop(group: Path) -> None:
        document = json.loads((group / "zarr.json").read_text())
        del document["consolidated_metadata"]["metadata"][path]
        (group / "zarr.json").write_text(json.dumps(document))

    return drop


STRUCTURE: dict[str, tuple[Damage, str, str]] = {
    "a missing shard": (removed("series/ndvi/c/1/0/0"), "object", "its object is missing"),
    "a cut shard": (cut("series/ndvi/c/1/1/0"), "object", "is cut off or damaged"),
    "a missing column": (removed("series/satellite/c/0"), "object", "its object is missing"),
    "a cut column": (cut("series/time/c/0"), "series", "time cannot be read"),
    "other times": (stored("series/time", 3, 5), "series", "time is not that of the frames"),
    "other latitudes": (stored("series/latitude", 3, 5), "series", "latitude is not that of the frames"),
    "another reference system": (stored("series/crs", ..., 1), "series", "crs is not that of the frames"),  # type: ignore[arg-type]
    "own metadata missing": (removed("series/zarr.json"), "metadata", "is missing"),
    "own metadata of an array cut": (cut("series/ndvi/zarr.json"), "metadata", "is not valid JSON"),
    "own metadata behind": (
        edited("series/ndvi/zarr.json", "shape", 0, to=4),
        "metadata",
        "shape[0] is 4, not 8",
    ),
    "another scale": (
        edited("zarr.json", "series/ndvi", "attributes", "scale_factor", to=0.001),
        "metadata",
        "series/ndvi.attributes.scale_factor is 0.001, not 0.0001",
    ),
    "attributes of the group": (
        edited("zarr.json", "series", "attributes", "continent", to="Asia"),
        "metadata",
        "series.attributes.continent is 'Asia', not 'Europe'",
    ),
    "a length that is no period": (
        edited("zarr.json", "series/ndvi", "shape", 0, to=7),
        "metadata",
        "series cannot be understood",
    ),
    "a column of another length": (
        edited("zarr.json", "series/time", "shape", 0, to=4),
        "metadata",
        "series/time.shape[0] is 4, not 8",
    ),
    "no column": (without_consolidated("series/satellite"), "metadata", "series cannot be understood"),
    "no group": (without_consolidated("series"), "metadata", "is not known"),
    "an array that is not known": (
        edited("zarr.json", "series/evi", to={}),
        "metadata",
        "series/evi is not known",
    ),
    "something else": (added("series/notes.txt"), "object", "does not belong into the archive"),
    "a shard that is none": (added("series/ndvi/c/0/7/0"), "object", "does not belong into the archive"),
}

VALUES: dict[str, tuple[Damage, str, str]] = {
    "flipped": (flipped("series/ndvi/c/1/1/0", 40), "series", "c/1/1/0"),
    "a header": (flipped("series/ndvi/c/1/1/0", 3), "series", "c/1/1/0"),
    "exchanged": (frames_exchanged, "series", "its object holds other values than frame 1 ("),
    "written over": (stored("series/ndvi", (2, 515, 7), 0.5), "series", "other values than frame 3 ("),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("damage", "check", "what"), STRUCTURE.values(), ids=STRUCTURE)
def test_what_is_wrong_with_its_structure_is_found_without_reading_values(
    optimized: LocalFolder, damage: Callable[[Path], object], check: str, what: str
) -> None:
    damage(group_path(optimized))

    findings = verified(optimized, quick=True).findings

    told = [f"{finding.check}: {finding}" for finding in findings]
    assert any(each.startswith(f"{check}: ") and what in each for each in told), told
    assert all("series" in f"{finding}" for finding in findings), told


@pytest.mark.parametrize(("damage", "check", "what"), VALUES.values(), ids=VALUES)
def test_other_values_are_found_by_reading_them(
    optimized: LocalFolder, damage: Callable[[Path], object], check: str, what: str
) -> None:
    damage(group_path(optimized))

    findings = verified(optimized, quick=False).findings

    assert {finding.check for finding in findings} == {check}
    assert any(what in str(finding) for finding in findings), findings


def test_a_damaged_frame_does_not_accuse_the_series(optimized: LocalFolder) -> None:
    path = group_path(optimized) / "ndvi/c/5/0/0"
    path.write_bytes(path.read_bytes()[:-1])

    findings = verified(optimized, quick=False).findings

    assert [finding.check for finding in findings] == ["object"]
