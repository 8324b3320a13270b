"""A frame whose values are not those that were archived is named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from etl.load.folder import LocalFolder
from etl.load.schema import Layout, Schema
from etl.load.verify.findings import Finding
from etl.transform.grid import Grid
from tests.conftest import BBOX

from .archives import archive, frames, group_path
from .test_verify import verified

pytestmark = pytest.mark.usefixtures("unsynced")

SCHEMA = Schema("Europe", Grid(60, 40, BBOX), 12)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of 60 × 40 pixels; the fourth holds no data."""
    store = LocalFolder(tmp_path_factory.mktemp("pristine"))
    archive(store, frames(range(1, 7), SCHEMA), SCHEMA)
    return store.root


@pytest.fixture
def archived(pristine: Path, store: LocalFolder) -> LocalFolder:
    shutil.copytree(pristine, store.root)
    return store


def read(store: LocalFolder) -> list[Finding]:
    return verified(store, quick=False).findings


def swap(group: Path) -> None:
    first, second = group / "ndvi/c/1/0/0", group / "ndvi/c/2/0/0"
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def stored(name: str, place: object, value: float) -> Callable[[Path], None]:
    def store(group: Path) -> None:
        zarr.open_group(group, mode="r+")[name][place] = value  # type: ignore[index]

    return store


@pytest.mark.parametrize(
    ("damage", "positions", "what"),
    [
        (swap, [1, 2], "do not have the checksum of the archived ones: they are those of frame"),
        (stored("ndvi", (1, 7, 9), 1234), [1], "do not have the checksum of the archived ones"),
        (stored("checksum", 1, 77), [1], "do not have the checksum of the archived ones"),
        (stored("valid_fraction", 1, 0.5), [1], "valid_fraction is 0.5, and its values give"),
        (stored("ndvi_mean", 1, 0.5), [1], "ndvi_mean is 0.5, and its values give"),
        (stored("source_max", 1, 0.95), [1], "that its scale -0.102 … 0.95 cannot give"),
        (stored("source_min", 1, np.nan), [1], "2400 pixels hold a value, though its scale"),
    ],
)
def test_a_frame_that_contradicts_what_was_noted_of_it_is_named(
    archived: LocalFolder, damage: Callable[[Path], None], positions: list[int], what: str
) -> None:
    damage(group_path(archived))
    findings = [finding for finding in read(archived) if finding.check == "frame"]
    assert [finding.frame.position for finding in findings if finding.frame] == positions
    for finding, position in zip(findings, positions, strict=True):
        assert what in finding.what
        assert finding.where == f"europe/ndvi.zarr/ndvi/c/{position}/0/0"
        number = position + 1
        assert str(finding).startswith(f"frame {number} (2025-01-0{3 if number > 2 else 2}T")


def test_swapped_frames_tell_whose_values_they_hold(archived: LocalFolder) -> None:
    swap(group_path(archived))
    first, second = read(archived)
    assert first.what.endswith(f"they are those of {second.frame}")
    assert second.what.endswith(f"they are those of {first.frame}")


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_a_changed_byte_anywhere_in_a_frame_is_found(store: LocalFolder, layout: Layout) -> None:
    schema = Schema("Europe", SCHEMA.grid, 12, layout)
    archive(store, frames([1], schema), schema)
    path = group_path(store) / "ndvi/c/0/0/0"
    data = path.read_bytes()
    for place in [*range(8), *range(12, 24), *range(24, len(data), 97), *range(len(data) - 20, len(data), 4)]:
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        findings = read(store)
        assert findings, place
        assert {finding.frame.position for finding in findings if finding.frame} == {0}


def test_frames_are_read_even_where_the_columns_are_damaged(archived: LocalFolder) -> None:
    swap(group_path(archived))
    (group_path(archived) / "ndvi_mean/c/0").unlink()
    assert [
        finding.frame.position for finding in read(archived) if finding.check == "frame" and finding.frame
    ] == [
        1,
        2,
    ]


def test_a_frame_that_is_known_to_be_cut_is_told_once(archived: LocalFolder) -> None:
    path = group_path(archived) / "ndvi/c/3/0/0"
    path.write_bytes(path.read_bytes()[:-1])
    (finding,) = read(archived)
    assert finding.frame is not None
    assert finding.frame.position == 3
