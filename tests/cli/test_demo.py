"""What `ndvi-archive demo` ends with; README's tests run all of it."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from etl.cli.demo import how_to_go_on
from etl.demo import CONTINENT
from etl.demo.service import StandIn
from tests.load.buckets import BUCKET, s3_server, variables
from tests.program import PROGRAM, run, with_token


def printed(text: str) -> tuple[str, list[str]]:
    """The Python lines and the last command."""
    lines, _, command = text.partition("Open the result in Python:\n")[2].partition("What the archive holds:")
    # The time of the scenes here is shorter than the demo's.
    code = "\n".join(line.strip() for line in lines.splitlines()).replace("2021-05-01", "2021-03-05")
    return code, shlex.split(command)


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_in_a_bucket_what_it_prints_opens_the_archive(
    service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.streams[CONTINENT] = service.streams["Europe"]
    place = f"s3://{BUCKET}/made up"
    with s3_server() as address:
        for name, value in variables(address).items():
            monkeypatch.setenv(name, value)
        assert run("convert", CONTINENT, "--archive", place, variables=with_token(service)).code == 0
        text = how_to_go_on(place)
        monkeypatch.delenv("AWS_ENDPOINT_URL")

        code, command = printed(text)
        opened, told = python(code), run(*command[1:])

    assert opened.returncode == 0, opened.stderr
    assert "(time: 20, latitude: 50, longitude: 84)" in opened.stdout
    assert (told.code, f"in {place}/synthetic-europe/ndvi.zarr" in told.out) == (0, True), told.err


def test_in_a_folder_what_it_prints_opens_the_archive_from_anywhere(
    service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.streams[CONTINENT] = service.streams["Europe"]
    monkeypatch.chdir(tmp_path)
    assert run("convert", CONTINENT, "--archive", "made up", variables=with_token(service)).code == 0
    code, command = printed(how_to_go_on("made up"))
    assert run(*command[1:]).code == 0
    monkeypatch.chdir("/")

    opened = python(code)

    assert opened.returncode == 0, opened.stderr
    assert "(time: 20, latitude: 50, longitude: 84)" in opened.stdout


def test_it_tells_how_to_activate_an_environment_that_the_shell_does_not_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/activate").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    line = f"First, in your shell:  . {tmp_path}/bin/activate\n"

    monkeypatch.setenv("PATH", str(PROGRAM.parent))
    assert line not in how_to_go_on("made")
    monkeypatch.setenv("PATH", "/nowhere")
    assert line in how_to_go_on("made")
    (tmp_path / "bin/activate").unlink()
    assert line not in how_to_go_on("made")
