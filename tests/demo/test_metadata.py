import math
import socket
from datetime import date
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from etl.demo.scene import scene
from etl.demo.service import Image, StandIn, Stream, publish

from .client import ask_metadata, get_stream
from .conftest import EUROPE


def test_metadata_describes_the_stream(stand_in: StandIn, stream: Stream) -> None:
    body = ask_metadata(stand_in).json()
    assert body.keys() == {"stream_path", "nx", "ny", "bbox", "images"}
    assert (body["nx"], body["ny"], body["bbox"]) == (96, 64, list(EUROPE))
    assert body["stream_path"].startswith(stand_in.url)
    first = stream.images[0]
    assert body["images"][0] == {
        "img_number": 1,
        "img_start_date": str(first.time),
        "img_min_value": first.minimum,
        "img_max_value": first.maximum,
        "satellite": "S3A",
    }
    assert len(body["images"]) == 8


@pytest.mark.parametrize(
    ("dates", "numbers"),
    [
        ((None, None), [1, 2, 3, 4, 5, 6, 7, 8]),
        (("20240603T0000", None), [5, 6, 7, 8]),
        ((None, "20240602T1015"), [1, 2, 3]),
        (("20240602T1015", "20240603T1015"), [4, 5]),
        (("20250101T0000", None), []),
    ],
)
def test_dates_select_images_that_keep_their_numbers(
    stand_in: StandIn, dates: tuple[str | None, str | None], numbers: list[int]
) -> None:
    images = ask_metadata(stand_in, start_date=dates[0], end_date=dates[1]).json()["images"]
    assert [image["img_number"] for image in images] == numbers


def test_dates_are_inclusive(stand_in: StandIn, stream: Stream) -> None:
    whole_minute = stream.images[0].time.astype("datetime64[m]").astype("datetime64[s]")
    on_the_minute = Image(1, whole_minute, "S3A", 0.0, 1.0)
    stand_in.streams["Europe"] = Stream(stream.file, 96, 64, EUROPE, (on_the_minute,))
    text = whole_minute.item().strftime("%Y%m%dT%H%M")
    assert len(ask_metadata(stand_in, start_date=text, end_date=text).json()["images"]) == 1


@pytest.mark.parametrize("text", ["2024-06-01", "20240601", "20241301T0000", ""])
def test_bad_dates_are_refused(stand_in: StandIn, text: str) -> None:
    answer = ask_metadata(stand_in, start_date=text)
    assert answer.status_code == 400
    assert "start_date" in answer.json()["detail"]


def test_an_unknown_continent_is_told(stand_in: StandIn) -> None:
    answer = ask_metadata(stand_in, continent="Atlantis")
    assert answer.status_code == 404
    assert "Europe" in answer.json()["detail"]


def test_a_stream_can_grow_while_the_service_runs(stand_in: StandIn, tmp_path: Path) -> None:
    before = get_stream(stand_in)
    stand_in.streams["Europe"] = publish(scene(96, 64, EUROPE, date(2024, 6, 1), 5), tmp_path, EUROPE)
    assert len(ask_metadata(stand_in).json()["images"]) == 10
    after = get_stream(stand_in)
    assert after.url == before.url
    assert after.headers["ETag"] != before.headers["ETag"]


def test_names_of_continents_may_hold_spaces(stream: Stream) -> None:
    with StandIn({"North America": stream}, signed_urls=True) as service:
        url = ask_metadata(service, continent="North America").json()["stream_path"]
        assert get_stream(service, url=url).status_code == 200


def test_requests_are_logged_without_their_secrets(stand_in: StandIn) -> None:
    answer = ask_metadata(stand_in, start_date="20240603T0000")
    [request] = stand_in.requests
    assert (
        request.method,
        request.path,
        request.query,
        request.authorized,
        request.status,
        request.sent,
    ) == (
        "GET",
        "/api/streaming/s3/data/metadata/Europe",
        "start_date=20240603T0000",
        True,
        200,
        len(answer.content),
    )


def test_too_many_requests_say_when_to_return(stand_in: StandIn) -> None:
    stand_in.faults.too_many_requests = 2
    stand_in.faults.retry_after = 7
    answers = [ask_metadata(stand_in) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "7"


def test_server_errors_end_after_their_number(stand_in: StandIn) -> None:
    stand_in.faults.server_errors = 1
    assert [ask_metadata(stand_in).status_code for _ in range(2)] == [500, 200]


def test_a_negative_number_of_errors_never_ends(stand_in: StandIn) -> None:
    stand_in.faults.server_errors = -1
    assert {ask_metadata(stand_in).status_code for _ in range(5)} == {500}


def test_connections_are_dropped_without_an_answer(stand_in: StandIn) -> None:
    stand_in.faults.drop_connections = 1
    with pytest.raises(requests.ConnectionError):
        ask_metadata(stand_in)
    assert ask_metadata(stand_in).status_code == 200
    assert [request.status for request in stand_in.requests] == [None, 200]


def test_silent_connections_time_out(stand_in: StandIn) -> None:
    stand_in.faults.silent_metadata = 1
    with pytest.raises(requests.ReadTimeout):
        ask_metadata(stand_in, timeout=0.1)
    assert ask_metadata(stand_in).status_code == 200


def answers(service: StandIn, path: str, count: int) -> list[int]:
    """The numbers of the first answers to a GET, as they stand on the wire."""
    with (
        socket.create_connection(("127.0.0.1", urlsplit(service.url).port or 0), 10) as connection,
        connection.makefile("rb") as lines,
    ):
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        numbers = (int(line.split()[1]) for line in lines if line.startswith(b"HTTP/1.1 "))
        return list(islice(numbers, count))


def test_interim_answers_can_come_before_each_answer(stand_in: StandIn) -> None:
    stand_in.faults.interim_before = 5
    assert answers(stand_in, "/streams/Europe/none.mp4", 6) == [100, 102, 103, 100, 102, 404]


def test_interim_answers_can_go_on_for_ever(stand_in: StandIn) -> None:
    stand_in.faults.interim_answers = 1
    assert set(answers(stand_in, "/streams/Europe/none.mp4", 10_000)) == {100, 102, 103}
    assert answers(stand_in, "/streams/Europe/none.mp4", 1) == [404]


def test_interim_answers_come_for_the_files_that_faults_apply_to(stand_in: StandIn) -> None:
    stand_in.faults.interim_before, stand_in.faults.files = 1, "*.ts"
    assert answers(stand_in, "/streams/Europe/none.mp4", 1) == [404]
    assert answers(stand_in, "/streams/Europe/none.ts", 1) == [100]


def test_tokens_stop_being_accepted_until_a_new_one_comes(stand_in: StandIn) -> None:
    stand_in.faults.unauthorized_after = 2
    old = stand_in.issue_token()
    assert [ask_metadata(stand_in, old).status_code for _ in range(4)] == [200, 200, 401, 401]
    assert ask_metadata(stand_in, stand_in.issue_token()).status_code == 200


def test_no_token_may_be_good_enough(stand_in: StandIn) -> None:
    stand_in.faults.always_unauthorized = True
    assert ask_metadata(stand_in).status_code == 401
    stand_in.faults.always_unauthorized = False
    stand_in.faults.forbidden = True
    assert ask_metadata(stand_in).status_code == 403


def test_metadata_can_claim_another_size(stand_in: StandIn) -> None:
    stand_in.faults.wrong_size = (10, 20)
    body = ask_metadata(stand_in).json()
    assert (body["nx"], body["ny"]) == (10, 20)


def test_scales_of_empty_frames_are_written_as_python_does(stand_in: StandIn) -> None:
    stand_in.faults.nonfinite_scales = {2: (math.inf, -math.inf), 3: (math.nan, None), 4: ("inf", "-inf")}
    text = ask_metadata(stand_in).text
    assert '"img_min_value": Infinity, "img_max_value": -Infinity' in text
    assert '"img_min_value": NaN, "img_max_value": null' in text
    assert '"img_min_value": "inf", "img_max_value": "-inf"' in text


def test_both_satellites_can_share_a_second(stand_in: StandIn) -> None:
    stand_in.faults.repeat_dates = True
    images = ask_metadata(stand_in).json()["images"]
    assert [image["img_start_date"] for image in images[::2]] == [
        image["img_start_date"] for image in images[1::2]
    ]
    assert len({image["img_start_date"] for image in images}) == 4


def test_any_other_answer_can_be_made(stand_in: StandIn) -> None:
    stand_in.faults.metadata = lambda body: body | {"images": []}
    assert ask_metadata(stand_in).json()["images"] == []
    stand_in.faults.metadata = lambda body: "<html>maintenance</html>"
    assert ask_metadata(stand_in).text == "<html>maintenance</html>"
