"""Whether this installation, this account and this place can archive, asked before a first run."""

import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, requires, version
from time import monotonic
from typing import Literal

import av
from humanize import naturaldelta
from packaging.requirements import Requirement

from etl import __version__
from etl.errors import ArchiveError, ServiceError
from etl.extract.api import Listing
from etl.extract.auth import TokenSource
from etl.extract.decoder import check_decoder
from etl.extract.http import HttpClient, without_query
from etl.extract.service import ContinentService
from etl.load.inventory import folder_of, read_inventory
from etl.load.trial import try_writing
from etl.pipeline.asking import ask
from etl.pipeline.job import Job, place, service_of
from etl.report import frames, size

log = logging.getLogger(__name__)

State = Literal["ok", "failed", "skipped"]

_PAUSE = 0.1
"""Seconds before a second retry: somebody is waiting."""

_LARGEST_SKEW = timedelta(minutes=1)
"""Between this machine's clock and the service's; access tokens live for minutes."""


@dataclass(frozen=True)
class Outcome:
    """How a check ended.

    Attributes:
        check: its name.
        state: `skipped` where it could not be made, or was not asked for.
        told: what was found, or what is wrong and what to do.
        exit_code: of the class of the error; 0 where there is none.
    """

    check: str
    state: State
    told: str
    exit_code: int = 0


class _Skipped(Exception):  # noqa: N818 - it is no error
    """A check is not made, and why."""


def checks(job: Job) -> Iterator[Outcome]:
    """Make all checks, by what a conversion uses; nothing is archived, and nothing left behind.

    Args:
        job: what would be archived, and where; its archive is the empty string where none is to be checked.

    Yields:
        How each ended, as soon as it has. One that needs another that failed is skipped.

    Raises:
        UsageError: The continent or the API's address is none.
    """
    folder_of(job.continent)
    client, tokens = HttpClient(_PAUSE), TokenSource(job.token_file)
    # On one thread the first frame is decoded without those behind it.
    with closing(service_of(replace(job, threads=1), tokens, client)) as service:
        asked = _Checks(job, service, tokens, client)
        steps: tuple[tuple[str, Callable[[], str], tuple[str, ...]], ...] = (
            ("versions", asked.versions, ()),
            ("decoder", asked.decoder, ()),
            ("service", asked.service, ()),
            ("clock", asked.clock, ("service",)),
            ("login", asked.login, ()),
            ("account", asked.account, ("service", "login")),
            ("stream", asked.stream, ("decoder", "account")),
            ("archive", asked.archive, ()),
        )
        not_made: set[str] = set()
        for name, check, needed in steps:
            missing = [each for each in needed if each in not_made]
            if missing:
                outcome = Outcome(name, "skipped", f"not checked, as it needs {' and '.join(missing)}")
            else:
                outcome = _made(name, check)
            if outcome.state != "ok":
                not_made.add(name)
            yield outcome


def _made(name: str, check: Callable[[], str]) -> Outcome:
    try:
        return Outcome(name, "ok", check())
    except _Skipped as why:
        return Outcome(name, "skipped", str(why))
    except ArchiveError as error:
        log.debug("%s failed", name, exc_info=True)
        return Outcome(name, "failed", str(error), error.exit_code)


class _Checks:
    """The checks; each returns what it found, and some use what those before have found."""

    def __init__(self, job: Job, service: ContinentService, tokens: TokenSource, client: HttpClient) -> None:
        self._job = job
        self._service = service
        self._tokens = tokens
        self._client = client
        self._skew: timedelta | None = None
        self._listing: Listing | None = None

    def versions(self) -> str:
        wrong = list(_unfit())
        if wrong:
            raise ArchiveError(
                ", ".join(wrong), "run pip install --upgrade ndvi-archive in a fresh environment"
            )
        return (
            f"ndvi-archive {__version__}, Python {platform.python_version()},"
            f" PyAV {av.__version__} with FFmpeg {av.ffmpeg_version_info}"
        )

    def decoder(self) -> str:
        check_decoder()
        return "12-bit HEVC is decoded exactly"

    def service(self) -> str:
        url = without_query(self._job.api_url)
        response = self._client.get(self._job.api_url)
        response.close()
        if response.status_code >= 500 or response.status_code == 429:
            raise ServiceError(
                f"{url} answered {response.status_code} {response.reason}", "try it again later"
            )
        with suppress(ValueError):
            told = parsedate_to_datetime(response.headers.get("Date", ""))
            self._skew = datetime.now(UTC) - told.astimezone(UTC)
        return f"{url} answers"

    def clock(self) -> str:
        if self._skew is None:
            raise _Skipped("not checked, as the service does not tell the time")
        if abs(self._skew) > _LARGEST_SKEW:
            side = "ahead of" if self._skew > timedelta() else "behind"
            raise ArchiveError(
                f"this machine's clock is {naturaldelta(self._skew)} {side} the service's",
                "set it, or let NTP do so: logins and signed requests depend on it",
            )
        return "agrees with the service's"

    def login(self) -> str:
        self._tokens.token()
        return self._tokens.origin

    def account(self) -> str:
        self._listing = listing = ask(self._job, self._service, None)
        times = [entry.time for entry in listing.entries]
        what = f"{frames(len(times))} of {listing.columns} × {listing.rows} pixels"
        dates = f"{min(times):%Y-%m-%d} to {max(times):%Y-%m-%d}"
        return f"may use {self._job.continent}: {what}, {dates}"

    def stream(self) -> str:
        assert self._listing is not None  # noqa: S101 - found by the check before
        # The beginning of the stream is a key frame: no other need be decoded first.
        first = min(self._listing.entries, key=lambda entry: entry.number)
        received, begun = self._service.bytes_received, monotonic()
        with closing(self._service.frames(self._listing, [first])) as decoded:
            frame = next(decoded)
        taken = f"{size(self._service.bytes_received - received)} read, {monotonic() - begun:.1f} s"
        return f"{first} decoded, {frame.bits} bits; {taken}"

    def archive(self) -> str:
        if not self._job.archive:
            raise _Skipped("not checked; name it with --archive")
        store, folder = place(self._job)
        inventory = read_inventory(store, folder)
        try_writing(store, folder)
        held = f"holds {frames(len(inventory))} of {inventory.continent}, " if inventory else ""
        return f"{held}can be written: {store}"


def _unfit() -> Iterator[str]:
    """The libraries that are not as this version of the program needs them."""
    try:
        needed = [Requirement(each) for each in requires("ndvi-archive") or ()]
    except PackageNotFoundError:
        # Run from its sources.
        return
    for each in needed:
        if each.marker and not each.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(each.name)
        except PackageNotFoundError:
            yield f"{each.name} is not installed"
            continue
        if not each.specifier.contains(found, prereleases=True):
            yield f"{each.name} is {found}, not {each.specifier}"
