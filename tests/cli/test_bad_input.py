"""Every fault gives one clear line and the exit code of its class, and loses nothing."""

import fcntl
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import pytest
import xarray as xr

from etl.demo.encoder import Encoding
from etl.demo.faults import Faults
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from tests.cli.test_convert import assert_holds
from tests.conftest import BBOX
from tests.program import contents, convert, run, with_login, with_token

Answer = dict[str, Any]


@pytest.fixture(scope="session")
def four_frames(europe: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the first two days."""
    archive = tmp_path_factory.mktemp("four") / "archive"
    with StandIn({"Europe": europe}) as service:
        assert convert(service, archive, "--end", "2021-03-02").code == 0
    return archive


@pytest.fixture
def begun(four_frames: Path, archive: Path) -> Path:
    """An archive of the first two days, of this test's own."""
    shutil.copytree(four_frames, archive)
    return archive


def without(name: str) -> Callable[[Answer], Answer]:
    return lambda answer: {key: value for key, value in answer.items() if key != name}


def image(name: str, value: object) -> Callable[[Answer], Answer]:
    """Give a field of the seventh image another value."""

    def edit(answer: Answer) -> Answer:
        images = list(answer["images"])
        images[6] = images[6] | {name: value}
        return answer | {"images": images}

    return edit


@dataclass(frozen=True)
class Case:
    """A fault of the service; how a run must end, what it must say, and how many frames are archived then."""

    faults: dict[str, Any]
    code: int
    says: str
    frames: int = 4


CASES = {
    "the token is refused again and again": Case({"always_unauthorized": True}, 3, "(401)"),
    "the account has no access": Case({"forbidden": True}, 3, "answered 403"),
    "the service does not answer in JSON": Case({"metadata": lambda answer: "<html>"}, 4, "is not JSON"),
    "the metadata lacks a field": Case({"metadata": without("bbox")}, 4, "lacks bbox"),
    "a number comes twice": Case({"metadata": image("img_number", 6)}, 4, "img_number 6 twice"),
    "a date is absurd": Case({"metadata": image("img_start_date", "today")}, 4, "images[6].img_start_date"),
    "a satellite is absurd": Case({"metadata": image("satellite", "S2A")}, 4, "images[6].satellite is 'S2A'"),
    "a scale is absurd": Case({"metadata": image("img_max_value", 99.0)}, 4, "the scale of frame 7", 6),
    "the stream's address is no web address": Case(
        {"metadata": lambda answer: answer | {"stream_path": "file:///etc/passwd"}},
        4,
        "stream_path is 'file:",
    ),
    "the frames have another size": Case({"wrong_size": (80, 50)}, 6, "the stream's grid 80 × 50"),
    "the stream is truncated": Case({"truncate_to": 40_000}, 4, "frame"),
    "the stream breaks off at the same byte every time": Case(
        {"cut_after": 60_000, "cut_times": -1}, 4, "breaks off at byte 60000"
    ),
    "the stream is gone": Case({"missing": frozenset({"stream.mp4"})}, 4, "stream.mp4 answered 404"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_told_in_one_line_and_loses_nothing(
    service: StandIn, begun: Path, scenes: list[SceneFrame], name: str
) -> None:
    case = CASES[name]
    for fault, value in case.faults.items():
        setattr(service.faults, fault, value)

    ended = convert(service, begun)

    assert (ended.code, case.says in ended.error) == (case.code, True), ended.err
    archived = xr.open_zarr(begun / "europe/ndvi.zarr").sizes["time"]
    assert archived >= case.frames
    assert_holds(begun, scenes[:archived])
    for fault in case.faults:
        setattr(service.faults, fault, getattr(Faults(), fault))
    assert convert(service, begun).code == 0
    assert_holds(begun, scenes)


PASSING: dict[str, dict[str, Any]] = {
    "the token expires": {"unauthorized_after": 0},
    "the service is overloaded": {"too_many_requests": 1, "retry_after": 0},
    "the service fails": {"server_errors": 2},
    "the connection is dropped": {"drop_connections": 1},
    "the stream is cut": {"cut_after": 30_000, "cut_times": 2},
    "the stream is slow": {"bytes_per_second": 2_000_000},
    "ranges are ignored": {"ignore_range": True},
    "the stream is unavailable for a moment": {"unavailable_stream": 1},
}


@pytest.mark.parametrize("name", PASSING)
def test_a_passing_fault_is_not_noticed(
    service: StandIn, archive: Path, scenes: list[SceneFrame], name: str
) -> None:
    for fault, value in PASSING[name].items():
        setattr(service.faults, fault, value)

    ended = run("convert", "Europe", "--archive", archive, variables=with_login(service))

    assert ended.code == 0, ended.err
    assert_holds(archive, scenes)


def test_two_satellites_at_the_same_second_are_both_archived(service: StandIn, archive: Path) -> None:
    service.faults.repeat_dates = True

    assert convert(service, archive).code == 0

    dataset = xr.open_zarr(archive / "europe/ndvi.zarr")
    assert dataset.time.values[0] == dataset.time.values[1]
    assert dataset.satellite.values[:2].tolist() == [1, 2]


USAGE = {
    "no continent": (["convert", "--archive", "x"], "Missing argument 'CONTINENT'"),
    "no archive": (["convert", "Europe"], "Missing option '--archive'"),
    "no date": (["convert", "Europe", "--archive", "x", "--start", "yesterday"], "'yesterday' is no date"),
    "the start is after the end": (
        ["convert", "Europe", "--archive", "x", "--start", "2021-02-01", "--end", "2021-01-01"],
        "the start 2021-02-01 00:00 is after the end 2021-01-01 23:59 UTC",
    ),
    "a continent that would leave the archive": (
        ["convert", "../Europe", "--archive", "x"],
        "'../Europe' is no name of a continent",
    ),
    **{
        f"a continent called {name!r}": (["convert", name, "--archive", "x"], "is no name of a continent")
        for name in (
            "",
            "/Europe",
            "a/b",
            "..",
            "%2e%2e",
            "Europe\n",
            "\x1b[31mEurope",
            "e" * 300,
            "Eur\u00f6pe",
        )
    },
    **{
        f"a continent called {name}": (
            ["convert", name, "--archive", "x"],
            f"{name!r} cannot be archived: ndvi-archive serve has a page of that name",
        )
        for name in ("Pages", "viewer", "Browser", "API")
    },
    "an address that is none": (
        ["convert", "Europe", "--archive", "x", "--api-url", "ftp://example.com"],
        "'ftp://example.com' is not an http or https address",
    ),
    "an empty name": (["convert", "Europe", "--archive", ""], "the archive's name is empty"),
    "an empty name for the demo": (["demo", "--archive", ""], "the archive's name is empty"),
    "an unknown command": (["conver"], "No such command 'conver'. Did you mean 'convert'?; see ndvi-archive"),
    "an archive that is not there": (["info", "--archive", "x"], "there is no archive in x"),
    "nothing to verify": (
        ["verify", "--archive", "x"],
        "x; check --archive, or run ndvi-archive convert first",
    ),
    "nothing to catalogue": (
        ["catalog", "--archive", "x"],
        "x; check --archive, or run ndvi-archive convert",
    ),
    "a nameless continent to verify": (["verify", "", "--archive", "x"], "'' is no name of a continent"),
    "a nameless continent to tell of": (["info", "", "--archive", "x"], "'' is no name of a continent"),
    "one slash after s3": (["info", "--archive", "s3:/bucket/x"], "name such as s3://bucket/folder"),
    "no bucket": (["demo", "--archive", "s3://"], "s3:// is no address of a folder or a bucket"),
    "a global option after the command": (
        ["info", "-v", "--archive", "x"],
        "; it belongs before the command: ndvi-archive -v info",
    ),
    "another global option after the command": (
        ["info", "--archive", "x", "--log-format", "json"],
        "before the command: ndvi-archive --log-format info",
    ),
    "an option that is nobody's": (["info", "--nobodys"], "; see ndvi-archive info --help"),
    "a wrong option": (["serve", "--archive", "x", "--port", "y"], "'--port': 'y' is not a valid integer"),
}


@pytest.mark.parametrize("name", USAGE)
def test_usage_is_told_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, says = USAGE[name]

    ended = run(*arguments)

    assert (ended.code, says in ended.error) == (2, True), ended.err
    assert ended.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    ended = run("serve", "--archive", tmp_path, variables={"NDVI_ARCHIVE_PORT": "y"})

    assert (ended.code, "(env var: 'NDVI_ARCHIVE_PORT'): 'y' is not" in ended.error) == (2, True), ended.err


@pytest.mark.parametrize("command", ["info", "verify", "optimize"])
def test_a_misspelled_continent_is_told_with_the_name_of_the_one_there_is(begun: Path, command: str) -> None:
    ended = run(command, "Eurpoe", "--archive", begun)

    assert ended.code == 2
    assert ended.error == f"nothing of Eurpoe is archived in {begun}; did you mean Europe?"


def test_an_unknown_continent_is_told(service: StandIn, archive: Path) -> None:
    ended = run("convert", "Atlantis", "--archive", archive, variables=with_token(service))

    assert ended.code == 4
    assert "There is no stream of Atlantis; there are: Europe" in ended.error


def test_no_frames_in_the_range_is_told(service: StandIn, archive: Path) -> None:
    ended = convert(service, archive, "--start", "1999-01-01", "--end", "1999-12-31")

    assert ended.code == 4
    assert (
        "the service has no frames of Europe from 1999-01-01 00:00 UTC to 1999-12-31 23:59 UTC" in ended.error
    )


def test_a_refused_login_is_told(service: StandIn, archive: Path) -> None:
    variables = with_login(service) | {"DESPAUTH_PASSWORD": "not-the-password"}

    ended = run("convert", "Europe", "--archive", archive, variables=variables)

    assert ended.code == 3
    assert "login refused: Login failed: Invalid username or password" in ended.error
    assert "not-the-password" not in ended.err


def test_no_credentials_and_no_terminal_is_told_without_asking(service: StandIn, archive: Path) -> None:
    variables = {"DESPAUTH_IAM_URL": service.iam_url, "NDVI_ARCHIVE_API_URL": service.api_url}

    ended = run("convert", "Europe", "--archive", archive, variables=variables)

    assert ended.code == 3
    assert "there is no terminal" in ended.error
    assert "DESPAUTH_USER" in ended.error


def test_a_service_that_is_not_there_is_told(archive: Path) -> None:
    nowhere = "https://127.0.0.1:9/api?key=secret"
    variables = {"NDVI_ARCHIVE_API_URL": nowhere, "NDVI_ARCHIVE_TOKEN": "secret-token"}

    ended = run("convert", "Europe", "--archive", archive, variables=variables)

    assert ended.code == 4
    assert "cannot be reached" in ended.error
    assert "secret" not in ended.err


def a_folder_of_something_else(archive: Path) -> None:
    archive.mkdir()
    (archive / "letters.txt").write_text("not an archive")


def a_file(archive: Path) -> None:
    archive.write_text("not an archive")


def a_catalog_of_someone_else(archive: Path) -> None:
    archive.mkdir()
    (archive / "catalog.json").write_text('{"type": "Catalog", "id": "mine"}')


def an_archive_in_a_folder(archive: Path) -> None:
    (archive / "inner" / "europe").mkdir(parents=True)
    (archive / "inner" / ".lease").touch()
    (archive / "inner" / "catalog.json").write_text("{}")


def a_group_of_something_else(archive: Path) -> None:
    other = xr.Dataset({"temperature": ("x", [1.0, 2.0])})
    other.to_zarr(archive / "europe/ndvi.zarr", zarr_format=3, consolidated=False)


def a_damaged_root(archive: Path) -> None:
    (archive / "europe/ndvi.zarr").mkdir(parents=True)
    (archive / "europe/ndvi.zarr/zarr.json").write_text('{"attributes": ')


@pytest.mark.parametrize(
    "put_there",
    [
        a_folder_of_something_else,
        a_file,
        a_catalog_of_someone_else,
        an_archive_in_a_folder,
        a_group_of_something_else,
        a_damaged_root,
    ],
)
def test_a_place_that_holds_something_else_is_left_alone(
    service: StandIn, archive: Path, put_there: Callable[[Path], None]
) -> None:
    put_there(archive)
    before = contents(archive.parent)

    ended = convert(service, archive)

    assert ended.code == 6, ended.err
    assert str(archive) in ended.error
    after = contents(archive.parent)
    assert {name: data for name, data in after.items() if name in before} == before
    assert {Path(name).name for name in set(after) - set(before)} <= {".lease"}


def test_a_grid_that_changed_is_told(service: StandIn, begun: Path) -> None:
    service.faults.metadata = lambda answer: answer | {"bbox": [-10, 35, 31, 60]}

    ended = convert(service, begun)

    assert ended.code == 6
    assert "the stream's grid 84 × 50 over -10, 35, 31, 60 is not that of" in ended.error


@pytest.mark.parametrize("folder", ["archive", "new"])
def test_a_stream_of_limited_range_is_refused_before_anything_is_archived(
    service: StandIn, scenes: list[SceneFrame], begun: Path, folder: str
) -> None:
    archive = begun.with_name(folder)
    before = contents(archive / "europe/ndvi.zarr")
    limited = Encoding(pixel_format="yuv420p12le", lossless=True, full_range=False)
    service.streams["Europe"] = publish(scenes, begun.parent / "limited", BBOX, limited)

    ended = convert(service, archive)

    assert ended.code == 4
    assert "is yuv420p12le of limited or unnamed range: only full range is known" in ended.error
    assert contents(archive / "europe/ndvi.zarr") == before


def test_an_archive_that_is_being_written_is_busy(service: StandIn, begun: Path) -> None:
    with (begun / "europe/.lease").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(f'{{"host": "here", "process": {os.getpid()}, "since": "2021-03-02T00:00:00+00:00"}}')
        held.flush()
        ended = convert(service, begun)

    assert ended.code == 5
    assert f"process {os.getpid()} on here since 2021-03-02T00:00:00+00:00" in ended.error


def test_a_place_where_another_run_is_just_beginning_is_no_place_of_something_else(
    service: StandIn, scenes: list[SceneFrame], archive: Path
) -> None:
    (archive / "africa").mkdir(parents=True)

    assert convert(service, archive).code == 0
    assert_holds(archive, scenes)


def test_an_unwritable_place_is_told(service: StandIn, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    ended = convert(service, tmp_path / "file" / "archive")

    assert ended.code in (1, 6)
    assert str(tmp_path / "file" / "archive") in ended.error


def test_a_traceback_is_printed_only_when_asked_for(service: StandIn, archive: Path) -> None:
    service.faults.forbidden = True

    ended = run("-vv", "convert", "Europe", "--archive", archive, variables=with_token(service))

    assert ended.code == 3
    assert "Traceback (most recent call last)" in ended.err


def test_the_frames_before_a_damaged_one_are_archived(
    service: StandIn, europe: Stream, scenes: list[SceneFrame], archive: Path, tmp_path: Path
) -> None:
    with av.open(str(europe.file)) as video:
        hit = [packet.pos for packet in video.demux(video=0)][14] or 0
    data = bytearray(europe.file.read_bytes())
    data[hit : hit + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "damaged").mkdir()
    file = tmp_path / "damaged" / "stream.mp4"
    file.write_bytes(data)
    service.streams["Europe"] = replace(europe, file=file)

    ended = convert(service, archive)

    assert ended.code == 4
    archived = xr.open_zarr(archive / "europe/ndvi.zarr").sizes["time"]
    assert 8 <= archived < 20
    assert f"frame {archived + 1} of " in ended.error
    assert_holds(archive, scenes[:archived])
