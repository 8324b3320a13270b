"""The reports of a continent's runs, kept beside what they archived."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json

from etl.errors import StorageError
from etl.load.stores import Store

RUNS = "runs"
"""Folder of the reports, in a continent's folder."""

KEPT = 30
"""So many of the newest reports are kept; if all of these runs failed, that of the last success as well."""

_NAME = "%Y%m%dT%H%M%S.%fZ.json"
_NAMES = re.compile(r"\d{8}T\d{6}\.\d{6}Z\.json")


def keep_run(store: Store, folder: str, text: str, started: datetime) -> None:
    """Keep the report of a run, and remove those that are too old to be of use.

    No lease is needed: every run has a file of its own.

    Args:
        store: the archive's storage.
        folder: the continent's folder in the archive.
        text: the report, a JSON object.
        started: when the run began; the file is named after it.

    Raises:
        StorageError: The storage refuses it.
    """
    present = _names(store, folder)
    moment = started.astimezone(UTC)
    # One that a listing lacks must not be overwritten either.
    while not store.missing([f"{folder}/{RUNS}/{(name := moment.strftime(_NAME))}"]):
        moment += timedelta(microseconds=1)
    store.put(f"{folder}/{RUNS}/{name}", f"{text}\n".encode())
    # The own one is kept, whatever the clock said in earlier runs.
    newest_first = [name, *sorted(present, reverse=True)]
    last_success = next((each for each in newest_first if _succeeded(_read(store, folder, each))), None)
    for each in newest_first[KEPT:]:
        if each != last_success:
            store.remove([f"{folder}/{RUNS}/{each}"])


def runs(store: Store, folder: str) -> list[dict[str, Any]]:
    """The reports that are kept of a continent's runs, oldest first; files that cannot be read are left out.

    Raises:
        StorageError: The storage refuses to list them.
    """
    found = (_read(store, folder, name) for name in _names(store, folder))
    return [run for run in found if run is not None]


def _names(store: Store, folder: str) -> list[str]:
    return [name for name in store.names(f"{folder}/{RUNS}") if _NAMES.fullmatch(name)]


def _read(store: Store, folder: str, name: str) -> dict[str, Any] | None:
    try:
        run = from_json(store.get(f"{folder}/{RUNS}/{name}") or b"")
    except (StorageError, ValueError):
        return None
    return run if isinstance(run, dict) else None


def _succeeded(run: Mapping[str, Any] | None) -> bool:
    return run is not None and run.get("exit_code") == 0
