"""One continent after the other, and the catalog: checked again where a run was writing meanwhile."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

from etl.audit.source import Source, check_against_source
from etl.catalog.templates import check_templates
from etl.catalog.verify import check_catalog, check_collection
from etl.errors import ArchiveError, IncompatibleError
from etl.load.absent import no_archive, no_continent
from etl.load.continents import continent_folders
from etl.load.holder import LEASE
from etl.load.inventory import CATALOG, COLLECTION, GROUP, Inventory, folder_of, read_inventory
from etl.load.stores import Store
from etl.load.verify.continent import check_structure
from etl.load.verify.findings import Verdict
from etl.load.verify.frames import check_frames
from etl.load.verify.series_values import check_series_values
from etl.load.verify.snapshot import Snapshot, read_json, root_key
from etl.report import Told

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_ATTEMPTS = 5
_SETTLING_SECONDS = 10.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Task:
    """What to verify, and how far.

    Attributes:
        continent: name of the one continent; None is all.
        quick: leave the frames undecoded.
        templates: folder of the templates that the archive is written with, if it is known.
        source: how to compare with the service; None is not at all.
    """

    continent: str | None = None
    quick: bool = False
    templates: Path | None = None
    source: Source | None = None


@dataclass
class Audit:
    """What was checked of one continent, and found.

    Attributes:
        folder: its folder.
        continent: its name, as far as it can be read; else the folder's.
        frames: committed frames.
        frames_read: frames whose values were decoded and compared with what was noted of them.
        series_read: frames whose values in the series were decoded and compared too.
        frames_compared: frames that were compared with the service.
        verdict: findings and notes.
        error: what kept the comparison with the service from its end.
    """

    folder: str
    continent: str
    frames: int = 0
    frames_read: int = 0
    series_read: int = 0
    frames_compared: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    error: ArchiveError | None = None


def audit(store: Store, task: Task, progress: Told) -> tuple[list[Audit], Verdict]:
    """Verify an archive; nothing is written, no lease is taken, and runs may write meanwhile.

    Args:
        store: the archive's storage.
        task: what to verify, and how far.
        progress: called with the number of frames done and to be done of the continent at hand.

    Returns:
        What was found in each continent, and in the archive's catalog.

    Raises:
        UsageError: There is no such archive or continent, or a template cannot be used.
        StorageError: The storage refuses to be read.
    """
    check_templates(task.templates)
    folders = _folders(store, task.continent)
    audits = [_audit_continent(store, folder, task, progress) for folder in folders]

    def look() -> Verdict:
        verdict = Verdict()
        check_catalog(store, verdict, task.templates)
        return verdict

    keys = [CATALOG, *(f"{folder}/{COLLECTION}" for folder in continent_folders(store))]
    return audits, _settled(store, keys, ["", *folders], look, lambda verdict: verdict)


def _folders(store: Store, continent: str | None) -> list[str]:
    folders = [folder_of(continent)] if continent is not None else continent_folders(store)
    signs = (GROUP, COLLECTION, LEASE)
    begun = [folder for folder in folders if any(store.exists(f"{folder}/{sign}") for sign in signs)]
    # A whole archive inside another has a lease as well, and a catalog.
    begun = [folder for folder in begun if not store.exists(f"{folder}/{CATALOG}")]
    if continent is not None and not begun:
        raise no_continent(store, store, continent)
    if not begun and not store.exists(CATALOG):
        raise no_archive(store)
    return begun


def _audit_continent(store: Store, folder: str, task: Task, progress: Told) -> Audit:
    keys = [root_key(folder), f"{folder}/{COLLECTION}"]
    for _ in range(_ATTEMPTS):
        found, snapshot, damaged, inventory = _settled(
            store,
            keys,
            [folder],
            lambda: _structure(store, folder, task, progress),
            lambda result: result[0].verdict,
        )
        if snapshot is None:
            break
        if not task.quick:
            before = len(found.verdict.findings)
            found.frames_read = check_frames(snapshot, damaged, found.verdict, progress)
            found.series_read = check_series_values(snapshot, found.verdict, progress)
            if len(found.verdict.findings) > before and _was_replaced(store, folder, snapshot):
                log.info("%s was rebuilt meanwhile and is verified anew", folder)
                continue
        break
    if task.source is not None and snapshot is not None:
        _compare_with_source(found, inventory, task.source, progress)
    return found


def _structure(
    store: Store, folder: str, task: Task, progress: Told
) -> tuple[Audit, Snapshot | None, set[int], Inventory | None]:
    """All of a continent but its frames' values."""
    found = Audit(folder, folder)
    snapshot, damaged = check_structure(store, folder, found.verdict)
    inventory = None
    if snapshot is not None:
        found.frames = snapshot.length
        name = snapshot.root["attributes"].get("continent")
        found.continent = name if isinstance(name, str) else folder
        inventory = _inventory(store, folder, found.verdict)
    if any(finding.where == root_key(folder) for finding in found.verdict.findings):
        found.verdict.note(
            "the STAC files were not compared: the store's metadata have to be repaired before"
        )
    elif inventory is not None and len(inventory):
        check_collection(
            inventory, found.verdict, task.templates, with_pixels=not task.quick, progress=progress
        )
    return found, snapshot, damaged, inventory


def _inventory(store: Store, folder: str, verdict: Verdict) -> Inventory | None:
    """What the other parts of the program read of the store; where they refuse it, there is a finding."""
    try:
        return read_inventory(store, folder)
    except IncompatibleError as error:
        if not verdict.findings:
            verdict.found("root", error.what, root_key(folder))
        verdict.note("the STAC files were not compared: the store has to be repaired before")
        return None


def _compare_with_source(found: Audit, inventory: Inventory | None, source: Source, progress: Told) -> None:
    if inventory is None or not len(inventory):
        found.verdict.note("nothing was compared with the service: the store cannot be read")
        return
    try:
        found.frames_compared = check_against_source(inventory, source, found.verdict, progress)
    except ArchiveError as error:
        found.error = error


def _was_replaced(store: Store, folder: str, snapshot: Snapshot) -> bool:
    """Whether a rebuild has put another generation of objects into force."""
    root = read_json(store, root_key(folder))
    return isinstance(root, dict) and replace(snapshot, root=root).generation != snapshot.generation


def _settled(
    store: Store,
    keys: Sequence[str],
    folders: Sequence[str],
    look: Callable[[], Result],
    verdict_of: Callable[[Result], Verdict],
) -> Result:
    """What `look` returns; with findings, only once nobody was writing the objects it looked at meanwhile.

    Args:
        store: the archive's storage.
        keys: objects that a run rewrites.
        folders: folders whose leases tell whether a run is under way.
        look: looks at the archive.
        verdict_of: the verdict in what it returns.
    """
    for _ in range(_ATTEMPTS):
        before = [store.get(key) for key in keys]
        result = look()
        if not verdict_of(result).findings or not _changes(store, keys, before, folders):
            break
    return result


def _changes(
    store: Store, keys: Sequence[str], before: Sequence[bytes | None], folders: Sequence[str]
) -> bool:
    """Whether an object has changed, or does so before long where a run is under way."""
    end = monotonic() + _SETTLING_SECONDS
    while [store.get(key) for key in keys] == before:
        if monotonic() >= end or not any(store.get(f"{folder}/{LEASE}".lstrip("/")) for folder in folders):
            return False
        sleep(_POLL_SECONDS)
    return True
