"""`ndvi-archive check` as a user runs it."""

import json
from pathlib import Path

from etl.demo.service import StandIn
from tests.program import run, with_login, with_token


def test_a_list_of_ticks_and_what_to_do_next(service: StandIn, archive: Path) -> None:
    ended = run("check", "Europe", "--archive", archive, variables=with_login(service))

    *ticks, last = ended.out.splitlines()
    assert ended.code == 0
    assert [line[0] for line in ticks] == ["✓"] * 8
    assert last == f"Ready: ndvi-archive convert Europe --archive {archive}"
    assert "Error" not in ended.err
    assert not archive.exists()
    assert service.environment["DESPAUTH_PASSWORD"] not in ended.out + ended.err


def test_all_is_checked_and_the_first_failure_is_the_exit_code(service: StandIn) -> None:
    token = with_token(service)
    service.faults.forbidden = True

    ended = run("check", "--archive", "/proc/archive", variables=token)

    signs = {line.split()[1]: line[0] for line in ended.out.splitlines()}
    assert ended.code == 3
    assert (
        ended.error
        == "not ready to archive: account, archive failed; do what is said there, then check again"
    )
    assert [name for name, sign in signs.items() if sign == "✗"] == ["account", "archive"]
    assert signs["stream"] == "–"
    assert token["NDVI_ARCHIVE_TOKEN"] not in ended.out + ended.err


def test_where_there_is_no_tick_a_word_tells(service: StandIn) -> None:
    ended = run("check", variables=with_token(service) | {"PYTHONIOENCODING": "ascii"})

    lines = [line.split(maxsplit=2) for line in ended.out.splitlines()]
    assert ended.code == 0
    assert [line[0] for line in lines] == ["ok"] * 7 + ["skipped"]
    assert lines[-1][1:] == ["archive", "not checked; name it with --archive"]


def test_json_for_machines(service: StandIn) -> None:
    ended = run("check", "Atlantis", "--json", variables=with_token(service))

    found = {each["check"]: each for each in json.loads(ended.out)}
    assert ended.code == 4
    assert (found["account"]["state"], found["account"]["exit_code"]) == ("failed", 4)
    assert found["stream"]["told"] == "not checked, as it needs account"


def test_an_address_that_is_none_is_told_before_anything_is_asked() -> None:
    ended = run("check", "--api-url", "streamer.destine.eu")

    assert ended.code == 2
    assert "is not an http or https address; check --api-url" in ended.error
    assert ended.out == ""
