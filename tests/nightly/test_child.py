"""How a continent's process is called, and how its lines are passed on."""

import json
import logging
from pathlib import Path

import click
import pytest

from etl.cli.convert import convert
from etl.cli.program import program
from etl.cli.verify import verify
from etl.config import Settings, load_config
from etl.nightly.child import command, environment, labelled, verification


def test_every_key_is_an_option_of_convert(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    (tmp_path / "nightly.toml").write_text(
        """
        archive = "ndvi"
        api_url = "https://streamer.example/api"
        token_file = "token"
        public_url = "https://archive.example/ndvi"
        layout = "flat"
        overviews = false
        templates = "."
        items = "frame"
        deadline = "6h"
        wait = inf
        stale_after = 7
        settle = 2
        optimize = true
        commit_frames = 10
        commit_seconds = 1.5
        duplicates = "refuse"
        max_pixels = 100_000_000
        workers = 3
        scheduler = "tcp://scheduler:8786"
        threads = 4
        [[continents]]
        name = "South America"
        first_date = 2021-01-31
        """
    )
    config = load_config(tmp_path / "nightly.toml")
    (continent,) = config.continents

    words = command(config, continent, tmp_path / "report.json", ["-v"])
    parsed = convert.make_context("convert", words[words.index("convert") + 1 :], resilient_parsing=False)

    assert set(Settings.model_fields) <= set(config.settings(continent))
    given = {
        name: value
        for name, value in parsed.params.items()
        if parsed.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    assert given.pop("start").isoformat() == "2021-01-31T00:00:00+00:00"
    assert given == {
        "continent": "South America",
        "archive": str(tmp_path / "ndvi"),
        "report_file": tmp_path / "report.json",
        "progress": False,
        **config.settings(continent),
    }
    assert words[words.index("etl.cli") + 1 : words.index("convert")] == ["-v"]
    assert program.make_context("ndvi-archive", ["-v", "convert"]).params["verbose"] == 1


def test_the_verification_asks_the_service_that_was_archived(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    (tmp_path / "nightly.toml").write_text(
        """
        archive = "ndvi"
        api_url = "https://streamer.example/api"
        token_file = "token"
        verify_source = 3
        [[continents]]
        name = "South America"
        """
    )
    config = load_config(tmp_path / "nightly.toml")

    words = verification(config, config.continents[0], ["-v"])

    parsed = verify.make_context("verify", words[words.index("verify") + 1 :], resilient_parsing=False)
    given = {
        name: value
        for name, value in parsed.params.items()
        if parsed.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    assert given == {
        "continent": "South America",
        "archive": str(tmp_path / "ndvi"),
        "quick": True,
        "against_source": 3,
        "api_url": "https://streamer.example/api",
        "token_file": tmp_path / "token",
        "as_json": True,
        "progress": False,
    }


def test_only_the_account_and_the_service_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "TOKEN_FILE", "API_URL", "START", "END", "REPORT", "ARCHIVE", "REBUILD", "VERBOSE"):
        monkeypatch.setenv(f"NDVI_ARCHIVE_{name}", "1")
    monkeypatch.setenv("DESPAUTH_USER", "somebody")

    found = environment()

    assert {name for name in found if name.startswith("NDVI_ARCHIVE_")} == {
        "NDVI_ARCHIVE_TOKEN",
        "NDVI_ARCHIVE_TOKEN_FILE",
        "NDVI_ARCHIVE_API_URL",
    }
    assert found["DESPAUTH_USER"] == "somebody"
    assert "PATH" in found


def test_a_line_of_text_gets_its_continent_before_it() -> None:
    assert labelled("Europe", "INFO begun", as_json=False) == ("Europe: INFO begun", None)
    assert labelled("Europe", "Error: lost; look", as_json=False) == (
        "Europe: Error: lost; look",
        "lost; look",
    )


def test_an_object_gets_its_continent_as_a_field() -> None:
    line, error = labelled(
        "Europe", '{"level": "error", "event": "error", "message": "lost", "exit_code": 4}', as_json=True
    )

    assert line is not None
    assert json.loads(line)["continent"] == "Europe"
    assert json.loads(line)["exit_code"] == 4
    assert error == "lost"


@pytest.mark.parametrize("line", ["Fatal Python error: Segmentation fault", "[1, 2]", "3", "{", ""])
def test_what_is_no_object_is_logged_as_one(line: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert labelled("Europe", line, as_json=True) == (None, None)

    (record,) = caplog.records
    assert record.getMessage() == line
    assert vars(record)["event"] == "output"
    assert vars(record)["fields"] == {"continent": "Europe"}
