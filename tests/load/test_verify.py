"""A store is what this program writes, or what is wrong is named, without a frame being decoded."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from etl.errors import StorageError
from etl.load.folder import LocalFolder
from etl.load.generations import finish_replacing, prepare_replacing, side_folder
from etl.load.inventory import GROUP
from etl.load.schema import Keys, Layout, Schema
from etl.load.verify.continent import check_structure
from etl.load.verify.documents import check_documents
from etl.load.verify.findings import Finding, Verdict
from etl.load.verify.frames import check_frames
from etl.transform.grid import Grid
from tests.conftest import BBOX

from .archives import FOLDER, SMALL, WatchedFolder, WithoutExchange, archive, frames, group_path, objects

pytestmark = pytest.mark.usefixtures("unsynced")

FRAMES = frames(range(1, 8))
FOUR_CHUNKS = Grid(600, 520, BBOX)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames of 5 × 3 pixels; the fourth holds no data."""
    store = LocalFolder(tmp_path_factory.mktemp("pristine"))
    archive(store, FRAMES)
    return store.root


@pytest.fixture
def archived(pristine: Path, store: LocalFolder) -> LocalFolder:
    """A copy of it to be damaged."""
    shutil.copytree(pristine, store.root)
    return store


def verified(store: LocalFolder, *, quick: bool = True) -> Verdict:
    verdict = Verdict()
    snapshot, damaged = check_structure(store, FOLDER, verdict)
    if snapshot is not None and not quick:
        check_frames(snapshot, damaged, verdict, lambda done, planned: None)
    return verdict


def assert_sound(store: LocalFolder) -> list[str]:
    verdict = verified(store, quick=False)
    assert [str(finding) for finding in verdict.findings] == []
    return verdict.notes


@pytest.mark.parametrize("keys", ["default", "v2"])
@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_an_archive_of_any_layout_and_generation_is_sound(
    store: LocalFolder, layout: Layout, keys: Keys
) -> None:
    schema = Schema("Europe", FOUR_CHUNKS, 12, layout, keys)
    archive(store, frames([1, 4], schema), schema)
    assert assert_sound(store) == []


def test_a_rebuilt_archive_is_sound_while_the_old_objects_lie_beside_the_new(archived: LocalFolder) -> None:
    _rebuild(archived, archived)
    notes = assert_sound(archived)
    assert [note.partition(" objects ")[2] for note in notes] == [
        "are of the group before or after a rebuild; they go by themselves"
    ]


def test_a_folder_where_nothing_was_committed_yet_is_noted(store: LocalFolder) -> None:
    (store.root / FOLDER).mkdir(parents=True)
    (store.root / FOLDER / ".lease").touch()
    assert assert_sound(store) == ["a run has begun here, and has not committed a frame yet"]


def test_a_run_that_is_interrupted_at_any_write_leaves_nothing_that_is_wrong(
    pristine: Path, tmp_path: Path
) -> None:
    noted = set()
    for refused in range(1000):
        root = tmp_path / str(refused)
        shutil.copytree(pristine, root)
        folder = WatchedFolder(root, refused_from=refused)
        try:
            archive(folder, frames([8, 9]))
        except StorageError:
            noted.update(assert_sound(LocalFolder(root)))
        else:
            break
    assert refused > 20
    assert any("objects beyond the committed frames" in note for note in noted)
    assert "a commit was interrupted, or is under way; the next run completes or drops it" in noted


@pytest.mark.parametrize(("kind", "is_mixed"), [(WatchedFolder, False), (WithoutExchange, True)])
def test_a_rebuild_that_is_interrupted_at_any_write_leaves_nothing_that_is_wrong(
    pristine: Path, tmp_path: Path, kind: type[WatchedFolder], *, is_mixed: bool
) -> None:
    noted = set()
    for refused in range(1000):
        root = tmp_path / str(refused)
        shutil.copytree(pristine, root)
        try:
            _rebuild(LocalFolder(root), kind(root, refused_from=refused))
        except StorageError:
            noted.update(assert_sound(LocalFolder(root)))
        else:
            break
    assert refused > 10
    mixed = "a rebuild was interrupted, or is under way; the next run completes it"
    assert (mixed in noted) is is_mixed


def _rebuild(store: LocalFolder, switching: LocalFolder) -> None:
    """Write all frames but one anew, and put them into the place of the old ones."""
    side = LocalFolder(store.root)
    schema = Schema(SMALL.continent, SMALL.grid, SMALL.bits, keys="v2")
    within = LocalFolder(store.root / "side")
    archive(within, FRAMES[1:], schema)
    target = side.root / side_folder(FOLDER) / GROUP
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(group_path(within), target)
    shutil.rmtree(within.root)
    prepare_replacing(switching, FOLDER)
    finish_replacing(switching, FOLDER)


Damage = Callable[[Path], object]


def removed(place: str) -> Damage:
    return lambda group: (group / place).unlink()


def cut(place: str, by: int = 1) -> Damage:
    return lambda group: (group / place).write_bytes((group / place).read_bytes()[:-by])


def added(place: str) -> Damage:
    def add(group: Path) -> None:
        (group / place).parent.mkdir(parents=True, exist_ok=True)
        (group / place).write_bytes(b"?")

    return add


def edited(place: str, *path: str | int, to: object, below: bool = True) -> Damage:
    """Change a field of a metadata file; of the root's array documents if `below`."""

    def edit(group: Path) -> None:
        document = json.loads((group / place).read_text())
        parent = document["consolidated_metadata"]["metadata"] if place == "zarr.json" and below else document
        for part in path[:-1]:
            parent = parent[part]
        parent[path[-1]] = to
        (group / place).write_text(json.dumps(document))

    return edit


def stored(name: str, position: int | slice, value: float) -> Damage:
    """Write other values into an array, through Zarr, as a person would."""

    def store(group: Path) -> None:
        zarr.open_group(group, mode="r+")[name][position] = value  # type: ignore[index]

    return store


STRUCTURE: dict[str, tuple[Damage, str, str]] = {
    "no root": (lambda group: (group / "zarr.json").write_text("{"), "root", "is not valid JSON"),
    "a list for a root": (
        lambda group: (group / "zarr.json").write_text("[]"),
        "root",
        "is not a JSON object",
    ),
    "a newer format": (
        edited("zarr.json", "attributes", "ndvi_archive_format", to=2, below=False),
        "root",
        "is of format 2",
    ),
    "another continent": (
        edited("zarr.json", "attributes", "continent", to="Africa", below=False),
        "metadata",
        "'Africa', which does not belong into europe/",
    ),
    "nothing consolidated": (
        edited("zarr.json", "consolidated_metadata", to=None, below=False),
        "root",
        "no consolidated metadata",
    ),
    "another scale factor": (
        edited("zarr.json", "ndvi", "attributes", "scale_factor", to=0.001),
        "metadata",
        "ndvi.attributes.scale_factor is 0.001, not 0.0001",
    ),
    "another fill value": (
        edited("zarr.json", "ndvi", "fill_value", to=0),
        "metadata",
        "ndvi.fill_value is 0, not -32768",
    ),
    "other units": (
        edited("zarr.json", "time", "attributes", "units", to="days since 1970-01-01"),
        "metadata",
        "time.attributes.units is 'days since 1970-01-01'",
    ),
    "another grid": (
        edited("zarr.json", "ndvi", "attributes", "spatial:bbox", 0, to=-12.0),
        "metadata",
        "ndvi.attributes.spatial:bbox[0] is -12.0, not -11.25",
    ),
    "a moved GeoTransform": (
        edited("zarr.json", "crs", "attributes", "GeoTransform", to="0 1 0 0 0 -1"),
        "metadata",
        "crs.attributes.GeoTransform is '0 1 0 0 0 -1'",
    ),
    "a codec": (
        edited("zarr.json", "checksum", "codecs", 1, "configuration", "checksum", to=False),
        "metadata",
        "checksum.codecs[1].configuration.checksum is False",
    ),
    "an unknown codec": (
        edited("zarr.json", "time", "codecs", 1, "name", to="rot13"),
        "metadata",
        "time cannot be understood",
    ),
    "a shorter array": (
        edited("zarr.json", "checksum", "shape", to=[6]),
        "metadata",
        "checksum.shape[0] is 6, not 7",
    ),
    "an array's own metadata behind": (
        edited("time/zarr.json", "shape", to=[6]),
        "metadata",
        "shape[0] is 6, not 7 as in the root",
    ),
    "an array's own metadata other": (
        edited("ndvi/zarr.json", "attributes", "long_name", to="EVI"),
        "metadata",
        "attributes.long_name is 'EVI'",
    ),
    "an array's own metadata missing": (removed("crs/zarr.json"), "metadata", "is missing"),
    "an array's own metadata cut": (cut("ndvi/zarr.json"), "metadata", "is not valid JSON"),
    "a missing frame": (removed("ndvi/c/4/0/0"), "object", "at position 4: its object is missing"),
    "a cut frame": (cut("ndvi/c/4/0/0"), "object", "is cut off or damaged"),
    "a frame's head lost": (
        lambda group: (group / "ndvi/c/4/0/0").write_bytes((group / "ndvi/c/4/0/0").read_bytes()[9:]),
        "object",
        "bytes, not",
    ),
    "an empty frame": (lambda group: (group / "ndvi/c/4/0/0").write_bytes(b""), "object", "is cut off"),
    "a missing column": (removed("checksum/c/0"), "object", "checksum for the frames at 0 to 6 is missing"),
    "a cut column": (cut("frame_number/c/0"), "column", "frame_number cannot be read"),
    "no latitudes": (removed("latitude/c/0"), "object", "the object of latitude is missing"),
    "other latitudes": (
        stored("latitude", 1, 0.5),
        "coordinate",
        "latitude is not that of the grid in 1 of 3",
    ),
    "other longitudes": (stored("longitude", slice(None), 1.0), "coordinate", "in 5 of 5 values"),
    "another reference system": (stored("crs", ..., 3857), "coordinate", "is 3857, not 4326"),  # type: ignore[arg-type]
    "time that decreases": (stored("time", 3, 1_700_000_000), "column", "before that of an earlier frame"),
    "a frame twice": (stored("satellite", slice(1, 3), 1), "column", "as of another frame of the same time"),
    "an unknown satellite": (stored("satellite", 2, 9), "column", "satellite is 9, which is no satellite's"),
    "no number": (stored("frame_number", 2, 0), "column", "frame_number is 0, and frames are numbered"),
    "a scale upside down": (stored("source_min", 2, 5.0), "column", "source_min is 5.0, above source_max"),
    "a share above one": (stored("valid_fraction", 2, 1.5), "column", "which is no share from 0 to 1"),
    "a share of no data": (stored("valid_fraction", 3, 0.5), "column", "says that it holds no data"),
    "a mean of nothing": (stored("ndvi_mean", 3, 0.5), "column", "which contradicts valid_fraction"),
    "no time of archiving": (
        stored("archived_at", 2, np.iinfo(np.int64).min),
        "column",
        "which is no time",
    ),
    "a stray in the group": (added("notes.txt"), "object", "does not belong into the archive"),
    "a stray array": (added("evi/c/0/0/0"), "object", "does not belong into the archive"),
    "a stray chunk": (added("ndvi/c/4/0/1"), "object", "does not belong into the archive"),
    "a stray beside the group": (added("../old.tar"), "object", "does not belong into the archive"),
    "a copy of an object": (added("time/c/0 (1)"), "object", "does not belong into the archive"),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_damage_to_the_structure_is_found_without_decoding(archived: LocalFolder, name: str) -> None:
    damage, check, what = STRUCTURE[name]
    archived.put(f"{FOLDER}/collection.json", b"{}")
    damage(group_path(archived))
    findings = verified(archived).findings
    assert check in {finding.check for finding in findings}
    told = [str(finding) for finding in findings]
    assert any(what.rstrip() in line for line in told), told


def test_a_group_that_lost_its_root_is_found_by_the_collection_beside_it(archived: LocalFolder) -> None:
    archived.put(f"{FOLDER}/collection.json", b"{}")
    removed("zarr.json")(group_path(archived))
    assert [str(finding) for finding in verified(archived).findings] == [
        "is missing; restore it from a copy [europe/ndvi.zarr/zarr.json]"
    ]


def test_missing_objects_of_a_flat_frame_are_told_as_one(store: LocalFolder) -> None:
    schema = Schema("Europe", FOUR_CHUNKS, 12, "flat")
    archive(store, frames([1, 2], schema), schema)
    cut("ndvi/c/1/0/1")(group_path(store))
    removed("ndvi/c/1/1/0")(group_path(store))
    (finding,) = verified(store).findings
    assert finding.where == "europe/ndvi.zarr/ndvi/c/1/0/1"
    assert "and 1 more of its objects are not as they should be" in finding.what
    assert finding.frame is not None
    assert finding.frame.position == 1


def test_any_field_of_the_root_that_is_changed_is_found(archived: LocalFolder) -> None:
    key = f"{FOLDER}/{GROUP}"
    whole = json.loads((group_path(archived) / "zarr.json").read_text())
    others = whole["consolidated_metadata"]["metadata"].keys() - {"ndvi", "time", "crs"}
    tried = 0
    for path in (path for path in _leaves(whole) if others.isdisjoint(path)):
        if path[-1] in {"title", "source", "history", "units_metadata"} or path[-1] == "ndvi_archive_format":
            continue
        root = copy.deepcopy(whole)
        parent: Any = root
        for part in path[:-1]:
            parent = parent[part]
        parent[path[-1]] = "another" if isinstance(parent[path[-1]], str) else 12345
        verdict = Verdict()
        check_documents(archived, FOLDER, key, root, verdict)
        assert verdict.findings, path
        tried += 1
    assert tried > 130


def test_texts_of_another_version_of_the_program_are_no_damage(archived: LocalFolder) -> None:
    group = group_path(archived)
    edited("zarr.json", "ndvi", "attributes", "long_name", to="NDVI")(group)
    edited("ndvi/zarr.json", "attributes", "long_name", to="NDVI")(group)
    verdict = verified(archived)
    assert verdict.findings == []
    assert verdict.notes == [
        "ndvi.attributes.long_name is worded otherwise than by this version [europe/ndvi.zarr/zarr.json]"
    ]


def test_compression_as_another_version_chose_it_is_no_damage(archived: LocalFolder) -> None:
    group = group_path(archived)
    inner = ("codecs", 0, "configuration", "codecs", 1, "configuration", "clevel")
    edited("zarr.json", "ndvi", *inner, to=3)(group)
    edited("ndvi/zarr.json", *inner, to=3)(group)
    verdict = verified(archived, quick=False)
    assert verdict.findings == []
    (note,) = verdict.notes
    assert note.startswith("ndvi.codecs[0].configuration.codecs[1].configuration.clevel is 3, not 1, as this")


def test_several_kinds_of_damage_are_all_told(archived: LocalFolder) -> None:
    names = ("a missing frame", "other latitudes", "an unknown satellite", "a stray in the group")
    for name in names:
        STRUCTURE[name][0](group_path(archived))
    told = [str(finding) for finding in verified(archived).findings]
    assert all(any(STRUCTURE[name][2].rstrip() in line for line in told) for name in names), told


def test_verifying_writes_nothing(archived: LocalFolder) -> None:
    cut("ndvi/c/4/0/0")(group_path(archived))
    before = objects(archived)
    findings: list[Finding] = verified(archived, quick=False).findings
    assert len(findings) == 1
    assert objects(archived) == before


def _leaves(document: object, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(document, dict):
        for key, below in document.items():
            yield from _leaves(below, (*above, key))
    elif isinstance(document, list):
        for index, below in enumerate(document):
            yield from _leaves(below, (*above, index))
    else:
        yield above
