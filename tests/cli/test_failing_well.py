"""A run that fails tells the first error, keeps what it had, and says so in its report."""

import json
import shutil
import signal
import subprocess
from datetime import date
from pathlib import Path

import pytest
import xarray as xr

from etl.demo.encoder import Encoding
from etl.demo.scene import scene
from etl.demo.service import StandIn
from etl.demo.streams import publish
from tests.cli.test_convert import assert_holds
from tests.conftest import BBOX
from tests.forked import clean_environment
from tests.program import PROGRAM, contents, convert, run, with_login, with_token


def test_an_interrupted_run_commits_and_says_so(service: StandIn, archive: Path, tmp_path: Path) -> None:
    scenes = list(scene(84, 50, BBOX, date(2021, 3, 1), 120))
    stream = publish(scenes, tmp_path / "long", BBOX, Encoding(lossless=True, gop=8))
    service.streams["Europe"] = stream
    service.faults.stall_after = stream.file.stat().st_size * 3 // 4
    report = tmp_path / "run.json"
    with subprocess.Popen(
        [PROGRAM, "-v", "convert", "Europe", "--archive", archive, "--report", report],
        env=clean_environment() | with_token(service),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "committed 64 of 240 frames" in line)
        assert service.faults.stalled.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted by SIGINT; what was committed is archived" in err
    archived = xr.open_zarr(archive / "europe/ndvi.zarr").sizes["time"]
    assert 64 < archived < 240
    assert f"{archived} frames archived" in out
    assert json.loads(report.read_text())["error"] == "interrupted by SIGINT"
    assert_holds(archive, scenes[:archived])
    assert convert(service, archive).code == 0
    assert_holds(archive, scenes)


def test_a_second_error_does_not_hide_the_first(service: StandIn, archive: Path) -> None:
    convert(service, archive, "--end", "2021-03-02")
    for frame in range(4):
        (archive / f"europe/ndvi.zarr/ndvi/c/{frame}/0/0").write_bytes(b"damaged")
    (archive / "europe/overview.png").unlink()
    service.faults.missing = frozenset({"stream.mp4"})

    ended = convert(service, archive)

    assert ended.code == 4
    assert "stream.mp4 answered 404" in ended.error


def test_a_report_that_cannot_be_written_is_told_before_anything_is_done(
    service: StandIn, archive: Path, tmp_path: Path
) -> None:
    ended = convert(service, archive, "--report", tmp_path / "nowhere" / "run.json")

    assert ended.code == 2
    assert "there is no folder" in ended.error
    assert not archive.exists()


def test_a_failed_run_tells_its_error_in_the_report(service: StandIn, archive: Path, tmp_path: Path) -> None:
    service.faults.truncate_to = 60_000

    ended = convert(service, archive, "--report", tmp_path / "run.json")
    report = json.loads((tmp_path / "run.json").read_text())

    assert ended.code == 4
    assert report["error"] == ended.error
    assert report["archived"] == xr.open_zarr(archive / "europe/ndvi.zarr").sizes["time"]


def test_a_dry_run_writes_its_plan_to_the_report(service: StandIn, archive: Path, tmp_path: Path) -> None:
    convert(service, archive, "--dry-run", "--report", tmp_path / "plan.json")

    assert json.loads((tmp_path / "plan.json").read_text())["planned"] == 20


def test_interim_answers_are_passed_over_or_their_request_is_sent_again(
    service: StandIn, archive: Path, tmp_path: Path
) -> None:
    service.faults.interim_before, service.faults.interim_answers = 5, 2

    assert convert(service, archive, "--report", tmp_path / "run.json").code == 0
    report = json.loads((tmp_path / "run.json").read_text())
    assert (report["archived"], report["retries"]) == (20, 2)


def test_a_failed_login_leaves_no_trace(service: StandIn, archive: Path) -> None:
    service.faults.forbidden = True

    assert convert(service, archive).code == 3
    assert not archive.exists()


def test_passwords_in_netrc_go_nowhere(service: StandIn, archive: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("default login someone password of-something-else\n")
    (home / ".netrc").chmod(0o600)

    ended = run(
        "convert", "Europe", "--archive", archive, variables=with_token(service) | {"HOME": str(home)}
    )

    assert ended.code == 0
    streams = [request for request in service.requests if request.path.startswith("/streams/")]
    assert streams
    assert not any(request.authorized for request in streams)


def test_a_folder_named_etl_does_not_disturb_the_login(
    service: StandIn, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etl").mkdir()
    (tmp_path / "etl/__init__.py").write_text("raise SystemExit('not the right one')")
    monkeypatch.chdir(tmp_path)

    ended = run(
        "convert", "Europe", "--archive", archive, "--end", "2021-03-01", variables=with_login(service)
    )

    assert ended.code == 0, ended.err


def test_a_damaged_continent_does_not_hide_the_others(service: StandIn, archive: Path) -> None:
    convert(service, archive)
    shutil.copytree(archive / "europe", archive / "africa")
    (archive / "africa/ndvi.zarr/zarr.json").write_text("{")

    ended = run("info", "--archive", archive)

    assert ended.code == 6
    assert "africa" in ended.error
    assert ended.out.startswith("Europe: 20 frames")


def test_a_name_of_several_words_is_one_folder(service: StandIn, archive: Path) -> None:
    service.streams["South America"] = service.streams["Europe"]
    arguments = ("South America", "--archive", archive)

    assert run("convert", *arguments, variables=with_token(service)).code == 0
    assert "20 frames" in run("info", *arguments).out
    assert (archive / "south-america/ndvi.zarr/zarr.json").exists()


def test_a_lost_root_is_told_and_nothing_is_written_over(service: StandIn, archive: Path) -> None:
    convert(service, archive)
    (archive / "europe/ndvi.zarr/zarr.json").unlink()
    before = contents(archive / "europe/ndvi.zarr")

    ended = convert(service, archive)

    assert ended.code == 6
    assert "zarr.json is missing" in ended.error
    assert contents(archive / "europe/ndvi.zarr") == before


def test_a_new_disk_is_an_empty_place(service: StandIn, archive: Path) -> None:
    (archive / "lost+found").mkdir(parents=True)

    assert convert(service, archive).code == 0


def test_control_characters_do_not_reach_the_terminal(service: StandIn, archive: Path) -> None:
    service.faults.metadata = lambda answer: answer | {"stream_path": f"{service.url}/\x1b[31mred"}

    ended = convert(service, archive)

    assert ended.code == 4
    assert "\x1b" not in ended.err
