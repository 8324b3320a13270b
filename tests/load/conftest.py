"""An archive's place, and a disk that can be full or read-only."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etl.load.folder import LocalFolder


@pytest.fixture
def store(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "archive")


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: for tests that write many objects and are not about power losses."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    _mount(disk, "-t", "tmpfs", "-o", "size=256k", "tmpfs")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture
def make_read_only(small_disk: Path) -> Callable[[], None]:
    """Makes the small disk read-only when called."""
    return lambda: _mount(small_disk, "-o", "remount,ro")


def _mount(disk: Path, *options: str) -> None:
    try:
        done = subprocess.run(["mount", *options, disk], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("NOT TESTED WITH A FULL OR READ-ONLY DISK: there is no `mount`")
    if done.returncode:
        pytest.skip(f"NOT TESTED WITH A FULL OR READ-ONLY DISK: {done.stderr.strip()}")
