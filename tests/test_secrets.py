"""No secret is told, whatever fails: neither in the log, nor in errors, reports or the archive."""

import base64
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from tests.conftest import BBOX
from tests.program import contents, run

PASSWORD = "planted-password-1"  # noqa: S105 - planted, to be looked for
WRONG_PASSWORD = "planted-password-2"  # noqa: S105
USERINFO = "planted-userinfo"


@dataclass
class Scene:
    """A run that is to fail, and what must not be told.

    Attributes:
        service: the stand-in; its addresses are signed.
        variables: environment of the program; a token in the file `token` by default.
        folder: where everything else is: the token, the archive and the report.
        options: the program's options beyond those that are always given.
        secrets: planted secrets beyond those that are always looked for.
    """

    service: StandIn
    folder: Path
    variables: dict[str, str]
    options: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def new_token(self) -> None:
        token = self.service.issue_token()
        self.secrets.append(token)
        (self.folder / "token").write_text(token)


@pytest.fixture(scope="module")
def streams(scenes: list[SceneFrame], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Stream]:
    """The scenes in one file, and in segments."""
    return {
        container: publish(
            scenes,
            tmp_path_factory.mktemp(container),
            BBOX,
            Encoding(container, lossless=True, gop=8, segment_seconds=0.3),
        )
        for container in ("mp4", "hls-ts")
    }


Fault = Callable[[Scene], None]


def wrong_password(scene: Scene) -> None:
    scene.options.clear()
    scene.variables |= scene.service.environment | {"DESPAUTH_PASSWORD": WRONG_PASSWORD}


def login_down(scene: Scene) -> None:
    scene.options.clear()
    scene.variables |= scene.service.environment | {"DESPAUTH_IAM_URL": "http://127.0.0.1:1"}


def keys_wrong(scene: Scene) -> None:
    scene.options.clear()
    scene.variables |= scene.service.environment
    scene.service.faults.wrong_keys = True


def token_public(scene: Scene) -> None:
    (scene.folder / "token").chmod(0o644)


def token_malformed(scene: Scene) -> None:
    (scene.folder / "token").write_text("planted-in-file and-more")
    scene.secrets.append("planted-in-file")


def unauthorized(scene: Scene) -> None:
    scene.service.revoke_tokens()


def unauthorized_again(scene: Scene) -> None:
    scene.service.faults.always_unauthorized = True
    scene.new_token()


def forbidden(scene: Scene) -> None:
    scene.service.faults.forbidden = True


def failing(scene: Scene) -> None:
    scene.service.faults.server_errors = -1


def silent(scene: Scene) -> None:
    scene.service.faults.drop_connections = -1


def echoing(scene: Scene) -> None:
    token = (scene.folder / "token").read_text()
    scene.service.faults.metadata = lambda body: f"{{'you said': 'Bearer {token}'"


def echoing_in_a_field(scene: Scene) -> None:
    token = (scene.folder / "token").read_text()
    scene.service.faults.metadata = lambda body: body | {"nx": f"Bearer {token}"}


def echoing_in_an_image(scene: Scene) -> None:
    token = (scene.folder / "token").read_text()

    def edit(body: dict[str, Any]) -> dict[str, Any]:
        body["images"][-1]["satellite"] = token
        return body

    scene.service.faults.metadata = edit


def stream_elsewhere(scene: Scene) -> None:
    scene.secrets.append("planted-elsewhere")
    scene.service.faults.metadata = lambda body: (
        body | {"stream_path": "ftp://planted-elsewhere@host/x?signature=planted-elsewhere"}
    )


def stream_elsewhere_malformed(scene: Scene) -> None:
    scene.secrets.append("planted-elsewhere")
    scene.service.faults.metadata = lambda body: (
        body | {"stream_path": "http://[host/x?signature=planted-elsewhere"}
    )


def expired(scene: Scene) -> None:
    def edit(body: dict[str, Any]) -> dict[str, Any]:
        signature = "planted-signature"
        return body | {"stream_path": f"{body['stream_path'].partition('?')[0]}?signature={signature}"}

    scene.secrets.append("planted-signature")
    scene.service.faults.metadata = edit


def missing(scene: Scene) -> None:
    scene.service.faults.missing = frozenset({"stream.mp4", "stream0001.ts"})


def unavailable(scene: Scene) -> None:
    scene.service.faults.unavailable_stream = -1


def cut(scene: Scene) -> None:
    scene.service.faults.truncate_to = 188 * 60


def breaking_off(scene: Scene) -> None:
    scene.service.faults.cut_after, scene.service.faults.cut_times = 9_000, -1


def playlist(name: str, text: str) -> Fault:
    def fault(scene: Scene) -> None:
        folder = scene.folder / "stream"
        folder.mkdir()
        (folder / "stream.m3u8").write_text(text)
        stream = scene.service.streams["Africa"]
        changed = Stream(folder / "stream.m3u8", stream.columns, stream.rows, stream.bbox, stream.images)
        scene.service.streams.update(Africa=changed, Europe=changed)
        scene.secrets.append("planted-in-playlist")

    fault.__name__ = name
    return fault


malformed_playlist = playlist(
    "malformed_playlist", "#EXTM3U\n#EXTINF:planted-in-playlist,\n1.ts?signature=planted-in-playlist\n"
)
playlist_elsewhere = playlist(
    "playlist_elsewhere",
    "#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname?signature=planted-in-playlist\n#EXT-X-ENDLIST\n",
)
encrypted_playlist = playlist(
    "encrypted_playlist",
    '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k?signature=planted-in-playlist"\n#EXTINF:1,\n1.ts\n',
)


def api_with_userinfo(scene: Scene) -> None:
    scene.secrets.append(USERINFO)
    scene.service.faults.forbidden = True
    url = scene.service.api_url.replace("://", f"://user:{USERINFO}@")
    scene.variables["NDVI_ARCHIVE_API_URL"] = url


def api_unreachable_with_userinfo(scene: Scene) -> None:
    scene.secrets.append(USERINFO)
    scene.variables["NDVI_ARCHIVE_API_URL"] = f"http://user:{USERINFO}@127.0.0.1:1/api?key={USERINFO}"


def api_malformed_with_userinfo(scene: Scene) -> None:
    scene.secrets.append(USERINFO)
    scene.variables["NDVI_ARCHIVE_API_URL"] = f"ftp://user:{USERINFO}@host/api?key={USERINFO}"


FAULTS: list[tuple[Fault, int, str]] = [
    # Those that try again come first: the others run while they wait.
    (failing, 4, "Europe"),
    (silent, 4, "Africa"),
    (expired, 4, "Europe"),
    (expired, 4, "Africa"),
    (missing, 4, "Europe"),
    (missing, 4, "Africa"),
    (unavailable, 4, "Africa"),
    (breaking_off, 4, "Europe"),
    (breaking_off, 4, "Africa"),
    (api_unreachable_with_userinfo, 4, "Europe"),
    (wrong_password, 3, "Europe"),
    (login_down, 4, "Africa"),
    (keys_wrong, 3, "Europe"),
    (token_public, 3, "Africa"),
    (token_malformed, 3, "Europe"),
    (unauthorized, 3, "Africa"),
    (unauthorized_again, 3, "Europe"),
    (forbidden, 3, "Africa"),
    (echoing, 4, "Europe"),
    (echoing_in_a_field, 4, "Africa"),
    (echoing_in_an_image, 4, "Europe"),
    (stream_elsewhere, 4, "Africa"),
    (stream_elsewhere_malformed, 4, "Europe"),
    (cut, 4, "Europe"),
    (cut, 4, "Africa"),
    (malformed_playlist, 4, "Europe"),
    (playlist_elsewhere, 4, "Africa"),
    (encrypted_playlist, 4, "Europe"),
    (api_with_userinfo, 3, "Africa"),
    (api_malformed_with_userinfo, 2, "Africa"),
]


def told(folder: Path, *texts: str) -> str:
    """All that a run has told and written."""
    written = contents(folder / "archive") if (folder / "archive").is_dir() else {}
    files = [path for path in (folder / "run.json", folder / "run.prom") if path.is_file()]
    parts = [*texts, *written, *(path.read_text() for path in files)]
    return "\n".join([*parts, *(content.decode("latin-1") for content in written.values())])


def forms(secret: str) -> Iterator[str]:
    """A secret, and what it looks like where it was encoded; of a token every part."""
    yield from (secret, *(secret.split(".") if secret.count(".") == 2 else ()))
    yield base64.b64encode(f"user:{secret}".encode()).decode()


@dataclass(frozen=True)
class Told:
    """How a run ended, all it told and wrote, and what must not be in that."""

    code: int
    text: str
    secrets: list[str]


def told_by(fault: Fault, continent: str, folder: Path, streams: Mapping[str, Stream]) -> Told:
    """Run the program into a fault; a stream in one file is logged as text, one in segments as JSON."""
    with StandIn({}, password=PASSWORD, signed_urls=True) as service:
        service.streams.update(Europe=streams["mp4"], Africa=streams["hls-ts"])
        (folder / "token").touch(0o600)
        variables = {"NDVI_ARCHIVE_API_URL": service.api_url}
        scene = Scene(service, folder, variables, ["--token-file", str(folder / "token")])
        scene.new_token()
        fault(scene)
        ended = run(
            *("-vv", "--log-format", "text" if continent == "Europe" else "json"),
            *("convert", continent, "--archive", folder / "archive", "--report", folder / "run.json"),
            *("--metrics", folder / "run.prom"),
            *scene.options,
            variables=scene.variables,
        )
    return Told(ended.code, told(folder, ended.out, ended.err), scene.secrets)


Runs = Mapping[tuple[Fault, str], Future[Told]]


@pytest.fixture(scope="module")
def runs(streams: Mapping[str, Stream], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """All runs, several at a time: most of them wait before they try again."""
    with ThreadPoolExecutor(6) as pool:
        yield {
            (fault, continent): pool.submit(
                told_by, fault, continent, tmp_path_factory.mktemp("run"), streams
            )
            for fault, _, continent in FAULTS
        }


@pytest.mark.parametrize(
    ("fault", "code", "continent"), FAULTS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_a_run_that_fails_tells_no_secret(runs: Runs, fault: Fault, code: int, continent: str) -> None:
    ended = runs[fault, continent].result()
    assert ended.code == code, ended.text
    assert "rror" in ended.text
    for secret in (*ended.secrets, PASSWORD, WRONG_PASSWORD, "signature=", "expires="):
        for form in forms(secret):
            assert form not in ended.text
