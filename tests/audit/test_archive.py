"""Verifying goes on while others write, and is right."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from etl.audit.archive import Audit, Task, audit
from etl.catalog.publish import publish
from etl.load.folder import LocalFolder
from etl.load.generations import finish_replacing, prepare_replacing, side_folder
from etl.load.inventory import GROUP
from etl.load.schema import Schema
from tests.load.archives import FOLDER, SMALL, archive, frames, group_path
from tests.load.conftest import unsynced

__all__ = ["unsynced"]

pytestmark = pytest.mark.usefixtures("unsynced")

FRAMES = frames(range(1, 8))


class Interrupted(LocalFolder):
    """An archive in which something happens just before its nth read."""

    def __init__(self, root: Path, nth: int, happens: Callable[[], None]) -> None:
        super().__init__(root)
        self._left = nth
        self._happens = happens

    @property
    def has_happened(self) -> bool:
        return self._left < 0

    def get(self, key: str) -> bytes | None:
        self._left -= 1
        if self._left == -1:
            self._happens()
        return super().get(key)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = LocalFolder(tmp_path_factory.mktemp("pristine"))
    archive(store, FRAMES[:5])
    publish(store, FOLDER)
    return store.root


def told(store: LocalFolder, *, quick: bool = False) -> list[str]:
    audits, catalog = audit(store, Task(quick=quick), lambda done, planned: None)
    verdicts = [catalog, *(each.verdict for each in audits)]
    return [str(finding) for verdict in verdicts for finding in verdict.findings]


def append(root: Path, *, published: bool) -> None:
    with LocalFolder(root).lease(FOLDER):
        archive(LocalFolder(root), FRAMES[5:])
        if published:
            publish(LocalFolder(root), FOLDER)


def rebuild(root: Path) -> None:
    store = LocalFolder(root)
    within = LocalFolder(root / "side")
    archive(within, FRAMES[1:], Schema(SMALL.continent, SMALL.grid, SMALL.bits, keys="v2"))
    target = root / side_folder(FOLDER) / GROUP
    target.parent.mkdir(parents=True)
    shutil.move(group_path(within), target)
    shutil.rmtree(within.root)
    with store.lease(FOLDER):
        prepare_replacing(store, FOLDER)
        finish_replacing(store, FOLDER)
        # As long after as readers may need them.
        for chunks in group_path(store).glob("*/c"):
            shutil.rmtree(chunks) if chunks.is_dir() else chunks.unlink()
        publish(store, FOLDER)


@pytest.mark.parametrize("published", [False, True], ids=["committed", "published"])
def test_frames_appended_at_any_moment_are_no_findings(
    pristine: Path, tmp_path: Path, *, published: bool
) -> None:
    for nth in range(0, 1000, 2):
        root = tmp_path / str(nth)
        shutil.copytree(pristine, root)
        store = Interrupted(root, nth, lambda root=root: append(root, published=published))  # type: ignore[misc]
        assert told(store) == [], nth
        if not store.has_happened:
            break
    assert nth > 20


def test_a_rebuild_that_takes_over_at_any_moment_is_no_finding(pristine: Path, tmp_path: Path) -> None:
    for nth in range(0, 1000, 2):
        root = tmp_path / str(nth)
        shutil.copytree(pristine, root)
        store = Interrupted(root, nth, lambda root=root: rebuild(root))  # type: ignore[misc]
        assert told(store) == [], nth
        if not store.has_happened:
            break
    assert nth > 20


def test_damage_is_found_while_frames_are_appended(pristine: Path, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    shutil.copytree(pristine, root)
    (root / FOLDER / "ndvi.zarr/ndvi/c/2/0/0").unlink()
    store = Interrupted(root, 3, lambda: append(root, published=True))
    (finding,) = told(store)
    assert store.has_happened
    assert "at position 2: its object is missing" in finding


def test_every_continent_is_verified_and_one_can_be_chosen(pristine: Path, tmp_path: Path) -> None:
    root = tmp_path / "archive"
    shutil.copytree(pristine, root)
    store = LocalFolder(root)
    (root / "asia").mkdir()
    with store.lease("asia"):
        pass

    def verified(continent: str | None) -> list[Audit]:
        return audit(store, Task(continent), lambda done, planned: None)[0]

    assert [(each.continent, each.frames, each.frames_read) for each in verified(None)] == [
        ("asia", 0, 0),
        ("Europe", 5, 5),
    ]
    assert [each.continent for each in verified("Europe")] == ["Europe"]
