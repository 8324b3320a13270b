"""The metadata: every absurdity is one error that names the field, every refusal the right class of error."""

import json
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from etl.demo.encoder import Encoding
from etl.demo.service import StandIn, Stream
from etl.errors import ArchiveError, LoginError, ServiceError, UsageError
from etl.extract.api import LARGEST_SIDE, MetadataApi, parse_listing
from etl.extract.auth import TOKEN_VARIABLE, TokenSource
from etl.extract.frame import FrameEntry, Scale
from etl.extract.http import HttpClient

from .clips import served
from .conftest import Clips, Traffic
from .scripted import Answer, scripted

Answers = dict[str, Any]
ABSENT = object()


def image(number: int = 1, **changes: Any) -> Answers:  # noqa: ANN401 - JSON
    """One entry of `images` with some fields changed or left out."""
    entry = {
        "img_number": number,
        "img_start_date": f"2021-03-01T10:00:{number % 60:02}",
        "img_min_value": -0.1,
        "img_max_value": 0.9,
        "satellite": "S3A",
    }
    return {name: value for name, value in (entry | changes).items() if value is not ABSENT}


def answer(**changes: Any) -> Answers:  # noqa: ANN401 - JSON
    """An answer of two images with some fields changed or left out."""
    fields = {
        "stream_path": "https://host/stream.mp4?signature=1",
        "nx": 67,
        "ny": 43,
        "bbox": [-25.0, 34, 45.0, 72],
        "images": [image(1), image(2)],
    }
    return {name: value for name, value in (fields | changes).items() if value is not ABSENT}


def test_an_answer_becomes_values() -> None:
    listing = parse_listing("Europe", answer(something="new"))
    assert (listing.continent, listing.columns, listing.rows) == ("Europe", 67, 43)
    assert listing.bbox == (-25.0, 34.0, 45.0, 72.0)
    assert all(isinstance(edge, float) for edge in listing.bbox)
    assert listing.stream_url == "https://host/stream.mp4?signature=1"
    assert listing.entries[0] == FrameEntry(
        1, datetime(2021, 3, 1, 10, 0, 1, tzinfo=UTC), "S3A", Scale(-0.1, 0.9)
    )


@pytest.mark.parametrize("numbers", [[], [5], [7, 3, 5], [1, 2, 4, 8]], ids=str)
def test_entries_keep_their_own_numbers_in_the_order_of_the_answer(numbers: list[int]) -> None:
    listing = parse_listing("Europe", answer(images=[image(number) for number in numbers]))
    assert [entry.number for entry in listing.entries] == numbers


def test_both_satellites_may_share_a_second() -> None:
    same = "2021-03-01T10:00:00"
    images = [image(n, satellite=f"S3{'AB'[n - 1]}", img_start_date=same) for n in (1, 2)]
    assert len(parse_listing("Europe", answer(images=images)).entries) == 2


NOT_SIDES = [0, -1, True, 67.0, 67.5, "67", None, [], math.nan, LARGEST_SIDE + 1, 10**30, ABSENT]
NOT_BOXES = [
    [45.0, 34.0, -25.0, 72.0],
    [-25.0, 72.0, 45.0, 34.0],
    [-25.0, 34.0, -25.0, 72.0],
    [-181, 34.0, 45.0, 72.0],
    [-25.0, 34.0, 45.0, 90.001],
    [math.nan, 34.0, 45.0, 72.0],
    [-25.0, math.nan, 45.0, 72.0],
    [-25.0, 34.0, math.inf, 72.0],
    [-25.0, 34.0, 10**400, 72.0],
    ["-25", "34", "45", "72"],
    [-25.0, 34.0, 45.0, True],
    [-25.0, 34.0, 45.0],
    [-25.0, 34.0, 45.0, 72.0, 0.0],
    [],
    {"west": -25.0},
    "-25,34,45,72",
    None,
    ABSENT,
]
NOT_ADDRESSES = [
    "",
    "stream.mp4",
    "/etc/hostname",
    "file:///etc/hostname",
    "ftp://host/stream.mp4",
    "http://",
    "https:///stream.mp4",
    "http://[1/stream.mp4",
    "http://host/a b.mp4",
    "http://host/\nHost: other",
    "http://host/\ud800",
    7,
    None,
    ["http://host/stream.mp4"],
    ABSENT,
]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("nx", NOT_SIDES),
        ("ny", NOT_SIDES),
        ("bbox", NOT_BOXES),
        ("stream_path", NOT_ADDRESSES),
        ("images", [None, {}, "", "images", 7, ABSENT]),
    ],
)
def test_an_absurd_field_is_named(field: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(ServiceError, match=f"metadata('s|) (lacks )?{field}") as caught:
            parse_listing("Europe", answer(**{field: value}))
        assert caught.value.exit_code == 4
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


NOT_NUMBERS = [0, -1, True, 1.0, "1", None, 1 << 31, 10**30, ABSENT]
NOT_DATES = [
    "2021-03-01",
    "2021-03-01T10:00",
    "2021-02-30T10:00:00",
    "2021-03-01T24:00:00",
    "2021-03-01T10:00:00Z",
    "2021-03-01T10:00:00.5",
    "20210301T1000",
    " 2021-03-01T10:00:00",
    "",
    1614592800,
    None,
    ABSENT,
]
NOT_SATELLITES = ["", "S3", "S3E", "S2A", "s3a", "S3AB", "S3A\n", None, 3, ABSENT]
NOT_SCALES = [True, "", "0.5", "high", [], {}, 10**400, ABSENT]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("img_number", NOT_NUMBERS),
        ("img_start_date", NOT_DATES),
        ("satellite", NOT_SATELLITES),
        ("img_min_value", [*NOT_SCALES, 0.95]),
        ("img_max_value", NOT_SCALES),
    ],
)
def test_an_absurd_field_of_an_image_is_named(field: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(ServiceError, match=rf"images\[1\]\.{field}"):
            parse_listing("Europe", answer(images=[image(1), image(2, **{field: value})]))


@pytest.mark.parametrize("entry", [None, 7, "image", [], [1, 2]])
def test_an_image_that_is_no_object_is_named(entry: object) -> None:
    with pytest.raises(ServiceError, match=r"images\[1\] is"):
        parse_listing("Europe", answer(images=[image(1), entry]))


@pytest.mark.parametrize("body", [None, [], "answer", 7])
def test_an_answer_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(ServiceError, match="the answer is"):
        parse_listing("Europe", body)


def test_more_pixels_than_can_be_are_refused() -> None:
    with pytest.raises(ServiceError, match=r"more than the limit of 134217728; .* --max-pixels"):
        parse_listing("Europe", answer(nx=LARGEST_SIDE, ny=LARGEST_SIDE))


@pytest.mark.parametrize("change", [{"img_start_date": "2021-03-05T10:00:00"}, {"img_max_value": 0.5}])
def test_a_number_that_stands_for_two_images_is_refused(change: Answers) -> None:
    with pytest.raises(ServiceError, match="img_number 1 twice"):
        parse_listing("Europe", answer(images=[image(1), image(2), image(1, **change)]))


def test_the_same_image_twice_is_one() -> None:
    empty = image(2, img_min_value=None, img_max_value=None)
    entries = parse_listing("Europe", answer(images=[image(1), empty, image(1), empty])).entries
    assert [entry.number for entry in entries] == [1, 2]


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, math.nan, None, "inf", "-inf", "Infinity", "NaN", "nan"], ids=repr
)
@pytest.mark.parametrize("field", ["img_min_value", "img_max_value"])
def test_an_empty_frame_has_a_scale_that_is_not_finite(field: str, value: object) -> None:
    [entry] = parse_listing("Europe", answer(images=[image(1, **{field: value})])).entries
    assert not entry.scale.is_finite


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 1), (0.5, 0.5), (-1, 1.0)])
def test_a_scale_may_be_any_range(minimum: float, maximum: float) -> None:
    images = [image(1, img_min_value=minimum, img_max_value=maximum)]
    [entry] = parse_listing("Europe", answer(images=images)).entries
    assert entry.scale == Scale(minimum, maximum)
    assert entry.scale.is_finite


# From here on over HTTP.


@pytest.fixture
def europe(server: StandIn, clips: Clips) -> StandIn:
    """The stand-in with a stream of Europe, whose metadata a test may edit."""
    clip = clips(Encoding(lossless=True))
    served(server, clip)
    server.streams["Europe"] = Stream(clip.file, *clip.size, (-25.0, 34.0, 45.0, 72.0), ())
    return server


@pytest.fixture
def token(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> str:
    """A token that is accepted, in the environment."""
    token = server.issue_token()
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    return token


@pytest.fixture
def api(europe: StandIn, token: str) -> MetadataApi:
    return MetadataApi(HttpClient(pause=0.0), europe.api_url, TokenSource())


def said(server: StandIn, body: object) -> None:
    """Let the stand-in answer something else."""
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    server.faults.metadata = lambda _: text


def test_the_metadata_is_asked_for_with_a_token(api: MetadataApi, europe: StandIn, traffic: Traffic) -> None:
    said(europe, answer())
    listing = api.listing("Europe", None, None)
    assert [entry.number for entry in listing.entries] == [1, 2]
    [request] = traffic()
    assert (request.path, request.query, request.authorized) == (
        "/api/streaming/s3/data/metadata/Europe",
        "",
        True,
    )


@pytest.mark.parametrize(
    ("start", "end", "query"),
    [
        (datetime(2021, 1, 1, tzinfo=UTC), None, "start_date=20210101T0000"),
        (None, datetime(2022, 3, 1, 9, 5, 1, tzinfo=UTC), "end_date=20220301T0906"),
        (None, datetime(2022, 3, 1, 9, 5, tzinfo=UTC), "end_date=20220301T0905"),
        (
            datetime(2021, 1, 1, tzinfo=UTC),
            datetime(2022, 3, 1, 23, 59, tzinfo=UTC),
            "start_date=20210101T0000&end_date=20220301T2359",
        ),
    ],
)
def test_dates_are_sent_as_the_service_reads_them(
    api: MetadataApi, traffic: Traffic, start: datetime | None, end: datetime | None, query: str
) -> None:
    assert api.listing("Europe", start, end).entries == ()
    assert traffic()[-1].query == query


@pytest.mark.parametrize("name", ["North America", "a/b", "..", "Europe?x=1", "Åland"])
def test_a_name_is_one_part_of_the_path(api: MetadataApi, traffic: Traffic, name: str) -> None:
    with pytest.raises(ServiceError, match="404"):
        api.listing(name, None, None)
    assert traffic()[-1].query == ""


def test_an_unknown_continent_is_told_with_those_there_are(api: MetadataApi) -> None:
    with pytest.raises(
        ServiceError, match=r"404 Not Found: There is no stream of Atlantis; there are: Europe"
    ):
        api.listing("Atlantis", None, None)


@pytest.mark.parametrize(
    "body",
    ["", "<html>maintenance</html>", "{", b"\xff\xfe", "[" * 100_000, '{"nx": ' + "9" * 5000 + "}"],
    ids=["nothing", "HTML", "cut", "bytes", "deep", "a long number"],
)
def test_an_answer_that_is_not_json_is_told(api: MetadataApi, europe: StandIn, body: str | bytes) -> None:
    said(europe, body)
    with pytest.raises(ServiceError, match="answered something that is not JSON"):
        api.listing("Europe", None, None)


def test_python_style_json_is_read(api: MetadataApi, europe: StandIn) -> None:
    said(europe, answer(images=[image(1, img_min_value=math.inf, img_max_value=-math.inf), image(2)]))
    first, second = api.listing("Europe", None, None).entries
    assert (first.scale.is_finite, second.scale.is_finite) == (False, True)


def drops(server: StandIn) -> None:
    server.faults.drop_connections = 2


def errs(server: StandIn) -> None:
    server.faults.server_errors = 3


@pytest.mark.parametrize("fault", [drops, errs])
def test_a_passing_failure_is_overcome(
    api: MetadataApi, europe: StandIn, fault: Callable[[StandIn], None]
) -> None:
    fault(europe)
    assert api.listing("Europe", None, None).columns == 67


def test_a_lasting_failure_is_told(api: MetadataApi, europe: StandIn) -> None:
    europe.faults.server_errors = -1
    with pytest.raises(ServiceError, match="500 Internal Server Error: Internal error") as caught:
        api.listing("Europe", None, None)
    assert caught.value.exit_code == 4


def test_lost_connections_are_told(api: MetadataApi, europe: StandIn) -> None:
    europe.faults.drop_connections = -1
    with pytest.raises(ServiceError, match="cannot be reached"):
        api.listing("Europe", None, None)


def test_an_account_without_access_is_told(api: MetadataApi, europe: StandIn) -> None:
    europe.faults.forbidden = True
    with pytest.raises(
        LoginError, match=r"403 Forbidden: User is not in the group .*; ask for access"
    ) as caught:
        api.listing("Europe", None, None)
    assert caught.value.exit_code == 3


def test_a_refused_token_that_cannot_be_replaced_is_told(
    api: MetadataApi, europe: StandIn, traffic: Traffic, token: str
) -> None:
    europe.faults.always_unauthorized = True
    with pytest.raises(LoginError, match="refuses the access token") as caught:
        api.listing("Europe", None, None)
    assert caught.value.exit_code == 3
    assert token not in str(caught.value)
    assert len(traffic()) == 1


def in_file(server: StandIn, file: Path) -> MetadataApi:
    file.touch(0o600)
    file.write_text(server.issue_token())
    return MetadataApi(HttpClient(pause=0.0), server.api_url, TokenSource(file))


def test_a_token_that_has_expired_is_read_again_once(
    europe: StandIn, traffic: Traffic, tmp_path: Path
) -> None:
    api = in_file(europe, tmp_path / "token")
    api.listing("Europe", None, None)
    europe.revoke_tokens()
    (tmp_path / "token").write_text(europe.issue_token())
    api.listing("Europe", None, None)
    assert [request.status for request in traffic()] == [200, 401, 200]


def test_an_answer_that_is_too_long_is_refused(europe: StandIn, tmp_path: Path) -> None:
    europe.faults.metadata = lambda body: "[" + "{}," * 2_800_000 + "{}]"
    with pytest.raises(ServiceError, match="/Europe answered more than 8388608 bytes; check that this is"):
        in_file(europe, tmp_path / "token").listing("Europe", None, None)


def test_a_new_token_that_is_refused_too_is_told(europe: StandIn, traffic: Traffic, tmp_path: Path) -> None:
    api = in_file(europe, tmp_path / "token")
    api.listing("Europe", None, None)
    europe.faults.always_unauthorized = True
    (tmp_path / "token").write_text(europe.issue_token())
    with pytest.raises(LoginError, match="401 Unauthorized: Token is not active; check the account"):
        api.listing("Europe", None, None)
    assert [request.status for request in traffic()] == [200, 401, 401]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"detail": "no such\\nband"}', "400 Bad Request: no such band; "),
        (b'{"message": "a"}', "Request: a; "),
        (b'{"error": "b", "detail": ""}', "Request: b; "),
        (b'{"detail": [{"loc": ["query"], "msg": "bad"}]}', "Request: [{'loc': ['query'], 'msg': 'bad'}]; "),
        (b"<html><h1>Sorry</h1>\r\n<p>\x1b[31mdown</p>", r"Request: Sorry \x1b[31mdown; "),
        (b"[1, 2]", "Request: [1, 2]; "),
        (b"[" * 100_000, "Request: [[["),
        (b"", "Request; "),
        (b"\xff\xfe\x00", r"Request: ��\x00; "),
        (b"x" * 5000, f"Request: {'x' * 200}; "),
    ],
    ids=["detail", "message", "error", "list", "HTML", "no object", "deep", "nothing", "bytes", "long"],
)
def test_what_an_error_says_is_shown_in_one_line(token: str, body: bytes, shown: str) -> None:
    with scripted(lambda path, bytes_asked: Answer(400, {}, body)) as url:
        api = MetadataApi(HttpClient(pause=0.0), url, TokenSource())
        with pytest.raises(ServiceError) as caught:
            api.listing("Europe", None, None)
    assert shown in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_token_is_not_repeated(token: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="etl")
    body = json.dumps({"detail": f"Bearer {token} is not welcome"}).encode()
    with scripted(lambda path, bytes_asked: Answer(400, {}, body)) as url:
        api = MetadataApi(HttpClient(pause=0.0), f"{url}/?key=secret", TokenSource())
        with pytest.raises(ArchiveError, match=r"Bearer \(token\) is not welcome") as caught:
            api.listing("Europe", None, None)
    assert token not in f"{caught.value}{caplog.text}"
    assert "secret" not in f"{caught.value}{caplog.text}"


@pytest.mark.parametrize(
    "url", ["", "host/api", "file:///api", "ftp://host", "http://", "http://a b", "http://["]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not an http or https address"):
        MetadataApi(HttpClient(), url, TokenSource())
