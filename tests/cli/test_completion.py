"""What a shell completes, by the lines that README tells to put into its settings."""

import os
import subprocess
from pathlib import Path

import pytest

from etl.demo.service import StandIn
from tests.forked import clean_environment
from tests.program import PROGRAM, run, with_token

COMPLETE = """
eval "$(_NDVI_ARCHIVE_COMPLETE=bash_source ndvi-archive)"
while IFS=$'\\t' read -r -a COMP_WORDS; do
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
  _ndvi_archive_completion ndvi-archive
  (IFS=$'\\t'; printf '%s\\n' "${COMPREPLY[*]}")
done
"""


def completed(*lines: list[str], archive: Path = Path()) -> list[list[str]]:
    """What Bash offers for the last word of each line."""
    variables = {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "NDVI_ARCHIVE_ARCHIVE": str(archive)}
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE],
        input="".join("\t".join(["ndvi-archive", *line]) + "\n" for line in lines),
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [line.split("\t") if line else [] for line in done.stdout.splitlines()]


@pytest.fixture
def america(service: StandIn, archive: Path) -> Path:
    """An archive of a continent whose name has a space."""
    service.streams["South America"] = service.streams["Europe"]
    ended = run("convert", "South America", "--archive", archive, variables=with_token(service))
    assert ended.code == 0, ended.err
    return archive


def test_bash_completes_commands_options_and_their_words() -> None:
    assert completed(["conv"], ["info", "--ga"], ["convert", "Europe", "--layout", "f"]) == [
        ["convert"],
        ["--gaps"],
        ["flat"],
    ]


def test_bash_completes_archived_continents_as_they_are_typed(america: Path) -> None:
    assert completed(
        ["info", "so"], ["optimize", '"S'], ["info", "--archive", "s3://", "S"], archive=america
    ) == [[r"South\ America"], ["South America"], []]
