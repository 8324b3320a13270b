"""One writer at a time, also among processes."""

import math
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from etl.errors import BusyError
from etl.load.folder import LocalFolder
from etl.load.holder import LEASE

PATIENCE = 30.0
"""Seconds after which another process counts as hung."""

Start = Callable[..., tuple[SpawnProcess, Connection]]


def _hold(root: Path, folder: str, wait: float, pipe: Connection) -> None:
    """Ask for the lease, tell what came of it, and hold it until told to let go."""
    pipe.send("asking")
    try:
        with LocalFolder(root).lease(folder, wait):
            pipe.send("holding")
            pipe.recv()
        pipe.send("released")
    except BusyError as error:
        pipe.send(error.what)


@pytest.fixture
def start(store: LocalFolder) -> Iterator[Start]:
    """Starts a process that asks for a lease; kills it in the end."""
    started: list[SpawnProcess] = []

    def start(folder: str, *, wait: float = 0.0) -> tuple[SpawnProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_hold, args=(store.root, folder, wait, theirs))
        process.start()
        started.append(process)
        theirs.close()
        assert _heard(ours) == "asking"
        return process, ours

    yield start
    for process in started:
        process.kill()
        process.join()
        process.close()


def _heard(pipe: Connection) -> object:
    assert pipe.poll(PATIENCE), "the other process says nothing"
    return pipe.recv()


def test_a_second_process_is_refused_by_the_name_of_the_first(store: LocalFolder, start: Start) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    process, pipe = start("europe")
    assert _heard(pipe) == "holding"
    with pytest.raises(BusyError) as refusal, store.lease("europe"):
        pytest.fail("two processes hold the lease")
    message, since = refusal.value.what.rsplit(" since ", 1)
    assert message == (
        f"{store.root}/europe is being written by process {process.pid} on {socket.gethostname()}"
    )
    assert before <= datetime.fromisoformat(since) <= datetime.now(UTC)

    pipe.send("let go")
    assert _heard(pipe) == "released"
    with store.lease("europe"):
        _, pipe = start("europe")
        assert f"process {os.getpid()} on" in str(_heard(pipe))


def test_a_refused_process_does_not_disturb_the_holder(store: LocalFolder, start: Start) -> None:
    with store.lease("europe"):
        names = []
        for _ in range(2):
            _, pipe = start("europe")
            names.append(_heard(pipe))
        assert names[0] == names[1]
        assert f"process {os.getpid()} on" in str(names[0])


def test_a_holder_that_is_killed_frees_the_lease(store: LocalFolder, start: Start) -> None:
    process, pipe = start("europe")
    assert _heard(pipe) == "holding"
    process.kill()
    process.join(PATIENCE)
    assert process.exitcode == -9
    with store.lease("europe"):
        assert str(os.getpid()) in (store.root / "europe" / LEASE).read_text()


def test_an_error_while_holding_frees_the_lease(store: LocalFolder) -> None:
    with pytest.raises(ZeroDivisionError), store.lease("europe"):
        _ = 1 / 0
    with store.lease("europe"):
        pass


def test_leases_of_other_folders_do_not_hinder(store: LocalFolder, start: Start) -> None:
    _, pipe = start("africa")
    assert _heard(pipe) == "holding"
    with store.lease("europe"), store.lease(""):
        pass


def test_who_waits_gets_the_lease_as_soon_as_it_is_free(store: LocalFolder, start: Start) -> None:
    with store.lease("europe"):
        process, pipe = start("europe", wait=math.inf)
        assert not pipe.poll(1.0), "two processes hold the lease"
        assert process.is_alive()
    assert _heard(pipe) == "holding"
    with pytest.raises(BusyError, match=f"process {process.pid} on"), store.lease("europe"):
        pytest.fail("two processes hold the lease")


def test_what_is_no_holders_name_is_not_shown_as_one(store: LocalFolder) -> None:
    with store.lease("europe"):
        (store.root / "europe" / LEASE).write_bytes(b"\xff[1]")
        with pytest.raises(BusyError, match="is being written by another process"), store.lease("europe"):
            pytest.fail("the lease was given twice")
