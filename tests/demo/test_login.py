import base64
import io
import json
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest
import requests
from destinepyauth import get_token
from destinepyauth.authentication import TokenResult
from destinepyauth.exceptions import AuthenticationError

from etl.demo.service import StandIn, Stream

from .client import ask_metadata

LogIn = Callable[..., TokenResult]
ONE_TIME = "123456"


@pytest.fixture
def log_in(monkeypatch: pytest.MonkeyPatch) -> LogIn:
    """Log in to a stand-in with the service's own package."""

    def to(service: StandIn, changes: Mapping[str, str] = MappingProxyType({})) -> TokenResult:
        monkeypatch.setattr(sys, "argv", ["ndvi-archive"])
        for name, value in (service.environment | dict(changes)).items():
            monkeypatch.setenv(name, value)
        token = get_token("streamer")
        assert token is not None
        return token

    return to


def test_the_token_of_a_login_is_verified_and_opens_the_metadata(stand_in: StandIn, log_in: LogIn) -> None:
    token = log_in(stand_in)
    assert token.decoded is not None
    assert token.decoded["preferred_username"] == "demo"
    assert ask_metadata(stand_in, token.access_token).status_code == 200


def test_a_wrong_password_is_told(stand_in: StandIn, log_in: LogIn) -> None:
    with pytest.raises(AuthenticationError, match="Invalid username or password"):
        log_in(stand_in, {"DESPAUTH_PASSWORD": "wrong"})


@pytest.mark.parametrize(("typed", "accepted"), [(ONE_TIME, True), ("654321", False)])
def test_an_account_may_ask_for_a_one_time_password(
    stream: Stream, log_in: LogIn, monkeypatch: pytest.MonkeyPatch, typed: str, accepted: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
    with StandIn({"Europe": stream}, one_time_password=ONE_TIME) as service:
        if accepted:
            assert log_in(service).decoded is not None
        else:
            with pytest.raises(AuthenticationError, match="code not found"):
                log_in(service)


def test_an_expired_token_is_not_verified_and_refused(stream: Stream, log_in: LogIn) -> None:
    with StandIn({"Europe": stream}, token_seconds=-60) as service:
        token = log_in(service)
        assert token.decoded is None
        answer = ask_metadata(service, token.access_token)
    assert (answer.status_code, answer.json()["detail"]) == (401, "Token is expired")


def test_tokens_of_foreign_keys_are_not_verified(stand_in: StandIn, log_in: LogIn) -> None:
    stand_in.faults.wrong_keys = True
    assert log_in(stand_in).decoded is None


def test_a_login_service_that_is_down_is_told(stand_in: StandIn, log_in: LogIn) -> None:
    stand_in.faults.login_unavailable = 1
    with pytest.raises(AuthenticationError):
        log_in(stand_in)
    assert log_in(stand_in).decoded is not None


def test_a_refresh_token_gives_one_new_token(stand_in: StandIn, log_in: LogIn) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": log_in(stand_in).refresh_token}
    url = f"{stand_in.iam_url}/realms/desp/protocol/openid-connect/token"
    first, second = (requests.post(url, data=form, timeout=10) for _ in range(2))
    assert ask_metadata(stand_in, first.json()["access_token"]).status_code == 200
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")


def test_a_code_cannot_be_made_up(stand_in: StandIn) -> None:
    url = f"{stand_in.iam_url}/realms/desp/protocol/openid-connect/token"
    form = {"grant_type": "authorization_code", "code": "guess"}
    assert requests.post(url, data=form, timeout=10).status_code == 400


def test_a_login_form_needs_its_session(stand_in: StandIn) -> None:
    url = f"{stand_in.iam_url}/realms/desp/login-actions/authenticate?session_code=guess"
    assert requests.post(url, data={"username": "demo"}, timeout=10).status_code == 400


def test_a_changed_token_is_refused(stand_in: StandIn) -> None:
    header, payload, signature = stand_in.issue_token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "==")) | {"exp": 2**40}
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert ask_metadata(stand_in, f"{header}.{forged}.{signature}").status_code == 401


@pytest.mark.parametrize("header", [{}, {"Authorization": "Basic x"}, {"Authorization": "Bearer x"}])
def test_metadata_needs_a_token(stand_in: StandIn, header: dict[str, str]) -> None:
    url = f"{stand_in.api_url}/streaming/s3/data/metadata/Europe"
    answer = requests.get(url, headers=header, timeout=10)
    assert answer.status_code == 401
    assert "detail" in answer.json()


def test_metadata_is_for_members_of_the_group(stream: Stream, log_in: LogIn) -> None:
    with StandIn({"Europe": stream}, member=False) as service:
        token = log_in(service)
        assert token.decoded is not None
        assert ask_metadata(service, token.access_token).status_code == 403


def test_revoked_tokens_are_refused_and_new_ones_accepted(stand_in: StandIn) -> None:
    old = stand_in.issue_token()
    stand_in.revoke_tokens()
    assert ask_metadata(stand_in, old).status_code == 401
    assert ask_metadata(stand_in, stand_in.issue_token()).status_code == 200
