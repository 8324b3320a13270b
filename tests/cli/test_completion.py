"""What a shell completes, by the lines that README tells to put into its settings."""

import os
import subprocess
from pathlib import Path

import pytest

from etl.demo.service import StandIn
from tests.program import PROGRAM, clean_environment, run, with_token

COMPLETE = """
eval "$(_NDVI_ARCHIVE_COMPLETE=bash_source ndvi-archive)"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_ndvi_archive_completion ndvi-archive
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words: str, variables: dict[str, str] | None = None) -> list[str]:
    """What Bash offers for the last word."""
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", *words],
        env=clean_environment() | {"PATH": path} | (variables or {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture
def america(service: StandIn, archive: Path) -> Path:
    """An archive of a continent whose name has a space."""
    service.streams["South America"] = service.streams["Europe"]
    ended = run("convert", "South America", "--archive", archive, variables=with_token(service))
    assert ended.code == 0, ended.err
    return archive


def test_bash_completes_commands_options_and_their_words() -> None:
    assert completed("ndvi-archive", "conv") == ["convert"]
    assert completed("ndvi-archive", "info", "--ga") == ["--gaps"]
    assert completed("ndvi-archive", "convert", "Europe", "--layout", "") == ["sharded", "flat"]


def test_bash_completes_archived_continents_as_they_are_typed(america: Path) -> None:
    assert completed("ndvi-archive", "info", "--archive", str(america), "so") == [r"South\ America"]
    variables = {"NDVI_ARCHIVE_ARCHIVE": str(america)}
    assert completed("ndvi-archive", "optimize", r"South\ A", variables=variables) == [r"South\ America"]
    assert completed("ndvi-archive", "optimize", '"S', variables=variables) == ["South America"]
    assert completed("ndvi-archive", "optimize", "E", variables=variables) == [""]
    assert completed("ndvi-archive", "info", "--archive", "s3://", "S") == [""]
