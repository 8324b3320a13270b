"""Whatever ends a run into a bucket, and whenever: as safe as in a folder, over the real protocol."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import obstore
import pytest
import xarray as xr
import zarr
from obstore.store import from_url
from zarr.storage import ObjectStore

from etl.demo.service import StandIn
from tests.cli.test_convert import stored
from tests.forked import clean_environment, started
from tests.load.buckets import (
    BUCKET,
    clean,
    faults,
    in_fork,
    met,
    outlive,
    outlive_all,
    raw,
    read,
    s3_server,
    variables,
    wait_until_held,
)
from tests.program import PROGRAM, Ended, convert, with_token
from tests.witness import Witness

pytestmark = pytest.mark.slow

KILLS = 30
PATIENCE = 120.0
FOLDER = "ndvi/europe"
PLACE = f"s3://{BUCKET}/ndvi"
ROOT = "europe/ndvi.zarr/zarr.json$"

Program = subprocess.Popen[str]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def server(shared_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    clean(shared_server)
    for name, value in variables(shared_server).items():
        monkeypatch.setenv(name, value)
    return shared_server


@pytest.fixture
def reference(service: StandIn, tmp_path: Path) -> Path:
    """An archive that was made in peace, in a folder."""
    archive = tmp_path / "reference"
    assert convert(service, archive).code == 0
    return archive


def environment(service: StandIn, server: str) -> dict[str, str]:
    return with_token(service) | variables(server)


def into_bucket(service: StandIn, server: str, *options: str) -> Ended:
    arguments = ("convert", "Europe", "--archive", PLACE, *options)
    return in_fork(server, *arguments, variables_too=with_token(service))


def allow_rebuild(server: str, witness: Witness) -> None:
    """Say that no reader needs any more what the last rebuild replaced; that is so after a whole new look."""
    with suppress(FileNotFoundError):
        obstore.head(raw(server), f"{FOLDER}/.outdated")
        witness.told()
        obstore.delete(raw(server), f"{FOLDER}/.outdated")


def assert_equals(server: str, reference: Path) -> None:
    """Every array and attribute but the times of archiving; and nothing is wrong with any object."""
    store = ObjectStore(from_url(f"{PLACE}/europe/ndvi.zarr", client_options={"allow_http": True}))
    with xr.open_zarr(store, mask_and_scale=False) as dataset:
        found = dataset.load().drop_vars("archived_at")
    xr.testing.assert_identical(found, stored(reference).drop_vars("archived_at"))
    for name in found.variables:
        assert zarr.open_array(store, path=str(name), mode="r").shape == found[name].shape
    assert in_fork(server, "verify", "--archive", PLACE).code == 0


@contextmanager
def running(service: StandIn, *options: str) -> Iterator[Program]:
    """A `convert` into the bucket, under way."""
    with subprocess.Popen(
        [PROGRAM, "convert", "Europe", "--archive", PLACE, *options],
        env=clean_environment() | with_token(service),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def stalled(service: StandIn, *options: str) -> Iterator[Program]:
    """A `convert` that has archived a part and waits for bytes that do not come."""
    service.faults.stalled.clear()
    service.faults.stall_after = service.streams["Europe"].file.stat().st_size * 3 // 4
    service.faults.stall_times = 1
    with running(service, "--commit-frames", "2", *options) as process:
        assert service.faults.stalled.wait(PATIENCE)
        yield process
    service.faults.stall_after = None


def one_error(err: str) -> str:
    (line,) = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in err
    return line


def test_kills_at_random_moments_lose_nothing_and_disturb_no_reader(
    service: StandIn, server: str, reference: Path, tmp_path: Path
) -> None:
    err = tmp_path / "err"
    dice = Random(5)  # noqa: S311
    kills = 0
    while kills < KILLS:
        clean(server)
        arguments = ("-qq", "convert", "Europe", "--archive", PLACE, "--commit-frames", "2")
        with Witness(PLACE, reference) as witness:
            for mode in ((), ("--rebuild",)):
                for turn in range(21):
                    outlive_all(server, FOLDER, "ndvi")
                    allow_rebuild(server, witness)
                    process = started(*arguments, *mode, variables=environment(service, server), err=err)
                    process.join(dice.uniform(0.3, 2.0) if turn < 20 else PATIENCE)
                    process.kill()
                    process.join(PATIENCE)
                    assert process.exitcode in {0, -signal.SIGKILL}, err.read_text()
                    kills += process.exitcode == -signal.SIGKILL
                    if process.exitcode == 0:
                        break
                assert process.exitcode == 0
            account = witness.told()
        assert account.lost == []
        assert account.wrong == []
        assert account.looks > 0
        assert_equals(server, reference)


def test_of_two_runs_at_the_same_instant_exactly_one_writes(
    service: StandIn, server: str, reference: Path, tmp_path: Path
) -> None:
    busy = 0
    for number in range(2):
        clean(server)
        err = tmp_path / f"err-{number}"
        arguments = ("-qq", "convert", "Europe", "--archive", PLACE, "--commit-frames", "8")
        both = [started(*arguments, variables=environment(service, server), err=err) for _ in range(2)]
        for process in both:
            process.join(PATIENCE)
        codes = sorted(process.exitcode or 0 for process in both)
        # The second one can come when the first is done.
        assert codes in ([0, 5], [0, 0])
        busy += codes == [0, 5]
        assert len(err.read_text().splitlines()) == codes.count(5)
        assert_equals(server, reference)
    assert busy > 0


def test_a_second_run_waits_where_it_may(
    service: StandIn, server: str, reference: Path, tmp_path: Path
) -> None:
    err = tmp_path / "err"
    arguments = ("convert", "Europe", "--archive", PLACE, "--wait", "100")
    three = [started(*arguments, variables=environment(service, server), err=err) for _ in range(3)]
    for process in three:
        process.join(PATIENCE)

    assert [process.exitcode for process in three] == [0] * 3
    assert "waiting up to 100 s for" in err.read_text()
    assert_equals(server, reference)


def test_the_lease_of_a_run_that_is_killed_keeps_others_out_until_it_expires(
    service: StandIn, server: str, reference: Path
) -> None:
    with stalled(service) as process:
        process.kill()
        process.wait(PATIENCE)
    holder = json.loads(read(server, f"{FOLDER}/.lease"))
    busy = into_bucket(service, server)

    assert busy.code == 5
    assert f"is being written by process {process.pid} on {holder['host']} since" in busy.error
    outlive(server, FOLDER)
    assert into_bucket(service, server).code == 0
    assert_equals(server, reference)


def test_a_run_that_is_asked_to_end_commits_what_it_has_and_gives_its_lease_back(
    service: StandIn, server: str, reference: Path
) -> None:
    with stalled(service) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 143
    assert one_error(err).startswith("Error: interrupted by SIGTERM; ")
    assert into_bucket(service, server).code == 0
    assert_equals(server, reference)


def test_a_run_that_was_stopped_while_another_took_over_overwrites_nothing(
    service: StandIn, server: str, reference: Path
) -> None:
    with stalled(service) as process:
        process.send_signal(signal.SIGSTOP)
        outlive(server, FOLDER)
        service.faults.stall_after = None
        assert into_bucket(service, server).code == 0
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)

    # It has nothing to say where it had nothing left to write.
    assert process.returncode in {5, 143}
    one_error(err)
    assert_equals(server, reference)


def test_damaged_frames_are_repaired_in_place_while_another_rebuild_has_to_wait(
    service: StandIn, server: str, reference: Path
) -> None:
    assert into_bucket(service, server).code == 0
    assert into_bucket(service, server, "--rebuild").code == 0
    frame, another, third = (f"{FOLDER}/ndvi.zarr/ndvi/{position}/0/0" for position in (3, 7, 11))
    obstore.put(raw(server), frame, read(server, another))
    obstore.delete(raw(server), third)

    ended = into_bucket(service, server, "--rebuild", "--start", "2021-03-01")

    assert ended.code == 0, ended.err
    assert ended.err.count("was damaged and is repaired") == 2
    assert_equals(server, reference)
    assert into_bucket(service, server, "--rebuild").code == 5


def test_a_commit_that_arrives_after_another_run_took_over_is_refused(
    service: StandIn, server: str, reference: Path
) -> None:
    """The network holds a run's root back, for longer than its lease lasts."""
    assert into_bucket(service, server, "--end", "2021-03-03").code == 0
    faults(server, {"fault": "hold", "path": ROOT, "times": 1})
    with running(service, "--end", "2021-03-08") as late:
        wait_until_held(server)
        late.send_signal(signal.SIGSTOP)
        outlive(server, FOLDER)
        assert into_bucket(service, server).code == 0
        late.send_signal(signal.SIGCONT)
        # Lets the root go.
        faults(server)
        _, err = late.communicate(timeout=PATIENCE)

    assert late.returncode == 5, err
    assert f"another run has written {PLACE}/{ROOT[:-1]} meanwhile" in one_error(err)
    assert_equals(server, reference)


def test_answers_that_are_lost_are_no_reason_to_stop(service: StandIn, server: str, reference: Path) -> None:
    """Every fifth write is obeyed, and then the connection is cut: the retry finds its own work."""
    rules = [
        {"fault": "drop_answer", "path": "europe", "skip": skip, "times": 1} for skip in range(0, 100, 5)
    ]
    faults(server, *rules)

    ended = into_bucket(service, server, "--commit-frames", "5")

    assert ended.code == 0, ended.err
    assert met(server) > 60
    assert_equals(server, reference)


def test_a_storage_that_asks_for_fewer_requests_is_asked_again(
    service: StandIn, server: str, reference: Path
) -> None:
    rules = [
        {"fault": "answer", "method": "PUT|GET|HEAD", "skip": skip, "times": 1} for skip in range(0, 200, 7)
    ]
    faults(server, *rules)

    ended = into_bucket(service, server)

    assert ended.code == 0, ended.err
    assert met(server) > 60
    assert_equals(server, reference)


def test_a_storage_that_goes_away_in_the_middle_of_a_run_is_told_and_the_next_run_goes_on(
    service: StandIn, server: str, reference: Path
) -> None:
    faults(server, {"fault": "drop", "method": "PUT|GET|HEAD|POST", "skip": 45})

    ended = into_bucket(service, server, "--commit-frames", "5")

    assert ended.code == 1
    assert f"{server} cannot be reached: the connection is lost; check" in ended.error
    faults(server)
    outlive_all(server, FOLDER, "ndvi")
    assert into_bucket(service, server).code == 0
    assert_equals(server, reference)


def test_whoever_reads_while_the_storage_is_away_is_told_so_and_not_of_damage(
    service: StandIn, server: str
) -> None:
    assert into_bucket(service, server).code == 0
    faults(server, {"fault": "drop", "method": "GET|HEAD", "path": "/c/", "skip": 5})

    ended = in_fork(server, "verify", "--archive", PLACE)

    assert ended.code == 1
    assert "cannot be reached" in ended.error


def test_objects_of_the_program_are_all_that_a_run_leaves(service: StandIn, server: str) -> None:
    assert into_bucket(service, server).code == 0

    found = obstore.list(raw(server), "ndvi")
    hidden = {entry["path"] for page in found for entry in page if "/." in f"/{entry['path']}"}
    assert hidden == {"ndvi/.lease", "ndvi/.lease-clock", f"{FOLDER}/.lease", f"{FOLDER}/.lease-clock"}
    assert read(server, f"{FOLDER}/.lease") == b""
