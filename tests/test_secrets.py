"""No secret is told, whatever fails: neither in the log, nor in errors, reports or the archive."""

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from etl.demo.encoder import Encoding
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from tests.conftest import BBOX
from tests.program import clean_environment, contents, run

PASSWORD = "planted-password-1"  # noqa: S105 - planted, to be looked for
WRONG_PASSWORD = "planted-password-2"  # noqa: S105
USERINFO = "planted-userinfo"


@dataclass
class Scene:
    """A run that is to fail, and what must not be told.

    Attributes:
        service: the stand-in; its addresses are signed.
        variables: environment of the program; a token in the file `token` by default.
        secrets: planted secrets beyond those that are always looked for.
        then: what happens between a first run that archives four frames and the one that fails.
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
            Encoding(container, lossless=True, gop=8, segment_seconds=0.3),  # type: ignore[arg-type]
        )
        for container in ("mp4", "hls-ts")
    }


@pytest.fixture
def scene(tmp_path: Path, streams: Mapping[str, Stream]) -> Iterator[Scene]:
    """A run that goes well so far, with a token file."""
    with StandIn({}, password=PASSWORD, signed_urls=True) as service:
        service.streams.update(Europe=streams["mp4"], Africa=streams["hls-ts"])
        (tmp_path / "token").touch(0o600)
        variables = {"NDVI_ARCHIVE_API_URL": service.api_url}
        made = Scene(service, tmp_path, variables, ["--token-file", str(tmp_path / "token")])
        made.new_token()
        yield made


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


def playlist(text: str) -> Fault:
    def fault(scene: Scene) -> None:
        folder = scene.folder / "stream"
        folder.mkdir()
        (folder / "stream.m3u8").write_text(text)
        stream = scene.service.streams["Africa"]
        changed = Stream(
            folder / "stream.m3u8", stream.columns, stream.rows, stream.bbox, stream.images
        )
        scene.service.streams.update(Africa=changed, Europe=changed)
        scene.secrets.append("planted-in-playlist")

    return fault


malformed_playlist = playlist("#EXTM3U\n#EXTINF:planted-in-playlist,\n1.ts?signature=planted-in-playlist\n")
playlist_elsewhere = playlist(
    "#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname?signature=planted-in-playlist\n#EXT-X-ENDLIST\n"
)
encrypted_playlist = playlist(
    '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k?signature=planted-in-playlist"\n#EXTINF:1,\n1.ts\n'
)


def api_with_userinfo(scene: Scene) -> None:
    scene.secrets.append(USERINFO)
    scene.service.faults.forbidden = True
    url = scene.service.api_url.replace("://", f"://user:{USERINFO}@")
    scene.variables["NDVI_ARCHIVE_API_URL"] = f"{url}?key={USERINFO}"


def api_unreachable_with_userinfo(scene: Scene) -> None:
    scene.secrets.append(USERINFO)
    scene.variables["NDVI_ARCHIVE_API_URL"] = f"http://user:{USERINFO}@127.0.0.1:1/api?key={USERINFO}"


def api_malformed_with_userinfo(scene: Scene) -> None:
    scene.secrets.append(USERINFO)
    scene.variables["NDVI_ARCHIVE_API_URL"] = f"ftp://user:{USERINFO}@host/api?key={USERINFO}"


def archive_full(scene: Scene) -> None:
    """Nothing can be written where the frames belong; the network is not at fault."""
    (scene.folder / "archive" / "europe").mkdir(parents=True)
    (scene.folder / "archive" / "europe" / "ndvi.zarr").write_text("no folder")
    (scene.folder / "archive" / "africa").symlink_to("europe")


FAULTS: list[tuple[Fault, int]] = [
    (wrong_password, 3),
    (login_down, 4),
    (keys_wrong, 3),
    (token_public, 3),
    (token_malformed, 3),
    (unauthorized, 3),
    (unauthorized_again, 3),
    (forbidden, 3),
    (failing, 4),
    (silent, 4),
    (echoing, 4),
    (echoing_in_a_field, 4),
    (echoing_in_an_image, 4),
    (stream_elsewhere, 4),
    (stream_elsewhere_malformed, 4),
    (expired, 4),
    (missing, 4),
    (unavailable, 4),
    (cut, 4),
    (breaking_off, 4),
    (malformed_playlist, 4),
    (playlist_elsewhere, 4),
    (encrypted_playlist, 4),
    (api_with_userinfo, 3),
    (api_unreachable_with_userinfo, 4),
    (api_malformed_with_userinfo, 2),
    (archive_full, 6),
]


def told(folder: Path, *texts: str) -> str:
    """All that a run has told and written."""
    written = contents(folder / "archive") if (folder / "archive").is_dir() else {}
    files = [path for path in (folder / "run.json", folder / "run.prom") if path.is_file()]
    parts = [*texts, *written, *(path.read_text() for path in files)]
    return "\n".join([*parts, *(content.decode("latin-1") for content in written.values())])


def forms(secret: str) -> Iterator[str]:
    """A secret, and what it looks like where it was encoded; of a token every part."""
    for part in (secret, *(secret.split(".") if secret.count(".") == 2 else ())):
        yield part
    yield base64.b64encode(f"user:{secret}".encode()).decode()


CODES = {fault: code for fault, code in FAULTS}


@pytest.mark.parametrize(
    ("fault", "code"), FAULTS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_a_run_that_fails_tells_no_secret(scene: Scene, fault: Fault, code: int) -> None:
    fault(scene)
    first = scene.options
    for continent, log_format in (("Europe", "text"), ("Africa", "json")):
        ended = run(
            "-vv",
            "--log-format",
            log_format,
            "convert",
            continent,
            "--archive",
            scene.folder / "archive",
            "--report",
            scene.folder / "run.json",
            *first,
            variables=scene.variables,
        )
        assert ended.code == code, ended.err
        text = told(scene.folder, ended.out, ended.err)
        for secret in (*scene.secrets, PASSWORD, WRONG_PASSWORD, "signature=", "expires="):
            for form in forms(secret):
                assert form not in text
