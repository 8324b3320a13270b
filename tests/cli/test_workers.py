"""Frames shared among many processes: the archive is the same, whatever happens to them."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import ObjectStore, from_url

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from tests.cli.clusters import DaskCluster, dask_cluster
from tests.conftest import BBOX
from tests.forked import clean_environment, started
from tests.load.buckets import BUCKET, clean, faults, s3_server, variables, wait_until_held
from tests.program import PROGRAM, contents, convert, run, with_token

pytestmark = pytest.mark.slow

PATIENCE = 120.0
"""Seconds after which a process counts as hung."""

HELD = 13
"""Position of the frame that a worker is kept from writing."""

BEFORE = 12
"""Frames before that one's share."""

Frames = dict[str, bytes]


@pytest.fixture(scope="module")
def short_groups(scenes: list[SceneFrame], tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """The twenty frames of Europe in groups of four: a first one, and shares of 11, 4 and 4."""
    return publish(scenes, tmp_path_factory.mktemp("groups"), BBOX, Encoding(lossless=True, gop=4))


@pytest.fixture
def service(short_groups: Stream) -> Iterator[StandIn]:
    with StandIn({"Europe": short_groups}) as standing_in:
        yield standing_in


@pytest.fixture(scope="module")
def alone(short_groups: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive made by one process."""
    archive = tmp_path_factory.mktemp("alone") / "archive"
    with StandIn({"Europe": short_groups}) as standing_in:
        assert convert(standing_in, archive).code == 0
    return archive


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@dataclass(frozen=True)
class Storage:
    """Where the archive `s3://…/night` is.

    Attributes:
        server: address of the server.
        store: what is below that address.
    """

    server: str
    store: ObjectStore

    @property
    def variables(self) -> dict[str, str]:
        """What points a program to it."""
        return variables(self.server)

    def document(self, key: str) -> dict[str, Any]:
        """An object that is JSON."""
        document: dict[str, Any] = json.loads(bytes(obstore.get(self.store, key).bytes()))
        return document

    @property
    def frames(self) -> Frames:
        """The frames' objects of Europe."""
        prefix = "europe/ndvi.zarr/ndvi/"
        keys = [entry["path"] for page in obstore.list(self.store, f"{prefix}c/") for entry in page]
        return {key.removeprefix(prefix): bytes(obstore.get(self.store, key).bytes()) for key in keys}

    @property
    def committed(self) -> int:
        """Committed frames of Europe."""
        root = self.document("europe/ndvi.zarr/zarr.json")
        length: int = root["consolidated_metadata"]["metadata"]["ndvi"]["shape"][0]
        return length


@pytest.fixture
def storage(server: str) -> Storage:
    """A bucket, emptied."""
    clean(server)
    settings = variables(server)
    store = from_url(
        f"s3://{BUCKET}/night",
        access_key_id=settings["AWS_ACCESS_KEY_ID"],
        secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        region=settings["AWS_REGION"],
        endpoint=server,
        client_options={"allow_http": True},
    )
    return Storage(server, store)


@pytest.fixture(scope="module")
def cluster(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("cluster"), variables(server)) as running:
        yield running


def frame_objects(archive: Path) -> Frames:
    found = contents(archive / "europe/ndvi.zarr/ndvi/c")
    return {f"c/{key}": data for key, data in found.items()}


def told_by(service: StandIn, archive: Path, *options: str) -> tuple[int | None, str]:
    """Exit code and standard error of a `convert`."""
    err = archive.with_name("err")
    err.write_text("")
    process = started(
        *("convert", "Europe", "--archive", str(archive), *options), variables=with_token(service), err=err
    )
    process.join(PATIENCE)
    return process.exitcode, err.read_text()


@pytest.mark.parametrize("layout", ["sharded", "flat"])
def test_two_workers_write_the_same_bytes_as_one_process(
    service: StandIn, cluster: DaskCluster, archive: Path, alone: Path, layout: str
) -> None:
    if layout == "flat":
        alone = archive.with_name("alone")
        assert told_by(service, alone, "--layout", layout)[0] == 0

    code, err = told_by(service, archive, "--scheduler", cluster.address, "--layout", layout)

    assert code == 0, err
    assert "sharing the frames among 2 workers" in err
    assert frame_objects(archive) == frame_objects(alone)
    assert run("verify", "--archive", archive).out.endswith("20 frames, 20 read; nothing wrong\n")


def test_an_expired_address_is_renewed_for_the_workers_and_no_secret_is_told(
    short_groups: Stream, cluster: DaskCluster, archive: Path, alone: Path
) -> None:
    with StandIn({"Europe": short_groups}, signed_urls=True) as service:
        service.faults.urls_expire_every = 7
        token = with_token(service)["NDVI_ARCHIVE_TOKEN"]
        code, err = told_by(service, archive, "--scheduler", cluster.address, "--workers", "2")
        asked = [request.path for request in service.requests if "metadata" in request.path]

    assert code == 0, err
    assert len(asked) > 2
    assert frame_objects(archive) == frame_objects(alone)
    told = err + cluster.log.read_text()
    for secret in ("signature=", "expires=", *token.split(".")):
        assert secret not in told


def test_a_damaged_frame_ends_the_run_after_the_frames_before_it_as_with_one_process(
    short_groups: Stream, cluster: DaskCluster, archive: Path, alone: Path, tmp_path: Path
) -> None:
    data = bytearray(short_groups.file.read_bytes())
    middle = len(data) * 6 // 10
    data[middle : middle + len(data) // 16] = bytes(len(data) // 16)
    damaged = tmp_path / "damaged" / short_groups.file.name
    damaged.parent.mkdir()
    damaged.write_bytes(data)
    with StandIn({"Europe": replace(short_groups, file=damaged)}) as service:
        code, err = told_by(service, archive, "--scheduler", cluster.address)
        single, single_err = told_by(service, archive.with_name("single"))

    assert code == single == 4, err
    assert err.splitlines()[-1] == single_err.splitlines()[-1]
    reached = json.loads((archive / "europe/collection.json").read_text())["ndvi_archive:frames"]
    assert (
        reached
        == json.loads((archive.with_name("single") / "europe/collection.json").read_text())[
            "ndvi_archive:frames"
        ]
    )
    assert 1 < reached < 20
    expected = frame_objects(alone)
    for position in range(reached):
        key = f"c/{position}/0/0"
        assert frame_objects(archive)[key] == expected[key]


def test_what_an_interrupted_run_left_does_not_get_in_the_way_of_workers(
    service: StandIn, cluster: DaskCluster, archive: Path, alone: Path
) -> None:
    assert told_by(service, archive, "--end", "2021-03-02")[0] == 0
    for position in (4, 9, 10, 300):
        left = archive / f"europe/ndvi.zarr/ndvi/c/{position}/0/0"
        left.parent.mkdir(parents=True)
        left.write_bytes(b"of another frame")

    code, err = told_by(service, archive, "--scheduler", cluster.address)

    assert code == 0, err
    assert frame_objects(archive) == frame_objects(alone)


def test_two_continents_of_a_night_share_a_cluster(
    service: StandIn, cluster: DaskCluster, storage: Storage, alone: Path, archive: Path
) -> None:
    service.streams["Africa"] = service.streams["Europe"]
    config = archive.with_name("nightly.toml")
    config.write_text(
        f'archive = "s3://{BUCKET}/night"\nscheduler = "{cluster.address}"\n'
        '[[continents]]\nname = "Europe"\n[[continents]]\nname = "Africa"\n'
    )

    ended = run(
        *("nightly", "--config", config, "--parallel", "2"), variables=with_token(service) | storage.variables
    )

    assert ended.code == 0, ended.err
    assert ended.err.count("sharing the frames among 2 workers") == 2
    assert storage.frames == frame_objects(alone)


def test_a_storage_that_refuses_a_worker_ends_the_run_after_the_frames_before(
    service: StandIn, cluster: DaskCluster, storage: Storage, alone: Path
) -> None:
    faults(
        storage.server, {"fault": "answer", "path": f"ndvi/c/{HELD}/", "status": 403, "code": "AccessDenied"}
    )

    ended = run(
        *("convert", "Europe", "--archive", f"s3://{BUCKET}/night", "--endpoint-url", storage.server),
        *("--scheduler", cluster.address),
        variables=with_token(service) | storage.variables | {"AWS_ENDPOINT_URL": ""},
    )

    assert ended.code == 1
    assert ended.error.startswith(f"cannot write s3://{BUCKET}/night/europe/ndvi.zarr/ndvi/c/{HELD}/0/0:")
    assert storage.committed == HELD


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense"])
def test_a_scheduler_that_is_none_is_told_and_nothing_archived(
    service: StandIn, archive: Path, address: str
) -> None:
    code, err = told_by(service, archive, "--scheduler", address)

    assert code == 2
    *others, line = err.splitlines()
    assert line.startswith(f"Error: the scheduler {address} does not answer: ")
    assert all(" INFO " in other for other in others), err
    assert not (archive / "europe/ndvi.zarr/zarr.json").exists()


def test_few_frames_start_no_workers(service: StandIn, archive: Path) -> None:
    code, err = told_by(service, archive, "--end", "2021-03-02", "--workers", "2")

    assert code == 0
    assert "sharing" not in err


@contextmanager
def held(
    service: StandIn, storage: Storage, *options: str, **environment: str
) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A run whose only worker has asked to write a frame, and gets no answer; and its processes."""
    faults(storage.server, {"fault": "hold", "path": f"ndvi/c/{HELD}/", "times": 1})
    with subprocess.Popen(
        [PROGRAM, "convert", "Europe", "--archive", f"s3://{BUCKET}/night", "--workers", "1", *options],
        env=clean_environment() | with_token(service) | storage.variables | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            wait_until_held(storage.server)
            yield process, worker_processes(process.pid)
        finally:
            process.kill()


def worker_processes(parent: int) -> list[int]:
    """The processes that a run has started for its workers."""
    children = [
        child
        for task in Path(f"/proc/{parent}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_until_ended(processes: list[int]) -> None:
    """Wait for processes that are no children of this one."""
    for process in processes:
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(process)
            assert select.select([descriptor], [], [], PATIENCE)[0]
            os.close(descriptor)


def test_the_frames_of_a_worker_that_is_killed_are_archived_by_another_one(
    service: StandIn, storage: Storage, alone: Path
) -> None:
    with held(service, storage) as (process, workers):
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        # What the dead one has asked for is done now.
        faults(storage.server)
        out, err = process.communicate(timeout=PATIENCE)

    assert len(workers) == 1
    assert process.returncode == 0, err
    assert "20 frames archived" in out
    assert all(" INFO " in line for line in err.splitlines()), err
    assert storage.frames == frame_objects(alone)


def test_workers_that_die_again_and_again_end_the_run_in_one_line(service: StandIn, storage: Storage) -> None:
    with held(service, storage, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as (process, workers):
        os.kill(workers[0], signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    *others, line = err.splitlines()
    assert line.startswith("Error: worker after worker died while archiving frame 13 (2021-03-07")
    assert all(" INFO " in other for other in others), err
    assert storage.committed == BEFORE


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (signal.SIGINT, 130, "interrupted by SIGINT; "),
        (signal.SIGTERM, 143, "interrupted by SIGTERM; "),
        # The alarm that the deadline is.
        (signal.SIGALRM, 4, "the deadline of 3600 seconds has passed; "),
    ],
    ids=["its terminal", "SIGTERM", "deadline"],
)
def test_a_run_that_is_ended_ends_with_all_its_processes(
    service: StandIn, storage: Storage, number: signal.Signals, code: int, told: str
) -> None:
    options = ("--commit-frames", str(BEFORE), "--deadline", "3600")
    with held(service, storage, *options) as (process, workers):
        assert process.stderr is not None
        assert any(f"committed {BEFORE} of 20" in line for line in process.stderr)
        # A terminal tells all its processes.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == code
    *others, line = err.splitlines()
    assert line.startswith(f"Error: {told}")
    assert all(" INFO " in other for other in others), err
    assert storage.committed == BEFORE
    wait_until_ended(workers)


def test_a_cluster_that_is_lost_ends_the_run_after_the_frames_before(
    service: StandIn, storage: Storage, alone: Path, tmp_path: Path
) -> None:
    options = ("--commit-frames", str(BEFORE))
    with (
        dask_cluster(tmp_path, variables(storage.server)) as cluster,
        held(service, storage, "--scheduler", cluster.address, *options) as (process, _),
    ):
        assert process.stderr is not None
        assert any(f"committed {BEFORE} of 20" in line for line in process.stderr)
        cluster.scheduler.kill()
        _, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    *others, line = err.splitlines()
    assert line == (
        "Error: the connection to the cluster is lost; check the scheduler, then run the command again"
    )
    assert all(" INFO " in other for other in others), err
    assert storage.committed == BEFORE
    faults(storage.server)
    ended = run(
        *("convert", "Europe", "--archive", f"s3://{BUCKET}/night"),
        variables=with_token(service) | storage.variables,
    )
    assert ended.code == 0, ended.err
    assert storage.frames == frame_objects(alone)


def test_a_run_that_is_killed_leaves_no_processes_and_nothing_that_harms_the_next_one(
    service: StandIn, storage: Storage, alone: Path
) -> None:
    with held(service, storage) as (process, workers):
        process.kill()
        wait_until_ended(workers)
    lease = storage.document("europe/.lease")
    obstore.put(storage.store, "europe/.lease", json.dumps(lease | {"seconds": -5.0}).encode())
    obstore.put(storage.store, "europe/ndvi.zarr/ndvi/c/17/0/0", b"of another frame")

    # What its worker has asked for is done by the storage while this one works.
    faults(storage.server)
    ended = run(
        *("convert", "Europe", "--archive", f"s3://{BUCKET}/night"),
        variables=with_token(service) | storage.variables,
    )

    assert ended.code == 0, ended.err
    assert storage.frames == frame_objects(alone)
