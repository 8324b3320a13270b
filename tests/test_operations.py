"""The files by which operators run the program every night: each is used as it is, but for its paths."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from etl.config import load_config
from etl.demo.service import StandIn
from tests.forked import clean_environment
from tests.program import PROGRAM, run, with_login, with_token

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
INSTALLED = "/opt/ndvi-archive/bin/ndvi-archive"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="NOT TESTED: systemd-analyze is not installed"
)


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The service and the timer, with the program where it is here."""
    copies = []
    for unit in sorted((SCRIPTS / "systemd").iterdir()):
        copies.append(tmp_path / unit.name)
        copies[-1].write_text(unit.read_text().replace(INSTALLED, str(PROGRAM)))
    return copies


def systemd_analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict[str, Any]]:
    """The objects in the Kubernetes manifest, by kind."""
    objects = yaml.safe_load_all((SCRIPTS / "kubernetes.yaml").read_text())
    return {each["kind"]: each for each in objects}


def unit_settings(name: str) -> dict[str, str]:
    text = (SCRIPTS / "systemd" / name).read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def test_the_sample_configuration_archives_its_continents(service: StandIn, tmp_path: Path) -> None:
    service.streams["Africa"] = service.streams["Europe"]
    config = Path(shutil.copy(SCRIPTS / "nightly.toml", tmp_path))

    archived = run("nightly", "--config", config, variables=with_token(service))

    assert archived.code == 0, archived.err
    assert archived.out.endswith("2 of 2 continents went well, 40 frames archived\n")
    assert "nothing new for longer than allowed" in archived.out
    assert (tmp_path / "archive/africa/collection.json").exists()


def test_every_key_that_the_sample_leaves_out_can_be_used_as_it_is_shown(tmp_path: Path) -> None:
    text = (SCRIPTS / "nightly.toml").read_text()
    shown = re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)
    (tmp_path / "templates").mkdir()
    (tmp_path / "token").touch()
    shown = re.sub('(?m)^metrics = ".*/', 'metrics = "', shown)
    (tmp_path / "nightly.toml").write_text(shown)

    config = load_config(tmp_path / "nightly.toml")

    assert set(tomllib.loads(shown)) == set(type(config).model_fields)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_service_and_the_timer(units: list[Path]) -> None:
    assert [unit.name for unit in units] == ["ndvi-archive.service", "ndvi-archive.timer"]

    found = systemd_analyze("verify", "--man=no", *units)

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@needs_systemd
def test_systemd_calls_the_service_well_confined(units: list[Path]) -> None:
    found = systemd_analyze("security", "--offline=true", "--threshold=20", units[0])

    assert found.returncode == 0, found.stdout


@needs_systemd
def test_the_timer_elapses_once_a_day() -> None:
    when = unit_settings("ndvi-archive.timer")["OnCalendar"]

    found = systemd_analyze("calendar", "--iterations=3", "--base-time=2026-01-01 12:00:00 UTC", when)

    assert re.findall(r"2026-01-\d\d 02:30:00 UTC", found.stdout)[-2:] == [
        "2026-01-03 02:30:00 UTC",
        "2026-01-04 02:30:00 UTC",
    ]


def test_the_service_ends_gently_and_the_timer_makes_up_for_missed_nights() -> None:
    service = unit_settings("ndvi-archive.service")
    timer = unit_settings("ndvi-archive.timer")

    assert (service["Type"], service["KillMode"], service["KillSignal"]) == ("oneshot", "mixed", "SIGTERM")
    assert "Restart" not in service
    assert timer["Persistent"] == "true"


def test_the_command_of_the_service_is_one_of_the_program(service: StandIn, tmp_path: Path) -> None:
    program, *words = shlex.split(unit_settings("ndvi-archive.service")["ExecStart"])
    config = shutil.copy(SCRIPTS / "nightly.toml", tmp_path)

    ended = run(
        *(word.replace("/etc/ndvi-archive/nightly.toml", str(config)) for word in words),
        "--dry-run",
        variables=with_token(service),
    )

    assert program == INSTALLED
    assert ended.code == 7
    assert '"continent": "Europe", "planned": 20' in ended.out


def test_the_line_for_cron_archives_every_night_and_mails_only_what_goes_wrong(
    service: StandIn, tmp_path: Path
) -> None:
    (line,) = re.findall(r"^[\d*].*$", (SCRIPTS / "crontab").read_text(), re.MULTILINE)
    *schedule, command = line.split(maxsplit=5)
    for path, here in (
        (INSTALLED, str(PROGRAM)),
        ("/etc/ndvi-archive", str(tmp_path)),
        ("/var/log", str(tmp_path)),
    ):
        assert path in command
        command = command.replace(path, here)
    account = with_login(service)
    (tmp_path / "account").write_text("".join(f"{name}={value}\n" for name, value in account.items()))
    europe = (SCRIPTS / "nightly.toml").read_text().replace('"Africa"', '"Asia"')
    (tmp_path / "nightly.toml").write_text(europe)

    def night() -> str:
        shell = ["/bin/sh", "-c", command]
        done = subprocess.run(shell, env=clean_environment(), capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.stdout

    minute, hour, *rest = schedule
    assert int(minute) in range(60)
    assert int(hour) in range(24)
    assert rest == ["*", "*", "*"]
    # To cron, a percent sign is the end of the command.
    assert "%" not in command
    mailed = night()
    assert mailed.endswith("then run the command again\n")
    assert "Asia: failed with exit code 4" in mailed
    (tmp_path / "nightly.toml").write_text(europe.partition('[[continents]]\nname = "Asia"')[0])
    assert night() == ""
    log = (tmp_path / "ndvi-archive.log").read_text()
    assert "Europe: 20 frames archived" in log
    assert log.endswith("1 of 1 continent went well, 0 frames archived\n")


def test_kubernetes_knows_every_field_of_the_manifest(manifest: dict[str, dict[str, Any]]) -> None:
    assert set(manifest) == {"ConfigMap", "PersistentVolumeClaim", "CronJob"}
    for each in manifest.values():
        kubernetes_validate.validate(each, "1.34", strict=True)


def test_the_cron_job_runs_one_at_a_time_confined_and_never_again_the_same_night(
    manifest: dict[str, dict[str, Any]],
) -> None:
    cron = manifest["CronJob"]["spec"]
    job = cron["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]

    assert cron["concurrencyPolicy"] == "Forbid"
    assert (job["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert set(container["resources"]) == {"requests", "limits"}
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert f"USER {pod['securityContext']['runAsUser']}:" in (SCRIPTS / "Dockerfile").read_text()


def test_the_configuration_of_the_cron_job_can_be_used(
    manifest: dict[str, dict[str, Any]], service: StandIn, tmp_path: Path
) -> None:
    (container,) = manifest["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    text = manifest["ConfigMap"]["data"]["nightly.toml"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert f'archive = "{mounts["archive"]}/' in text
    (tmp_path / "nightly.toml").write_text(text.replace(mounts["archive"], str(tmp_path)))

    words = [word.replace(mounts["config"], str(tmp_path)) for word in container["args"]]
    ended = run(*words, variables=with_token(service))

    assert ended.code == 0, ended.err
    assert (tmp_path / "ndvi/europe/collection.json").exists()


def test_what_the_dockerfile_copies_is_all_that_an_installation_needs(tmp_path: Path) -> None:
    text = (SCRIPTS / "Dockerfile").read_text()
    for words in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE):
        *sources, target = words.split()
        for source in sources:
            place = tmp_path / target.strip("/")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place)
            else:
                place.mkdir(exist_ok=True)
                shutil.copy(ROOT / source, place)
    (install,) = re.findall(r"^RUN /opt/ndvi-archive/bin/pip (install .*)$", text, re.MULTILINE)
    words = install.replace("/source", str(tmp_path / "source")).split()

    # Those it depends on are installed here.
    subprocess.run(
        [sys.executable, "-m", "pip", *words, "--no-deps", "--quiet", "--target", tmp_path / "installed"],
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [sys.executable, "-P", tmp_path / "installed/bin/ndvi-archive", "nightly", "--help"],
        env=clean_environment() | {"PYTHONPATH": str(tmp_path / "installed")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ndvi-archive nightly")
    assert "ENTRYPOINT" in text
    assert f'["{INSTALLED}"]' in text
