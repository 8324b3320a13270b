"""The metadata of the service, dialect "continent": asked for, validated, made into values."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from pydantic_core import from_json

from etl.errors import LoginError, ServiceError, UsageError
from etl.extract.auth import TokenSource
from etl.extract.frame import FrameEntry, Scale
from etl.extract.http import HttpClient, without_query
from etl.text import one_line

log = logging.getLogger(__name__)

DEFAULT_API_URL = "https://streamer.destine.eu/api"

LARGEST_SIDE = 1 << 16
DEFAULT_MAX_PIXELS = 1 << 27
"""Most pixels of a frame, 134 million, unless more are allowed; real ones have fewer than 80 million."""

_QUERY_DATE = "%Y%m%dT%H%M"
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC) - timedelta(minutes=2)
_LONGEST_ANSWER = 1 << 23
"""Bytes of an answer: more than 50,000 frames, 75 years of two a day."""
_TOKEN = re.compile(rb"[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}")
"""What looks like a JSON Web Token: three parts in base64."""


@dataclass(frozen=True)
class Listing:
    """What the service has of a continent between two dates.

    Attributes:
        continent: the name by which the service knows the continent.
        columns: pixels of every frame, west to east.
        rows: pixels of every frame, north to south.
        bbox: (west, south, east, north), EPSG:4326, outer edges.
        stream_url: http or https address of the video; it may be signed and expire.
        entries: the frames in the order of the answer, each number once.
    """

    continent: str
    columns: int
    rows: int
    bbox: tuple[float, float, float, float]
    stream_url: str
    entries: tuple[FrameEntry, ...]


class MetadataApi:
    """Client of the metadata service."""

    def __init__(
        self,
        client: HttpClient,
        api_url: str,
        tokens: TokenSource,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """Describe the service; nothing is requested yet.

        Args:
            client: the session to use.
            api_url: address of the API, such as `https://streamer.destine.eu/api`.
            tokens: where the access token comes from.
            max_pixels: most pixels a frame may have.

        Raises:
            UsageError: The address is not an http or https address.
        """
        if not _is_web_address(api_url):
            raise UsageError(
                f"{_without_secrets(api_url)!r} is not an http or https address", "check --api-url"
            )
        self._client = client
        self._url = api_url.rstrip("/")
        self._tokens = tokens
        self._max_pixels = max_pixels

    def listing(self, continent: str, start: datetime | None, end: datetime | None) -> Listing:
        """Ask for the frames of a continent.

        Args:
            continent: its name, such as `Europe`.
            start: first time, UTC; None is the first frame there is.
            end: last time, UTC; None is the newest frame there is.

        Raises:
            LoginError: No token can be had, or the account may not use the service.
            ServiceError: The service fails, does not know the continent, or answers something absurd.
        """
        url = f"{self._url}/streaming/s3/data/metadata/{quote(continent, safe='')}"
        dates = {"start_date": start, "end_date": None if end is None else _next_minute(end)}
        params = {name: f"{date:{_QUERY_DATE}}" for name, date in dates.items() if date is not None}
        response, body = self._client.whole(lambda: self._ask(url, params), _LONGEST_ANSWER)
        if response.status_code != requests.codes.ok:
            raise self._refusal(without_query(url), response, body)
        try:
            answer = from_json(body)
        except ValueError:
            raise ServiceError(
                f"{without_query(url)} answered something that is not JSON", "check --api-url"
            ) from None
        return parse_listing(continent, answer, self._max_pixels)

    def _ask(self, url: str, params: dict[str, str]) -> requests.Response:
        response = self._get(url, params, self._tokens.token())
        if response.status_code == requests.codes.unauthorized:
            log.info("the access token is refused; getting another one")
            response.close()
            response = self._get(url, params, self._tokens.renew())
        return response

    def _get(self, url: str, params: dict[str, str], token: str) -> requests.Response:
        return self._client.get(url, params=params, headers={"Authorization": f"Bearer {token}"})

    def _refusal(self, url: str, response: requests.Response, body: bytes) -> LoginError | ServiceError:
        body = _TOKEN.sub(b"(token)", body.replace(self._tokens.token().encode(), b"(token)"))
        said = _explanation(body)
        what = f"{url} answered {response.status_code} {response.reason}{said}"
        if response.status_code == requests.codes.unauthorized:
            return LoginError(what, "check the account or the token")
        if response.status_code == requests.codes.forbidden:
            return LoginError(what, "ask for access to the Sentinel-3 streams: the account has none")
        if response.status_code == requests.codes.not_found:
            return ServiceError(what, "check the continent's name and --api-url")
        return ServiceError(what, "run the command again; if it stays so, report it to the service")


def parse_listing(continent: str, answer: object, max_pixels: int = DEFAULT_MAX_PIXELS) -> Listing:
    """Validate the body of an answer.

    Args:
        continent: the name by which the service knows the continent.
        answer: what it answered.
        max_pixels: most pixels a frame may have.

    Raises:
        ServiceError: Something is missing or absurd; the message names the field.
    """
    if not isinstance(answer, Mapping):
        raise _absurd("the answer", answer, "an object")
    columns, rows = (_side(answer, name) for name in ("nx", "ny"))
    if columns * rows > max_pixels:
        raise ServiceError(
            f"a frame has {columns} × {rows} pixels by the metadata, more than the limit of {max_pixels}",
            "if that is right, allow it with --max-pixels",
        )
    images = _field(answer, "images")
    if not isinstance(images, Sequence) or isinstance(images, str):
        raise _absurd("images", images, "a list")
    entries = _without_repetitions([_entry(image, f"images[{index}]") for index, image in enumerate(images)])
    stream_url = _field(answer, "stream_path")
    if not isinstance(stream_url, str) or not _is_web_address(stream_url):
        raise _absurd("stream_path", _without_secrets(stream_url), "an http or https address")
    return Listing(continent, columns, rows, _bbox(answer), stream_url, entries)


def _field(holder: Mapping[str, Any], name: str, where: str = "") -> Any:  # noqa: ANN401 - JSON
    if name not in holder:
        raise ServiceError(f"the metadata lacks {where}{name}", "report it to the service")
    return holder[name]


def _absurd(name: str, value: object, expected: str) -> ServiceError:
    shown = repr(value)
    shown = f"{shown[:60]}…" if len(shown) > 60 else shown
    return ServiceError(f"the metadata's {name} is {shown}, not {expected}", "report it to the service")


def _side(answer: Mapping[str, Any], name: str) -> int:
    value = _field(answer, name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_SIDE:
        raise _absurd(name, value, f"a number of pixels from 1 to {LARGEST_SIDE}")
    return value


def _bbox(answer: Mapping[str, Any]) -> tuple[float, float, float, float]:
    value = _field(answer, "bbox")
    expected = "[west, south, east, north] in degrees with west < east and south < north"
    if not isinstance(value, list) or len(value) != 4:
        raise _absurd("bbox", value, expected)
    if not all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in value):
        raise _absurd("bbox", value, expected)
    west, south, east, north = value
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise _absurd("bbox", value, expected)
    return float(west), float(south), float(east), float(north)


def _entry(image: object, where: str) -> FrameEntry:
    if not isinstance(image, Mapping):
        raise _absurd(where, image, "an object")
    where += "."
    number = _field(image, "img_number", where)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 1 << 31:
        raise _absurd(f"{where}img_number", number, "a number from 1")
    satellite = _field(image, "satellite", where)
    if not isinstance(satellite, str) or not re.fullmatch("S3[A-D]", satellite):
        raise _absurd(f"{where}satellite", satellite, "S3A, S3B, S3C or S3D")
    date = _field(image, "img_start_date", where)
    try:
        time = datetime.strptime(date, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except (TypeError, ValueError):
        raise _absurd(f"{where}img_start_date", date, "a date such as 2021-01-31T10:02:59") from None
    if time < _EARLIEST:
        raise _absurd(f"{where}img_start_date", date, "a time at which a frame can have been taken")
    minimum, maximum = (_scale_value(image, name, where) for name in ("img_min_value", "img_max_value"))
    if isfinite(minimum) and isfinite(maximum) and minimum > maximum:
        raise _absurd(f"{where}img_min_value", minimum, f"at most img_max_value ({maximum:g})")
    return FrameEntry(number, time, satellite, Scale(minimum, maximum))


def _scale_value(image: Mapping[str, Any], name: str, where: str) -> float:
    """A number; what stands for "no data" becomes an infinity or NaN."""
    value = _field(image, name, where)
    if value is None:
        return float("nan")
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise _absurd(f"{where}{name}", value, "a number") from None
    if isinstance(value, str) and isfinite(number):
        raise _absurd(f"{where}{name}", value, "a number")
    return number


def _without_repetitions(entries: Sequence[FrameEntry]) -> tuple[FrameEntry, ...]:
    """Each entry once; a number that stands for two frames is refused: no one could tell which it is."""
    by_number: dict[int, FrameEntry] = {}
    for entry in entries:
        other = by_number.setdefault(entry.number, entry)
        if str(other) != str(entry) or not other.scale.is_same(entry.scale):
            raise ServiceError(
                f"the metadata lists img_number {entry.number} twice: {other} and {entry}",
                "report it to the service, or leave that day out with --start / --end",
            )
    return tuple(by_number.values())


def _next_minute(date: datetime) -> datetime:
    """The same time, rounded up to a whole minute: the service knows no seconds."""
    whole = date.replace(second=0, microsecond=0)
    return whole if whole == date or date > _LATEST else whole + timedelta(minutes=1)


def _without_secrets(url: object) -> object:
    """What may be shown of something that should be an address."""
    try:
        return without_query(url) if isinstance(url, str) else url
    except ValueError:
        return "…"


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        return False


def _explanation(body: bytes) -> str:
    """What an error's body says, in one short line."""
    text = body[:2000].decode(errors="replace")
    try:
        answer = from_json(body)
        text = str(answer.get("detail") or answer.get("message") or answer.get("error") or "")
    except (ValueError, AttributeError):
        text = re.sub("<[^>]*>", " ", text)
    line = one_line(text)[:200]
    return f": {line}" if line else ""
