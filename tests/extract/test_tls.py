"""TLS is verified: a server that cannot prove who it is gets neither the token nor a request."""

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from etl.errors import ServiceError
from etl.extract.auth import TOKEN_VARIABLE, TokenSource
from etl.extract.http import HttpClient
from etl.extract.service import ContinentService


class _Server(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A refused handshake is what is wanted."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["127.0.0.1", "other.example"])
def server(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[_Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(request.param).configure_cert(context)
    with _Server() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def listing(server: _Server) -> ServiceError:
    """The error that asking the server ends with."""
    client = HttpClient(pause=0.0)
    service = ContinentService(f"https://127.0.0.1:{server.server_port}/api", TokenSource(), client=client)
    with pytest.raises(ServiceError) as refusal:
        service.listing("Europe", None, None)
    service.close()
    return refusal.value


@pytest.mark.parametrize("server", ["127.0.0.1"], indirect=True)
def test_a_server_whose_certificate_nobody_vouches_for_is_not_asked(
    server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "planted")

    assert "certificate" in str(listing(server))
    assert server.asked == []


@pytest.mark.parametrize(
    ("server", "is_asked"), [("127.0.0.1", True), ("other.example", False)], indirect=["server"]
)
def test_an_authority_of_ones_own_vouches_for_the_host_it_names_alone(
    server: _Server, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_asked: bool
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "planted")
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))

    assert ("404" in str(listing(server))) is is_asked
    assert bool(server.asked) is is_asked
