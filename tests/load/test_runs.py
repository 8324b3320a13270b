"""Reports of runs, kept in the archive."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from etl.errors import StorageError
from etl.load.folder import LocalFolder
from etl.load.runs import keep_run, runs
from tests.load.archives import FOLDER

START = datetime(2021, 3, 1, 2, 30, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("unsynced")


def keep(store: LocalFolder, night: int, exit_code: int = 0) -> None:
    """Keep the report of the run of one night."""
    text = json.dumps({"night": night, "exit_code": exit_code})
    keep_run(store, FOLDER, text, START + timedelta(days=night))


def nights(store: LocalFolder) -> list[int]:
    return [run["night"] for run in runs(store, FOLDER)]


def test_a_report_is_named_after_the_start_of_its_run_in_utc(store: LocalFolder) -> None:
    keep_run(store, FOLDER, '{"exit_code": 0}', START.astimezone(timezone(timedelta(hours=9))))

    assert store.names("europe/runs") == ["20210301T023000.000000Z.json"]
    assert store.get("europe/runs/20210301T023000.000000Z.json") == b'{"exit_code": 0}\n'


def test_runs_of_the_same_moment_are_all_kept_in_order(store: LocalFolder) -> None:
    for number in range(3):
        keep_run(store, FOLDER, json.dumps({"night": number}), START)

    assert nights(store) == [0, 1, 2]


def test_the_newest_thirty_are_kept(store: LocalFolder) -> None:
    for night in range(33):
        keep(store, night)

    assert nights(store) == list(range(3, 33))


def test_the_last_success_is_kept_however_many_runs_failed_since(store: LocalFolder) -> None:
    for night in range(40):
        keep(store, night, exit_code=0 if night in (2, 5) else 4)

    assert nights(store) == [5, *range(10, 40)]


def test_a_new_success_replaces_the_old_one(store: LocalFolder) -> None:
    for night in range(40):
        keep(store, night, exit_code=0 if night == 5 else 4)
    keep(store, 40)

    assert nights(store) == list(range(11, 41))


def test_without_a_run_there_is_no_report(store: LocalFolder) -> None:
    assert runs(store, FOLDER) == []


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000], ids=["empty", "cut", "list", "bytes", "deep"]
)
def test_what_is_no_report_is_left_out_and_stops_nothing(store: LocalFolder, damage: bytes) -> None:
    keep(store, 1)
    store.put("europe/runs/20210303T023000.000000Z.json", damage)

    keep(store, 3)

    assert nights(store) == [1, 3]


def test_files_of_others_are_neither_read_nor_removed(store: LocalFolder) -> None:
    store.put("europe/runs/notes.txt", b"ours")
    store.put("europe/runs/00.json", b'{"night": 0}')
    for night in range(32):
        keep(store, night)

    assert nights(store) == list(range(2, 32))
    assert store.get("europe/runs/notes.txt") == b"ours"
    assert store.exists("europe/runs/00.json")


def test_a_storage_that_refuses_is_told(store: LocalFolder) -> None:
    store.put("europe/runs", b"a file where the folder should be")

    with pytest.raises(StorageError, match="runs"):
        keep(store, 1)
