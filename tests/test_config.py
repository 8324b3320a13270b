"""The configuration of nightly runs: what it may hold, and how it tells what it may not."""

import math
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from etl.config import Config, ConfigError, load_config

GOOD = """
archive = "ndvi"
[[continents]]
name = "Europe"
"""


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "nightly.toml"
    path.write_text(text)
    return load_config(path)


def problems(tmp_path: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_little_needs_to_be_said(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)

    (europe,) = config.continents
    assert config.archive == str(tmp_path / "ndvi")
    assert (europe.name, europe.first_date) == ("Europe", None)
    assert config.parallel == 1
    assert config.settings(europe) == {"deadline": 12 * 3600}


def test_what_a_continent_sets_goes_before_what_is_set_for_all(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/token").touch()
    config = load(
        tmp_path,
        """
        archive = "/data/ndvi"
        api_url = "https://streamer.example/api"
        token_file = "secrets/token"
        layout = "flat"
        deadline = "6h"
        wait = inf
        templates = "texts"
        stale_after = 7
        settle = 0
        commit_frames = 10
        commit_seconds = "1.5m"
        duplicates = "last"
        max_pixels = 100_000_000
        [[continents]]
        name = "Europe"
        first_date = 2021-01-31
        [[continents]]
        name = "Africa"
        deadline = 90
        templates = "own"
        """,
    )

    europe, africa = config.continents
    assert config.settings(europe) == {
        "api_url": "https://streamer.example/api",
        "token_file": tmp_path / "secrets/token",
        "layout": "flat",
        "deadline": 6 * 3600,
        "wait": math.inf,
        "templates": tmp_path / "texts",
        "stale_after": 7,
        "settle": 0,
        "commit_frames": 10,
        "commit_seconds": 90,
        "duplicates": "last",
        "max_pixels": 100_000_000,
    }
    assert config.settings(africa) == config.settings(europe) | {
        "deadline": 90,
        "templates": tmp_path / "own",
    }
    assert europe.first_date == date(2021, 1, 31)


def test_a_continent_without_a_deadline_has_twelve_hours(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        archive = "ndvi"
        [[continents]]
        name = "Europe"
        [[continents]]
        name = "Africa"
        deadline = "2d"
        """,
    )

    europe, africa = config.continents
    assert config.settings(europe) == {"deadline": 12 * 3600}
    assert config.settings(africa) == {"deadline": 2 * 86400}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("layout = 'shraded'", "layout: must be 'sharded' or 'flat', not 'shraded'"),
        ("deadline = '6 weeks'", 'deadline: must be a number of seconds, or such as "90m" or "6h"'),
        ("deadline = 0", "deadline: must be greater than 0, not 0"),
        ("deadline = inf", "deadline: must be less than or equal to 10000000, not inf"),
        ("wait = -1", "wait: must be greater than or equal to 0, not -1"),
        ("wait = nan", "wait: must be greater than or equal to 0, not nan"),
        ("stale_after = '5'", "stale_after: must be a valid number, not '5'"),
        ("commit_frames = 1.5", "commit_frames: must be a valid integer, not 1.5"),
        ("max_pixels = true", "max_pixels: must be a valid integer, not True"),
        ("duplicates = 'none'", "duplicates: must be 'first', 'last' or 'refuse', not 'none'"),
        ("parallel = 99", "parallel: must be less than or equal to 16, not 99"),
        ("api_url = 'ftp://host'", "api_url: must be an http or https address"),
        ("api_url = 'http://[host'", "api_url: must be an http or https address"),
        ("templates = ''", "templates: must be the name of a file or folder"),
        ("archvie = 'a'", "archvie: unknown key; did you mean archive?"),
        ("first_date = 2021-01-01", "first_date: belongs to one of the [[continents]]"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_with_its_key(tmp_path: Path, line: str, problem: str) -> None:
    assert problems(tmp_path, line + GOOD) == (problem,)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("frist_date = 2021-01-01", "frist_date: unknown key; did you mean first_date?"),
        ("archive = 'a'", "archive: is for all continents: set it at the top of the file"),
        *(
            (
                f"first_date = {value}",
                "first_date: must be a date such as 2021-01-31, without quotes or a time of day",
            )
            for value in ("'2021-01-31'", "2021-01-31T10:00:00", "20210131")
        ),
    ],
)
def test_so_is_one_of_a_continent_with_its_place(tmp_path: Path, line: str, problem: str) -> None:
    assert problems(tmp_path, f"{GOOD}[[continents]]\nname = 'Africa'\n{line}") == (
        f"continents[1].{problem}",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("continents = [{name = 'Europe'}]", "archive: is missing"),
        ("archive = 'a'", "continents: is missing"),
        ("archive = 'a'\ncontinents = []", "continents: there must be at least one"),
        ("archive = 'a'\ncontinents = ['Europe']", "continents[0]: must be a table"),
        ("archive = 'a'\ncontinents = 'Europe'", "continents: must be a valid list, not 'Europe'"),
        ("archive = 'a'\n[[continents]]", "continents[0].name: is missing"),
        ("archive = 3\n[[continents]]\nname = 'Europe'", "archive: must be the name of a file or folder"),
        (
            "archive = 'ftp://b'\n[[continents]]\nname = 'Europe'",
            "archive: ftp://b is no address of a folder or a bucket",
        ),
        (
            "archive = 'a'\n[[continents]]\nname = '../Europe'",
            "continents[0].name: '../Europe' is no name of a continent",
        ),
    ],
)
def test_so_is_what_is_missing_or_no_place_for_an_archive(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == (problem,)


def test_two_continents_do_not_share_a_folder(tmp_path: Path) -> None:
    both = "archive = 'a'\n[[continents]]\nname = 'South America'\n[[continents]]\nname = 'south-america'"

    assert problems(tmp_path, both) == (
        "continents[1].name: has the same folder, south-america, as continents[0]",
    )


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        layout = "none"
        templates = "nowhere"
        metrics = "nowhere/ndvi.prom"
        what = 1
        [[continents]]
        name = "Europe"
        [[continents]]
        name = "europe"
        first_date = "soon"
        """,
    )

    assert {problem.partition(":")[0] for problem in found} == {
        "archive",
        "layout",
        "templates",
        "metrics",
        "what",
        "continents[1].name",
        "continents[1].first_date",
    }
    assert f"templates: there is no folder {tmp_path / 'nowhere'}" in found


@pytest.mark.parametrize("key", ["password", "token", "DESPAUTH_PASSWORD", "client_secret", "user", "apikey"])
def test_secrets_are_refused_and_not_repeated(tmp_path: Path, key: str) -> None:
    (problem,) = problems(tmp_path, f"{key} = 'planted-secret'{GOOD}")

    assert problem.startswith(f"{key}: secrets do not belong in this file: set DESPAUTH_USER")
    assert "planted-secret" not in problem


def test_so_is_a_password_in_an_address(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, f"api_url = 'https://me:planted-secret@host/api'{GOOD}")

    assert problem.startswith("api_url: secrets do not belong in this file")
    assert "planted-secret" not in problem


def test_what_is_no_toml_is_told_with_its_place(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "archive = 'a'\nlayout = flat\n")

    assert problem == "is not TOML: Invalid value (at line 2, column 10)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a" + ".a" * 50_000 + " = 1", "is larger than 65536 bytes"),
        ("archive = 'a'\na" + ".a" * 5_000 + " = 1", "line 2 is longer than 4096 letters"),
        ("archive = 'a'\ra" + ".a" * 5_000 + " = 1", "line 2 is longer than 4096 letters"),
    ],
    ids=["file", "line", "old ends of lines"],
)
def test_what_would_take_too_long_to_read_is_not_read(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == (problem,)


def test_what_is_read_takes_no_more_than_seconds_and_memory_there_is(tmp_path: Path) -> None:
    path = tmp_path / "dots.toml"
    path.write_text("".join(f"k{line:02}" + ".a" * 2040 + " = 1\n" for line in range(15)))
    program = f"""
import resource
from pathlib import Path
from etl.config import ConfigError, load_config
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
resource.setrlimit(resource.RLIMIT_DATA, (1 << 29, 1 << 29))
try:
    load_config(Path({str(path)!r}))
except ConfigError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "17 errors" in ended.stdout


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"archive = '\xe4'")

    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file.*; check --config"):
        load_config(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match=r"latin\.toml: is not UTF-8 text"):
        load_config(tmp_path / "latin.toml")


@pytest.mark.parametrize("archive", ["archive", "file:{}/archive", "file://localhost{}/archive"])
def test_metrics_in_the_archive_are_refused(tmp_path: Path, archive: str) -> None:
    (tmp_path / "archive/europe").mkdir(parents=True)
    text = f'archive = "{archive.format(tmp_path)}"\nmetrics = "archive/europe/x.prom"'

    found = problems(tmp_path, f"{text}\n[[continents]]\nname = 'Europe'")

    assert found == ("metrics: must not be in the archive",)


@pytest.mark.parametrize(
    ("archive", "place"),
    [
        ("ndvi", "{}/ndvi"),
        ("/data/ndvi", "/data/ndvi"),
        ("file:/data/ndvi", "/data/ndvi"),
        ("file:///data/a%20b", "/data/a b"),
        ("s3://bucket/ndvi", "s3://bucket/ndvi"),
    ],
)
def test_an_archive_is_where_it_is_said_to_be(
    tmp_path: Path, archive: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody is asked for an account: what a name means does not depend on one.
    monkeypatch.setenv("AWS_PROFILE", "of-nobody")

    assert load(tmp_path, GOOD.replace("ndvi", archive)).archive == place.format(tmp_path)


def test_an_archive_by_an_address_with_a_password_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD.replace("ndvi", "s3://me:planted-secret@bucket/ndvi"))

    assert problem == "archive: an address on bucket holds a user, a password, ? or #"
