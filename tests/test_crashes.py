"""Whatever ends a run, and whenever: no frame is lost, no reader is disturbed, and the next run goes on."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import xarray as xr

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from tests.cli.test_convert import assert_holds, stored
from tests.conftest import BBOX
from tests.forked import clean_environment, started
from tests.program import PROGRAM, convert, run, with_login, with_token
from tests.witness import Account, Witness

pytestmark = pytest.mark.slow

KILLS = 25
PATIENCE = 120.0
"""Seconds after which a process counts as hung."""

Program = subprocess.Popen[str]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder on the disk, where a write takes its time."""
    with TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def long_scenes(scenes: list[SceneFrame]) -> list[SceneFrame]:
    """Eighty frames of which no two are alike: those of ten days, moved on and shifted."""
    return [
        replace(
            frame,
            time=frame.time + np.timedelta64(turn * 10, "D"),
            codes=np.roll(frame.codes, (turn * 3, turn * 7), (0, 1)),
        )
        for turn in range(4)
        for frame in scenes
    ]


@pytest.fixture(scope="module")
def long_stream(long_scenes: list[SceneFrame], tmp_path_factory: pytest.TempPathFactory) -> Stream:
    return publish(long_scenes, tmp_path_factory.mktemp("long"), BBOX, Encoding(lossless=True, gop=8))


@pytest.fixture
def service(long_stream: Stream) -> Iterator[StandIn]:
    with StandIn({"Europe": long_stream}) as standing_in:
        yield standing_in


@pytest.fixture(scope="module")
def reference(
    long_stream: Stream, long_scenes: list[SceneFrame], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An archive that was made in peace."""
    archive = tmp_path_factory.mktemp("reference")
    with StandIn({"Europe": long_stream}) as standing_in:
        assert convert(standing_in, archive).code == 0
    assert_holds(archive, long_scenes)
    return archive


def assert_undisturbed(account: Account) -> None:
    assert account.lost == []
    assert account.wrong == []
    assert account.looks > 0


def assert_equals(archive: Path, reference: Path) -> None:
    """Every array and attribute but the times of archiving; and the catalog fits."""
    found, expected = (stored(each).drop_vars("archived_at") for each in (archive, reference))
    xr.testing.assert_identical(found, expected)
    verified = run("verify", "--archive", archive)
    assert verified.code == 0, verified.out


def frames_in(archive: Path) -> int:
    return stored(archive).sizes["time"]


def allow_rebuild(archive: Path, witness: Witness) -> None:
    """Say that no reader needs any more what the last rebuild replaced; that is so after a whole new look."""
    outdated = archive / "europe/.outdated"
    if outdated.exists():
        witness.told()
        outdated.unlink()


def test_kills_at_random_moments_lose_nothing_and_disturb_no_reader(
    service: StandIn, archive: Path, reference: Path
) -> None:
    dice = Random(3)  # noqa: S311
    kills = number = looks = 0
    variables = with_token(service)
    while kills < KILLS:
        number += 1
        place = archive.with_name(f"archive-{number}")
        arguments = ("-qq", "convert", "Europe", "--archive", place, "--commit-frames", "2")
        with Witness(place, reference) as witness:
            for mode in ((), ("--rebuild",)):
                for _ in range(20):
                    allow_rebuild(place, witness)
                    process = started(*arguments, *mode, variables=variables)
                    process.join(dice.uniform(0.0, 0.6))
                    process.kill()
                    process.join(PATIENCE)
                    assert process.exitcode in {0, -signal.SIGKILL}
                    kills += process.exitcode == -signal.SIGKILL
                    if process.exitcode == 0:
                        break
                allow_rebuild(place, witness)
                process = started(*arguments, *mode, variables=variables)
                process.join(PATIENCE)
                assert process.exitcode == 0
            account = witness.told()
        assert_undisturbed(account)
        looks += account.looks
        assert_equals(place, reference)
    assert looks > number


@pytest.mark.parametrize("missing", [None, "ndvi", "time/0", "zarr.json"])
def test_a_kill_while_a_finished_rebuild_is_tidied_up_does_not_harm_the_next_rebuild(
    service: StandIn, archive: Path, reference: Path, missing: str | None
) -> None:
    """What is left then is some or all of the rebuilt group, whose chunks have keys like those in force."""
    convert(service, archive)
    convert(service, archive, "--rebuild")
    group, side = archive / "europe/ndvi.zarr", archive / "europe/.rebuild/ndvi.zarr"
    assert not side.parent.exists()
    shutil.copytree(group, side, ignore=shutil.ignore_patterns("c"))
    if missing == "ndvi":
        shutil.rmtree(side / missing)
    elif missing:
        (side / missing).unlink()

    with Witness(archive, reference) as witness:
        for _ in range(2):
            allow_rebuild(archive, witness)
            ended = convert(service, archive, "--rebuild", "--commit-frames", "8")
            assert ended.code == 0, ended.err
        account = witness.told()

    assert_undisturbed(account)
    assert not side.parent.exists()
    assert_equals(archive, reference)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that fits the archive, and not much more."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount: list[str | Path] = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: a full disk; this account may not mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_full_at_any_moment_loses_nothing_and_is_told(
    service: StandIn, small_disk: Path, reference: Path, tmp_path: Path
) -> None:
    """The disk gets larger by a little from run to run, so that it is full somewhere else in each."""
    archive, filler, err = small_disk / "archive", small_disk / "filler", tmp_path / "err"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free)
    refused: Counter[str] = Counter()
    with Witness(archive, reference) as witness:
        while True:
            err.write_text("")
            arguments = ("-q", "convert", "Europe", "--archive", archive, "--commit-frames", "5")
            process = started(*arguments, variables=with_token(service), err=err)
            process.join(PATIENCE)
            if process.exitcode == 0:
                break
            assert process.exitcode == 1
            *others, line = err.read_text().splitlines()
            assert line.startswith("Error: cannot write ")
            assert "No space left on device; check" in line
            assert all("WARNING cannot write " in other for other in others)
            refused.update(re.findall(rf"cannot write {archive}/(?:europe/)?([^/:]*)", err.read_text()))
            free -= 16 * 1024
            os.truncate(filler, free)
        account = witness.told()

    assert refused["ndvi.zarr"] > 20
    assert len(refused) > 1, "it was never full while the catalog was written"
    assert_undisturbed(account)
    assert_equals(archive, reference)


@contextmanager
def running(
    service: StandIn, archive: Path, *options: str, variables: dict[str, str] | None = None
) -> Iterator[Program]:
    """A `convert` under way."""
    with subprocess.Popen(
        [PROGRAM, "convert", "Europe", "--archive", archive, *options],
        env=clean_environment() | (variables or with_token(service)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


@contextmanager
def stalled(service: StandIn, archive: Path, *options: str) -> Iterator[Program]:
    """A `convert` that has archived a part and waits for bytes that do not come."""
    service.faults.stalled.clear()
    service.faults.stall_after = service.streams["Europe"].file.stat().st_size * 3 // 4
    service.faults.stall_times = 1
    with running(service, archive, "--commit-frames", "2", *options) as process:
        assert service.faults.stalled.wait(PATIENCE)
        yield process
    service.faults.stall_after = None


def one_error(err: str) -> str:
    (line,) = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in err
    return line


SIGNALS = pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])


@SIGNALS
def test_a_run_that_is_asked_to_end_commits_what_it_has(
    service: StandIn, archive: Path, reference: Path, sent: signal.Signals, code: int
) -> None:
    with stalled(service, archive) as process:
        process.send_signal(sent)
        _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == code
    assert one_error(err).startswith(f"Error: interrupted by {sent.name}; ")
    assert 0 < frames_in(archive) < 80
    assert json.loads((archive / "europe/collection.json").read_text())["ndvi_archive:frames"] == frames_in(
        archive
    )
    assert convert(service, archive).code == 0
    assert_equals(archive, reference)


@SIGNALS
def test_a_run_that_waits_for_another_one_can_be_ended(
    service: StandIn, archive: Path, sent: signal.Signals, code: int
) -> None:
    (archive / "europe").mkdir(parents=True)
    with (archive / "europe/.lease").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with running(service, archive, "--wait", "100") as process:
            assert process.stderr is not None
            assert any("waiting up to 100 s for" in line for line in process.stderr)
            process.send_signal(sent)
            _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == code
    one_error(err)
    assert convert(service, archive).code == 0


@SIGNALS
def test_a_run_that_waits_for_the_login_can_be_ended(
    service: StandIn, archive: Path, sent: signal.Signals, code: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        variables = with_login(service) | {"DESPAUTH_IAM_URL": address}
        with running(service, archive, variables=variables) as process:
            connection, _ = silent.accept()
            with connection:
                connection.settimeout(PATIENCE)
                process.send_signal(sent)
                _, err = process.communicate(timeout=PATIENCE)
                while connection.recv(4096):
                    # What was asked; the end comes when the process that asked is gone.
                    pass

    assert process.returncode == code
    one_error(err)
    assert not archive.exists()


def test_of_two_runs_at_the_same_instant_exactly_one_writes(
    service: StandIn, archive: Path, reference: Path, tmp_path: Path
) -> None:
    busy = 0
    for number in range(8):
        place, err = archive.with_name(f"archive-{number}"), tmp_path / f"err-{number}"
        arguments = ("-qq", "convert", "Europe", "--archive", place, "--commit-frames", "8")
        both = [started(*arguments, variables=with_token(service), err=err) for _ in range(2)]
        for process in both:
            process.join(PATIENCE)
        codes = sorted(process.exitcode or 0 for process in both)
        # The second one can come when the first is done.
        assert codes in ([0, 5], [0, 0])
        busy += codes == [0, 5]
        assert len(err.read_text().splitlines()) == codes.count(5)
        xr.testing.assert_identical(
            stored(place).drop_vars("archived_at"), stored(reference).drop_vars("archived_at")
        )
    assert busy > 0


def test_of_two_runs_at_the_same_instant_the_other_one_waits_where_it_may(
    service: StandIn, archive: Path, reference: Path, tmp_path: Path
) -> None:
    err = tmp_path / "err"
    arguments = ("convert", "Europe", "--archive", archive, "--wait", "100")
    four = [started(*arguments, variables=with_token(service), err=err) for _ in range(4)]
    for process in four:
        process.join(PATIENCE)

    assert [process.exitcode for process in four] == [0] * 4
    assert "waiting up to 100 s for" in err.read_text()
    assert_equals(archive, reference)


def test_frames_that_are_committed_while_a_rebuild_waits_are_not_dropped_as_withdrawn(
    service: StandIn, archive: Path, reference: Path, long_stream: Stream
) -> None:
    assert convert(service, archive, "--end", "2021-03-05").code == 0
    with stalled(service, archive) as writing:
        assert writing.stderr is not None
        assert any("committed" in line for line in writing.stderr)
        # As the service was before it had the frames that are being committed.
        service.streams["Europe"] = replace(long_stream, images=long_stream.images[:10])
        with running(service, archive, "--rebuild", "--drop-withdrawn", "--wait", "100") as rebuilding:
            assert rebuilding.stderr is not None
            assert any("waiting up to 100 s for" in line for line in rebuilding.stderr)
            service.streams["Europe"] = long_stream
            service.faults.stall_after = None
            writing.send_signal(signal.SIGTERM)
            writing.communicate(timeout=PATIENCE)
            summary, err = rebuilding.communicate(timeout=PATIENCE)

    assert writing.returncode == 143
    assert rebuilding.returncode == 0, err
    assert "no longer listed" not in err + summary
    assert_equals(archive, reference)


def test_the_holder_of_the_lease_is_named_and_one_that_is_killed_leaves_it_to_the_next(
    service: StandIn, archive: Path, reference: Path
) -> None:
    with stalled(service, archive) as process:
        busy = convert(service, archive)
        name = json.loads((archive / "europe/.lease").read_text())
        process.kill()
        process.wait(PATIENCE)

    assert busy.code == 5
    assert (
        f"is being written by process {process.pid} on {socket.gethostname()} since {name['since']}"
        in busy.error
    )
    assert datetime.fromisoformat(name["since"]).tzinfo is not None
    left = (archive / "europe/.lease").read_text()
    assert json.loads(left)["process"] == process.pid
    assert convert(service, archive).code == 0
    assert (archive / "europe/.lease").read_text() == ""
    assert_equals(archive, reference)


def test_a_lease_of_garbage_hinders_nobody(service: StandIn, archive: Path, reference: Path) -> None:
    (archive / "europe").mkdir(parents=True)
    (archive / "europe/.lease").write_bytes(b"\xff{\0" * 1000)

    assert convert(service, archive).code == 0
    assert_equals(archive, reference)


def test_a_deadline_keeps_what_was_committed_and_the_next_run_goes_on(
    service: StandIn, archive: Path, reference: Path
) -> None:
    assert convert(service, archive, "--end", "2021-03-05").code == 0
    service.faults.stall_after = service.streams["Europe"].file.stat().st_size * 3 // 4

    ended = convert(service, archive, "--deadline", "3", "--commit-frames", "2")

    assert ended.code == 4
    assert ended.error.startswith("the deadline of 3 seconds has passed; what was committed is archived")
    assert 10 <= frames_in(archive) < 80
    service.faults.stall_after = None
    assert convert(service, archive).code == 0
    assert_equals(archive, reference)
