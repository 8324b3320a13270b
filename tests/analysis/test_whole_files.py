"""Results are in their files as a whole, or the files are as they were."""

import errno
import os
import signal
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from etl.analysis.whole_files import check_writable, write_whole
from etl.errors import StorageError, UsageError
from etl.signals import Interrupted, ending_on_signals


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ndvi.csv"

    for data in (b"first", b"second, longer", b""):
        write_whole(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_it_as_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()

    write_whole(tmp_path / "ndvi.csv", b"data")

    usual, own = ((tmp_path / name).stat() for name in ("usual", "ndvi.csv"))
    assert stat.S_IMODE(own.st_mode) == stat.S_IMODE(usual.st_mode)


def test_a_link_stays_one_and_leads_to_the_new_file(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    link = tmp_path / "ndvi.csv"
    link.symlink_to("results/ndvi.csv")

    write_whole(link, b"data")

    assert link.is_symlink()
    assert (tmp_path / "results/ndvi.csv").read_bytes() == b"data"


def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_writable(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()

    write_whole(pipe, b"data")

    reader.join()
    assert read == [b"data"]
    assert pipe.is_fifo()


def test_asking_whether_it_can_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "ndvi.csv")
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "ndvi.csv").write_text("old")
    check_writable(tmp_path / "ndvi.csv")
    assert (tmp_path / "ndvi.csv").read_text() == "old"


def test_folders_are_no_files_and_are_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; name a file"):
        check_writable(tmp_path)
    with pytest.raises(UsageError, match=r"there is no folder \S+/missing; create it, or name another"):
        check_writable(tmp_path / "missing" / "ndvi.csv")


def test_a_place_that_refuses_is_told_before_and_after(tmp_path: Path) -> None:
    name = "n" * 240 + ".csv"
    for write in (check_writable, lambda path: write_whole(path, b"data")):
        with pytest.raises(StorageError, match=f"cannot write .*: {os.strerror(errno.ENAMETOOLONG)}; check"):
            write(tmp_path / name)
    with pytest.raises(StorageError, match=r"cannot write /proc/ndvi\.csv"):
        check_writable(Path("/proc/ndvi.csv"))


def test_a_full_disk_leaves_the_old_file_alone(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED WITH A FULL DISK: no file system can be mounted here")
    try:
        write_whole(disk / "ndvi.png", b"old")
        with pytest.raises(StorageError, match="No space left on device; check the path and the disk"):
            write_whole(disk / "ndvi.png", b"n" * 100_000)
        assert (disk / "ndvi.png").read_bytes() == b"old"
        assert [path.name for path in disk.iterdir()] == ["ndvi.png"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_signal_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "ndvi.csv"
    path.write_text("old")

    def write_until_told() -> None:
        threading.Timer(0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        while True:
            write_whole(path, b"new, and longer")

    with pytest.raises(Interrupted), ending_on_signals():
        write_until_told()

    assert path.read_bytes() in (b"old", b"new, and longer")
    assert list(tmp_path.iterdir()) == [path]
