"""Where the token comes from, and what is said when there is none."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from pathlib import Path

import pytest

from etl.demo.service import StandIn
from etl.errors import LoginError, ServiceError
from etl.extract.auth import TOKEN_VARIABLE, TokenSource
from etl.extract.desplogin import without_hurry

from .scripted import talking

ONE_TIME = "246810"

Point = Callable[..., None]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the settings of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("DESPAUTH_", "NDVI_ARCHIVE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A token file that only its owner can read."""
    path = tmp_path / "token"
    path.touch(0o600)
    return path


def test_a_token_file_comes_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "from-the-environment")
    file.write_text("\n from-the-file\r\n")
    assert TokenSource(file).token() == "from-the-file"


def test_the_environment_comes_second(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(TOKEN_VARIABLE, "from-the-environment ")
    assert TokenSource().token() == "from-the-environment"


def test_a_token_is_kept_until_it_is_refused(file: Path) -> None:
    file.write_text("first")
    source = TokenSource(file)
    assert source.token() == "first"
    file.write_text("second")
    assert source.token() == "first"
    assert source.renew() == "second"
    assert source.token() == "second"


def test_the_same_token_again_is_no_renewal(file: Path) -> None:
    file.write_text("secret-token")
    source = TokenSource(file)
    source.token()
    with pytest.raises(LoginError, match="refuses the access token") as caught:
        source.renew()
    assert "secret-token" not in str(caught.value)


NOT_TOKENS = [
    b"",
    b" \n",
    b"two words",
    b"two\nlines",
    "schlüssel".encode(),
    b"\x00",
    b"bell\x07",
    b"x" * 70_000,
]


@pytest.mark.parametrize("content", [*NOT_TOKENS, b"\xff\xfe\x00"], ids=lambda content: repr(content)[:20])
def test_a_file_without_a_token_is_told(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(LoginError, match=r"does not hold an access token|is not text") as caught:
        TokenSource(file).token()
    assert str(file) in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "content", [token for token in NOT_TOKENS if token != b"\x00"], ids=lambda content: repr(content)[:20]
)
def test_a_variable_without_a_token_is_told(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, content.decode())
    with pytest.raises(LoginError, match=f"{TOKEN_VARIABLE} does not hold an access token"):
        TokenSource().token()


def test_a_missing_file_is_told(file: Path) -> None:
    file.unlink()
    with pytest.raises(LoginError, match="cannot be read: No such file or directory; check --token-file"):
        TokenSource(file).token()


def test_a_folder_is_no_token_file(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="cannot be read: Is a directory"):
        TokenSource(tmp_path).token()


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o606, 0o644, 0o777])
@pytest.mark.parametrize("linked", [False, True])
def test_a_file_that_others_can_read_or_write_is_refused(file: Path, mode: int, linked: bool) -> None:
    file.write_text("secret-token")
    file.chmod(mode)
    if linked:
        file = file.with_name("link")
        file.symlink_to("token")
    with pytest.raises(LoginError, match="by others; run: chmod 600") as caught:
        TokenSource(file).token()
    assert "secret-token" not in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640, 0o660])
def test_a_file_that_owner_and_group_can_read_is_accepted(file: Path, mode: int) -> None:
    file.write_text("token")
    file.chmod(mode)
    assert TokenSource(file).token() == "token"


def test_a_file_that_has_become_public_is_not_read_again(file: Path) -> None:
    file.write_text("first")
    source = TokenSource(file)
    source.token()
    file.write_text("second")
    file.chmod(0o644)
    with pytest.raises(LoginError, match="by others"):
        source.renew()


def test_a_pipe_or_a_device_is_no_token_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(LoginError, match="is no regular file"):
            TokenSource(path).token()


# From here on with a login.


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Point:
    """Points the login to a stand-in, with other settings where they are given; None leaves one out."""

    def to(service: StandIn, **changes: str | None) -> None:
        settings: Mapping[str, str | None] = service.environment | changes
        for name, value in settings.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    return to


@pytest.fixture
def careful() -> Iterator[StandIn]:
    """A stand-in whose account has a one-time password."""
    with StandIn({}, one_time_password=ONE_TIME) as service:
        yield service


def login_error() -> LoginError:
    with pytest.raises(LoginError) as caught:
        TokenSource().token()
    assert caught.value.exit_code == 3
    assert "demo-password" not in str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value


def test_a_login_gives_a_token_that_is_accepted(server: StandIn, point: Point) -> None:
    point(server)
    source = TokenSource()
    first = source.token()
    assert first.count(".") == 2
    assert source.token() == first
    assert source.renew() != first


@pytest.mark.parametrize("arguments", [["--help"], ["convert", "-f", "x", "--config", "nowhere"], []])
def test_the_arguments_of_the_program_are_its_own(
    server: StandIn, point: Point, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    point(server)
    monkeypatch.setattr(sys, "argv", ["ndvi-archive", *arguments])
    assert TokenSource().token().count(".") == 2
    assert sys.argv == ["ndvi-archive", *arguments]


def test_a_wrong_password_is_told(server: StandIn, point: Point) -> None:
    point(server, DESPAUTH_PASSWORD="wrong")  # noqa: S106 - opens nothing
    error = login_error()
    assert "Invalid username or password" in error.what
    assert "set DESPAUTH_USER and DESPAUTH_PASSWORD" in error.remedy


@pytest.mark.parametrize("missing", ["DESPAUTH_USER", "DESPAUTH_PASSWORD"])
def test_without_a_terminal_nothing_is_asked(server: StandIn, point: Point, missing: str) -> None:
    point(server, **{missing: None})
    assert "there is no terminal" in login_error().what


def test_without_a_terminal_a_one_time_password_cannot_be_given(careful: StandIn, point: Point) -> None:
    point(careful)
    assert "one-time password, and there is no terminal" in login_error().what


def test_a_terminal_that_is_not_the_input_is_not_asked(server: StandIn) -> None:
    ours, theirs = pty.openpty()
    # Whatever a session opens first becomes its terminal, to which a prompt for a password would go.
    program = f"""
import os
os.open({os.ttyname(theirs)!r}, os.O_RDWR)
from etl.errors import LoginError, ServiceError
from etl.extract.auth import TokenSource
try:
    TokenSource().token()
except LoginError as error:
    print(error)
"""
    settings = os.environ | server.environment
    del settings["DESPAUTH_PASSWORD"]
    login = subprocess.run(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=settings,
        start_new_session=True,
        text=True,
        timeout=60,
        check=True,
    )
    os.close(ours)
    os.close(theirs)
    assert "there is no terminal" in login.stdout


def test_at_a_terminal_a_one_time_password_is_asked_for(careful: StandIn) -> None:
    ours, theirs = pty.openpty()
    program = "from etl.extract.auth import TokenSource; print(TokenSource().token())"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | careful.environment,
        text=True,
    ) as login:
        os.write(ours, f"{ONE_TIME}\n".encode())
        token, _ = login.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert token.count(".") == 2


def test_a_token_that_was_not_signed_by_the_service_is_refused(server: StandIn, point: Point) -> None:
    server.faults.wrong_keys = True
    point(server)
    assert "signature or expiry date is not valid" in login_error().what


def test_a_token_that_has_expired_from_the_start_is_refused(point: Point) -> None:
    with StandIn({}, token_seconds=-60) as service:
        point(service)
        assert "signature or expiry date is not valid" in login_error().what


def test_a_login_service_that_is_down_is_told(server: StandIn, point: Point) -> None:
    server.faults.login_unavailable = -1
    point(server)
    assert "login refused" in login_error().what


def test_a_login_service_that_is_not_there_is_told(server: StandIn, point: Point) -> None:
    point(server, DESPAUTH_IAM_URL="http://127.0.0.1:1")
    with pytest.raises(ServiceError, match="the login service cannot be reached"):
        TokenSource().token()


PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


@pytest.mark.parametrize("at_terminal", [False, True])
@pytest.mark.parametrize(
    ("begin", "part"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (PAGE + b"X: ", b"x"),
        (PAGE + b"Content-Length: 100000\r\n\r\n", b"<"),
    ],
    ids=["interim answers", "headers", "body"],
)
def test_a_login_that_drips_is_given_up(begin: bytes, part: bytes, at_terminal: bool) -> None:
    ours, theirs = pty.openpty()
    program = "from etl.extract.auth import TokenSource; print(TokenSource(login_seconds=4).token())"
    with talking(begin, lambda: repeat(part), 0.02) as url:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            stdin=theirs if at_terminal else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ
            | dict.fromkeys(("DESPAUTH_USER", "DESPAUTH_PASSWORD"), "x")
            | {"DESPAUTH_IAM_URL": url},
            text=True,
            timeout=60,
            check=False,
        )
    os.close(ours)
    os.close(theirs)
    assert "LoginError: the login did not finish within 4 seconds" in ended.stderr


def test_the_time_in_which_the_user_is_asked_does_not_count() -> None:
    ask = without_hurry(lambda prompt: f"{prompt}{signal.alarm(1000)}", 100)
    signal.alarm(50)
    assert ask("seconds left: ") == "seconds left: 0"
    assert 90 < signal.alarm(0) <= 100


def test_a_login_page_without_end_takes_no_memory_without_end(point: Point, server: StandIn) -> None:
    with talking(PAGE + b"\r\n", lambda: repeat(bytes(1 << 24)), 0.0) as url:
        point(server, DESPAUTH_IAM_URL=url)
        assert "the login service answered more than 536870912 bytes" in login_error().what
