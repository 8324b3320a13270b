"""`ndvi-archive nightly` as a timer runs it: real processes, one a continent."""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import xarray as xr

from etl.config import DEFAULT_DEADLINE, Config, Continent
from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from etl.load.runs import runs
from etl.load.stores import open_store
from etl.nightly import Night
from tests.cli.test_convert import assert_holds
from tests.cli.test_workers import worker_processes
from tests.conftest import BBOX
from tests.forked import clean_environment
from tests.load.buckets import BUCKET, faults, s3_server, variables, wait_until_held
from tests.program import PROGRAM, Ended, contents, run, with_token

TWO = """
archive = "archive"
commit_frames = 4
[[continents]]
name = "Europe"
first_date = 2021-03-01
[[continents]]
name = "Africa"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of two continents; the stand-in has the first alone."""
    path = tmp_path / "nightly.toml"
    path.write_text(TWO)
    return path


def nightly(service: StandIn, config: Path, *arguments: str | Path, **variables: str) -> Ended:
    return run("nightly", "--config", config, *arguments, variables=with_token(service) | variables)


@contextmanager
def stalled_night(
    service: StandIn, europe: Stream, config: Path, report: Path
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A night whose first process has committed and then hangs in the middle of the stream, and its id."""
    service.faults.stall_after = europe.file.stat().st_size * 9 // 10
    with subprocess.Popen(
        [PROGRAM, "nightly", "--config", config, "--report", report],
        env=clean_environment() | with_token(service),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as night:
        assert night.stderr is not None
        begun = next(line for line in night.stderr if "Europe begins as process " in line)
        next(line for line in night.stderr if line.startswith("Europe: ") and "committed 4 of 20" in line)
        assert service.faults.stalled.wait(60)
        yield night, int(begun.split()[-1])


def test_one_that_fails_does_not_stop_the_others(
    service: StandIn, scenes: list[SceneFrame], config: Path, tmp_path: Path
) -> None:
    config.write_text(TWO.replace('"Europe"', '"Asia"').replace('"Africa"', '"Europe"'))

    ended = nightly(service, config, "--report", tmp_path / "r.json", "--metrics", tmp_path / "m.prom")

    assert ended.code == 7
    assert ended.error.startswith("1 of 2 continents failed: Asia; what was committed is archived;")
    asia, europe, total = ended.out.splitlines()
    assert asia.startswith("Asia: failed with exit code 4: ")
    assert "404" in asia
    assert europe.startswith("Europe: 20 frames archived; newest 2021-03-10 10:41 UTC, ")
    assert total == "1 of 2 continents went well, 20 frames archived"
    assert "\nAsia: Error: " in ended.err
    assert re.search(r"^Europe: .* committed 20 of 20 frames", ended.err, re.MULTILINE)
    assert_holds(tmp_path / "archive", scenes)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["exit_code"] == 7
    assert [(each["continent"], each["exit_code"]) for each in report["continents"]] == [
        ("Asia", 4),
        ("Europe", 0),
    ]
    assert "404" in report["continents"][0]["error"]
    assert report["continents"][1]["archived"] == 20
    metrics = (tmp_path / "m.prom").read_text()
    assert 'last_run_exit_code{continent="Asia"} 4.0' in metrics
    assert 'last_success_timestamp_seconds{continent="Europe"}' in metrics
    assert 'last_success_timestamp_seconds{continent="Asia"}' not in metrics


def test_a_night_without_anything_new_goes_well_and_leaves_every_frame(
    service: StandIn, scenes: list[SceneFrame], config: Path, tmp_path: Path
) -> None:
    service.streams["Africa"] = service.streams["Europe"]
    not_for_the_processes = {"START": "2021-03-05", "END": "2021-03-05", "LAYOUT": "flat", "QUIET": "1"}
    variables = {f"NDVI_ARCHIVE_{name}": value for name, value in not_for_the_processes.items()}
    first = nightly(service, config, **variables)
    before = contents(tmp_path / "archive/africa/ndvi.zarr")

    second = nightly(service, config)

    assert first.code == 0, first.err
    assert first.err == ""
    assert first.out.endswith("2 of 2 continents went well, 40 frames archived\n")
    assert_holds(tmp_path / "archive", scenes)
    assert second.code == 0, second.err
    assert second.out.startswith("Europe: 0 frames archived; newest 2021-03-10 10:41 UTC, ")
    assert contents(tmp_path / "archive/africa/ndvi.zarr") == before


def test_a_dry_run_prints_the_plans_and_writes_nothing(
    service: StandIn, config: Path, tmp_path: Path
) -> None:
    ended = nightly(service, config, "--dry-run", "--metrics", tmp_path / "m.prom")

    assert ended.code == 7
    assert ended.out.startswith("Europe: would archive 20 frames, 0 there already\n")
    assert "\nAfrica: failed with exit code 4: " in ended.out
    assert ended.out.endswith("1 of 2 continents went well, 20 frames to archive\n")
    assert list(tmp_path.iterdir()) == [config]


def test_two_at_once_keep_their_lines_whole_and_tell_them_apart(
    service: StandIn, scenes: list[SceneFrame], config: Path, tmp_path: Path
) -> None:
    service.streams["Africa"] = service.streams["Europe"]

    ended = run(
        *("--log-format", "json", "nightly", "--config", config, "--parallel", "2"),
        variables=with_token(service),
    )

    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in ended.err.splitlines()]
    assert {line["continent"] for line in lines} == {"Europe", "Africa"}
    for continent in ("Europe", "Africa"):
        commits = [
            line for line in lines if line["continent"] == continent and "committed" in line["message"]
        ]
        assert commits[-1]["message"].startswith("committed 20 of 20")
    events = [line["event"] for line in lines]
    assert events.count("continent_begun") == 2
    assert "continent_ended" not in events[: len(events) - events[::-1].index("continent_begun")]
    report = json.loads(ended.out)
    assert [(each["continent"], each["archived"]) for each in report["continents"]] == [
        ("Europe", 20),
        ("Africa", 20),
    ]
    assert_holds(tmp_path / "archive", scenes)
    catalog = json.loads((tmp_path / "archive/catalog.json").read_text())
    assert [link["href"] for link in catalog["links"] if link["rel"] == "child"] == [
        "./africa/collection.json",
        "./europe/collection.json",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_processes_well_and_no_further_one_begins(
    service: StandIn, europe: Stream, config: Path, tmp_path: Path, number: int
) -> None:
    with stalled_night(service, europe, config, tmp_path / "r.json") as (night, child):
        night.send_signal(number)
        out, err = night.communicate(timeout=60)

    code = 128 + number
    assert night.returncode == code, err
    assert "Traceback" not in err
    archived = xr.open_zarr(tmp_path / "archive/europe/ndvi.zarr").sizes["time"]
    assert 4 <= archived < 20
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["exit_code"] == code
    interrupted, not_begun = report["continents"]
    assert (interrupted["exit_code"], interrupted["archived"]) == (code, archived)
    assert interrupted["error"].startswith("interrupted by ")
    assert (not_begun["continent"], not_begun["exit_code"]) == ("Africa", None)
    assert "Africa was not begun: the night was ended before\n" in out
    assert not any("Africa" in request.path for request in service.requests)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_killed_process_is_told_and_the_next_continent_archived(
    service: StandIn, europe: Stream, scenes: list[SceneFrame], config: Path, tmp_path: Path
) -> None:
    service.streams["Africa"] = europe
    with stalled_night(service, europe, config, tmp_path / "r.json") as (night, child):
        os.kill(child, signal.SIGKILL)
        out, err = night.communicate(timeout=60)

    assert night.returncode == 7, err
    assert "Error: 1 of 2 continents failed: Europe; " in err
    assert "Europe: failed with exit code 137: killed by SIGKILL; " in out
    killed, well = json.loads((tmp_path / "r.json").read_text())["continents"]
    archived = xr.open_zarr(tmp_path / "archive/europe/ndvi.zarr").sizes["time"]
    assert (killed["exit_code"], killed["error"]) == (137, "killed by SIGKILL")
    assert killed["archived"] == archived
    assert killed["newest_time"] == f"{scenes[archived - 1].time}+00:00"
    assert runs(open_store(str(tmp_path / "archive")), "europe") == [killed]
    assert (well["continent"], well["exit_code"], well["archived"]) == ("Africa", 0, 20)
    assert nightly(service, config).code == 0
    assert_holds(tmp_path / "archive", scenes)


def test_a_process_that_cannot_end_is_killed_after_its_deadline(
    service: StandIn, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in with_token(service).items():
        monkeypatch.setenv(name, value)
    service.faults.silent_metadata = -1
    config = Config(archive=str(archive), continents=[Continent(name="Europe", deadline=2.0)])

    (outcome,) = Night(config, print, grace=0.0).run()

    assert outcome.exit_code == 137
    assert outcome.report["error"] == "killed: it had not ended 0 seconds after its deadline"


def test_a_process_that_hangs_is_killed_though_no_deadline_is_set(
    service: StandIn, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in with_token(service).items():
        monkeypatch.setenv(name, value)
    service.faults.silent_metadata = -1
    config = Config(archive=str(archive), continents=[Continent(name="Europe")])

    # Two seconds after its start, so that nobody waits for twelve hours.
    (outcome,) = Night(config, print, grace=2.0 - DEFAULT_DEADLINE).run()

    assert outcome.exit_code == 137
    assert outcome.report["error"] == "killed: it had not ended -43198 seconds after its deadline"


def test_a_worker_that_hangs_is_killed_with_its_process(
    service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[int] = []

    def stop_the_worker(server: str) -> None:
        wait_until_held(server)
        for process in Path("/proc/self/task").glob("*/children"):
            for child in process.read_text().split():
                for worker in worker_processes(int(child)):
                    os.kill(worker, signal.SIGSTOP)
                    stopped.append(worker)

    with s3_server() as server:
        for name, value in (with_token(service) | variables(server)).items():
            monkeypatch.setenv(name, value)
        faults(server, {"fault": "hold", "path": "ndvi/c/13/", "times": 1})
        config = Config(
            archive=f"s3://{BUCKET}/night", continents=[Continent(name="Europe", deadline=40.0, workers=1)]
        )
        stopping = threading.Thread(target=stop_the_worker, args=(server,))
        stopping.start()

        (outcome,) = Night(config, print, grace=0.0).run()

        stopping.join()
    assert len(stopped) == 1
    assert outcome.exit_code == 137


def test_a_process_gets_twelve_hours_where_no_deadline_is_set(
    service: StandIn, europe: Stream, config: Path, tmp_path: Path
) -> None:
    with stalled_night(service, europe, config, tmp_path / "r.json") as (night, child):
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        night.send_signal(signal.SIGTERM)
        night.communicate(timeout=60)

    assert float(words[words.index("--deadline") + 1]) == 12 * 3600


def test_a_night_compares_frames_with_the_service_once_they_are_archived(
    service: StandIn, config: Path, tmp_path: Path
) -> None:
    config.write_text("verify_source = 3\n" + TWO)

    ended = nightly(service, config, "--report", tmp_path / "r.json")

    assert ended.code == 7
    europe, africa, _ = ended.out.splitlines()
    assert europe.startswith("Europe: 20 frames archived; 3 frames compared with the service; newest ")
    assert "compared" not in africa
    report, failed = json.loads((tmp_path / "r.json").read_text())["continents"]
    assert (report["exit_code"], report["error"], report["archived"]) == (0, None, 20)
    assert report["verification"].keys() == {"seed", "frames_compared", "findings"}
    assert (report["verification"]["frames_compared"], report["verification"]["findings"]) == (3, [])
    assert "verification" not in failed
    assert nightly(service, config, "--dry-run").out.startswith("Europe: would archive 0 frames")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_frame_that_differs_from_the_service_fails_its_continent_alone(
    service: StandIn, scenes: list[SceneFrame], config: Path, tmp_path: Path, log_format: str
) -> None:
    service.streams["Africa"] = service.streams["Europe"]
    assert nightly(service, config).code == 0
    codes = scenes[6].codes.copy()
    codes[3, 7] ^= 64
    changed = [*scenes[:6], replace(scenes[6], codes=codes), *scenes[7:]]
    service.streams["Europe"] = publish(changed, tmp_path / "changed", BBOX, Encoding(lossless=True))
    config.write_text("verify_source = 20\n" + TWO)

    ended = run(
        *("--log-format", log_format, "nightly", "--config", config),
        *("--report", tmp_path / "r.json", "--metrics", tmp_path / "m.prom"),
        variables=with_token(service),
    )

    assert ended.code == 7
    europe, africa = json.loads((tmp_path / "r.json").read_text())["continents"]
    assert (europe["exit_code"], africa["exit_code"]) == (6, 0)
    assert europe["error"].startswith(
        "verification: 1 of 4200 pixels are others in the service now, by up to 0.0"
    )
    assert "; 1 finding in " in europe["error"]
    (finding,) = europe["verification"]["findings"]
    assert (finding["kind"], finding["frame"]["number"]) == ("difference", 7)
    assert africa["verification"]["findings"] == []
    metrics = (tmp_path / "m.prom").read_text()
    assert 'last_run_exit_code{continent="Europe"} 6.0' in metrics
    if log_format == "text":
        assert "1 of 2 continents failed: Europe" in ended.error
        assert "Europe: failed with exit code 6: verification: 1 of 4200 pixels are others" in ended.out
    else:
        events = [json.loads(line)["event"] for line in ended.err.splitlines()]
        assert events.count("verification_started") == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_verification_that_is_ended_is_no_success(
    service: StandIn, scenes: list[SceneFrame], config: Path, tmp_path: Path, number: int
) -> None:
    config.write_text('archive = "archive"\n[[continents]]\nname = "Europe"\n')
    assert nightly(service, config).code == 0
    config.write_text("verify_source = 20\n" + config.read_text())
    service.faults.stall_after = 5000

    with subprocess.Popen(
        [PROGRAM, "nightly", "--config", config, "--report", tmp_path / "r.json"],
        env=clean_environment() | with_token(service),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as night:
        assert night.stderr is not None
        started = next(line for line in night.stderr if "Europe is verified as process " in line)
        assert service.faults.stalled.wait(60)
        os.kill(int(started.split()[-1]) if number == signal.SIGKILL else night.pid, number)
        _, err = night.communicate(timeout=60)

    assert night.returncode == (7 if number == signal.SIGKILL else 143), err
    (report,) = json.loads((tmp_path / "r.json").read_text())["continents"]
    assert report["exit_code"] == 128 + number
    assert report["error"].startswith("verification: ")
    assert signal.Signals(number).name in report["error"]
    assert_holds(tmp_path / "archive", scenes)


def test_all_that_is_wrong_with_a_configuration_is_told_before_anything_is_done(
    service: StandIn, config: Path, tmp_path: Path
) -> None:
    config.write_text(TWO + "frist_date = 2021-01-01\npassword = 'planted-secret'\n")

    ended = nightly(service, config)

    assert ended.code == 2
    assert ended.err.splitlines() == [
        f"Error: {config}: continents[1].frist_date: unknown key; did you mean first_date?",
        f"Error: {config}: continents[1].password: secrets do not belong in this file: set DESPAUTH_USER and"
        " DESPAUTH_PASSWORD, or NDVI_ARCHIVE_TOKEN, in the environment, or name a file with token_file",
        f"Error: {config}: 2 errors; correct the file",
    ]
    assert service.requests == []


@pytest.mark.parametrize("name", ["--report", "--metrics"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_done(
    service: StandIn, config: Path, tmp_path: Path, name: str
) -> None:
    ended = nightly(service, config, name, tmp_path / "nowhere/file")

    assert (ended.code, ended.error) == (2, f"there is no folder {tmp_path / 'nowhere'}; check {name}")
    assert list(tmp_path.iterdir()) == [config]


def test_an_archive_that_is_something_else_is_told_once(
    service: StandIn, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/thesis.txt").write_text("Do not touch.")

    ended = nightly(service, config)

    assert ended.code == 6
    assert "holds something that is no archive" in ended.error


def test_a_storage_can_be_named_for_a_whole_night(service: StandIn, config: Path) -> None:
    config.write_text(f'archive = "s3://{BUCKET}/night"\n[[continents]]\nname = "Europe"')
    with s3_server() as address:
        elsewhere = variables("http://127.0.0.1:9")

        ended = nightly(service, config, "--endpoint-url", address, **elsewhere)

        assert ended.code == 0, ended.err
        assert ended.out.endswith("1 of 1 continent went well, 20 frames archived\n")


def test_a_storage_that_is_named_with_a_password_is_refused_unseen(service: StandIn, config: Path) -> None:
    for url in ("http://joe:hush@127.0.0.1:9", "joe:hush@127.0.0.1:9", "http://127.0.0.1:9?key=hush"):
        ended = nightly(service, config, "--endpoint-url", url)

        assert ended.code == 2
        assert "127.0.0.1" in ended.err
        assert "hush" not in ended.err + ended.out
