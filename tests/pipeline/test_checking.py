"""What is checked before a first run, and what is said where it fails."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import obstore
import pytest

from etl.demo.service import StandIn
from etl.errors import UsageError
from etl.load.folder import LocalFolder
from etl.pipeline.checking import Outcome, checks
from etl.pipeline.job import Job
from tests.load.archives import FOLDER, frames
from tests.load.archives import archive as append
from tests.load.buckets import BUCKET, clean, faults, met, raw, s3_server, variables
from tests.program import contents

Answers = dict[str, Outcome]
Ask = Callable[..., Answers]


@pytest.fixture
def ask(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Makes the checks with a token of the stand-in, unless the job has something else."""
    for name in [name for name in os.environ if name.startswith(("DESPAUTH_", "NDVI_ARCHIVE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NDVI_ARCHIVE_TOKEN", service.issue_token())

    def asked(continent: str = "Europe", archive: str | Path = "", **more: str) -> Answers:
        job = Job(continent, str(archive), **{"api_url": service.api_url, **more})  # type: ignore[arg-type]
        return {outcome.check: outcome for outcome in checks(job)}

    return asked


def states(answers: Answers, state: str) -> list[str]:
    return [name for name, outcome in answers.items() if outcome.state == state]


def the_failed(answers: Answers, name: str) -> Outcome:
    """The outcome of the only check that failed."""
    assert states(answers, "failed") == [name]
    assert all(outcome.exit_code == 0 for outcome in answers.values() if outcome.check != name)
    return answers[name]


def test_all_is_well_and_nothing_is_left_behind(ask: Ask, tmp_path: Path) -> None:
    answers = ask(archive=tmp_path / "below" / "archive")

    assert states(answers, "ok") == list(answers)
    assert list(answers) == (
        ["versions", "decoder", "service", "clock", "login", "account", "stream", "archive"]
    )
    assert "20 frames of 84 × 50 pixels, 2021-03-01 to 2021-03-10" in answers["account"].told
    assert answers["stream"].told.startswith("frame 1 (2021-03-01T")
    assert "12 bits" in answers["stream"].told
    assert not list(tmp_path.iterdir())


def test_an_archive_stays_as_it_is_even_while_a_run_holds_its_lease(ask: Ask, tmp_path: Path) -> None:
    store = LocalFolder(tmp_path / "archive")
    append(store, frames(range(1, 4)))

    with store.lease(FOLDER):
        before = contents(store.root)
        found = ask(archive=store.root)["archive"]
        after = contents(store.root)

    assert (found.state, found.told) == ("ok", f"holds 3 frames of Europe, can be written: {store.root}")
    assert after == before
    assert store.folders() == [FOLDER]


def test_without_an_archive_the_rest_is_checked(ask: Ask) -> None:
    assert states(ask(), "skipped") == ["archive"]


def test_a_login_that_is_refused(service: StandIn, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NDVI_ARCHIVE_TOKEN")
    for name, value in (service.environment | {"DESPAUTH_PASSWORD": "wrong-one"}).items():
        monkeypatch.setenv(name, value)

    answers = ask()

    failed = the_failed(answers, "login")
    assert failed.exit_code == 3
    assert "Invalid username or password" in failed.told
    assert "set DESPAUTH_USER and DESPAUTH_PASSWORD" in failed.told
    assert not any("wrong-one" in outcome.told for outcome in answers.values())
    assert states(answers, "skipped") == ["account", "stream", "archive"]


def test_a_token_that_is_no_longer_accepted(service: StandIn, ask: Ask) -> None:
    service.revoke_tokens()

    failed = the_failed(ask(), "account")

    assert failed.exit_code == 3
    assert "refuses the access token (401); get a new one" in failed.told


def test_an_account_without_the_role(service: StandIn, ask: Ask) -> None:
    service.faults.forbidden = True

    failed = the_failed(ask(), "account")

    assert failed.exit_code == 3
    assert "ask for access to the Sentinel-3 streams" in failed.told


def test_a_continent_that_the_service_does_not_know(ask: Ask) -> None:
    failed = the_failed(ask("Atlantis"), "account")

    assert failed.exit_code == 4
    assert "There is no stream of Atlantis; there are: Europe; check the continent's name" in failed.told


def test_a_service_that_cannot_be_reached(ask: Ask, tmp_path: Path) -> None:
    answers = ask(archive=tmp_path, api_url="http://127.0.0.1:1/api")

    failed = the_failed(answers, "service")
    assert failed.exit_code == 4
    assert "http://127.0.0.1:1/api cannot be reached: Connection refused; check the address" in failed.told
    assert states(answers, "skipped") == ["clock", "account", "stream"]
    assert answers["account"].told == "not checked, as it needs service"
    assert answers["archive"].state == "ok"


def test_a_stream_that_cannot_be_decoded(service: StandIn, ask: Ask) -> None:
    service.faults.truncate_to = 3000

    failed = the_failed(ask(), "stream")

    assert failed.exit_code == 4
    assert "frame 1 of" in failed.told
    assert "stream.mp4 cannot be had" in failed.told


def test_a_stream_that_is_not_there(service: StandIn, ask: Ask) -> None:
    service.faults.missing = frozenset({"stream.mp4"})

    assert "stream.mp4 answered 404" in the_failed(ask(), "stream").told


class _Clock(BaseHTTPRequestHandler):
    """A server whose clock is two hours behind."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(datetime.now(UTC) - timedelta(hours=2), usegmt=True)

    def log_message(self, *_: object) -> None: ...


def test_a_clock_that_is_wrong(ask: Ask) -> None:
    with HTTPServer(("127.0.0.1", 0), _Clock) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        answers = ask(api_url=f"http://127.0.0.1:{server.server_port}/api")
        server.shutdown()
        thread.join()

    assert states(answers, "failed") == ["clock", "account"]
    assert "clock is 2 hours ahead of the service's; set it" in answers["clock"].told
    assert answers["clock"].exit_code == 1


def test_a_place_that_is_no_archive_is_told_and_left_as_it_is(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("dear")

    failed = the_failed(ask(archive=tmp_path), "archive")

    assert failed.exit_code == 6
    assert "holds something that is no archive" in failed.told
    assert contents(tmp_path) == {"letters/one.txt": b"dear"}


def test_a_folder_that_cannot_be_made(ask: Ask) -> None:
    failed = the_failed(ask(archive="/proc/archive"), "archive")

    assert failed.exit_code == 1
    assert "cannot write /proc/archive/" in failed.told
    assert "check the archive's path, its permissions" in failed.told


def test_what_is_no_continent_is_not_asked_for(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no name of a continent"):
        ask("../etc", tmp_path)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, ask: Ask) -> str:
    clean(server)
    for name, value in variables(server).items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/ndvi"


def objects(server: str) -> list[str]:
    return [entry["path"] for page in obstore.list(raw(server)) for entry in page]


def test_a_bucket_is_written_and_left_empty(ask: Ask, server: str, bucket: str) -> None:
    faults(server, {"fault": "none"})

    found = ask(archive=bucket)["archive"]

    assert (found.state, found.told) == ("ok", f"can be written: {bucket}")
    assert met(server) > 2
    assert objects(server) == []


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            {"fault": "answer", "method": "PUT", "status": 403, "code": "AccessDenied"},
            r"cannot write .*: access is denied; check the permissions of the account",
        ),
        (
            {"fault": "answer", "method": "GET|HEAD", "status": 403, "code": "AccessDenied"},
            r"cannot read .*: access is denied",
        ),
        (
            {"fault": "answer", "method": "POST|DELETE", "status": 403, "code": "AccessDenied"},
            r"cannot remove .*\.check-.*: access is denied",
        ),
        ({"fault": "ignore_conditions"}, "does not keep the conditions of writes"),
    ],
    ids=["no writing", "no reading", "no removing", "no conditions"],
)
def test_a_bucket_that_refuses_is_told(
    ask: Ask, server: str, bucket: str, rule: dict[str, object], told: str
) -> None:
    faults(server, rule)

    failed = the_failed(ask(archive=bucket), "archive")

    faults(server)
    assert failed.exit_code == 1
    assert re.search(told, failed.told), failed.told
    left = objects(server)
    assert all("/.check-" in name for name in left)
    assert bool(left) == ("remove" in told)


def test_a_bucket_that_is_not_there(ask: Ask, bucket: str) -> None:
    failed = the_failed(ask(archive="s3://no-such-bucket/ndvi"), "archive")

    assert "there is no such bucket; create it" in failed.told
