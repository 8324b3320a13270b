"""The configuration of nightly runs: a TOML file, checked as a whole before anything is done."""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from etl.errors import UsageError
from etl.load.addresses import folder_at
from etl.load.inventory import folder_of
from etl.load.schema import Layout
from etl.plan import Duplicates

Result = TypeVar("Result")

MOST_AT_ONCE = 16
"""So many continents may be archived at once."""

DEFAULT_DEADLINE = 12 * 3600.0
"""Seconds that one run of one continent may take where no `deadline` is set.

One that hangs is over before the next night, unless its verification hangs too; one that has more to do, as
in the first nights of a new archive, goes on in the next night.
"""

LARGEST_FILE = 1 << 16
"""Bytes that a configuration may have: a hundred continents with every option take less."""

LONGEST_LINE = 1 << 12
"""Letters of a line, as many as of a path; a dotted key as long takes 0.2 s, one of 64 KiB 40 s."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SECRET = re.compile("pass|pasw|token|secret|credential|user|api_?key", re.IGNORECASE)
_NO_SECRETS = (
    "secrets do not belong in this file: set DESPAUTH_USER and DESPAUTH_PASSWORD, or NDVI_ARCHIVE_TOKEN,"
    " in the environment, or name a file with token_file"
)

_WORDS = {
    "missing": "is missing",
    "too_short": "there must be at least one",
    "model_type": "must be a table",
    "date_type": "must be a date such as 2021-01-31, without quotes or a time of day",
}
"""What Pydantic says in words of its own, by its type of error."""

_OWN = ("refused", "duration", "path", "folder", "url", "secret")
"""Types of the errors raised here; they say it all."""


class ConfigError(UsageError):
    """A configuration cannot be used.

    Attributes:
        problems: all that is wrong with it, each with the key it is about.
    """

    def __init__(self, path: Path, problems: Iterable[str], remedy: str = "correct the file") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        what = self.problems[0] if count == 1 else f"{count} errors"
        super().__init__(f"{path}: {what}", remedy)


def _told(value: str, read: Callable[[str], Result]) -> Result:
    """What is read of a value, unless it is refused; Pydantic does not take our errors as what they are."""
    try:
        return read(value)
    except UsageError as error:
        raise PydanticCustomError("refused", "{what}", {"what": error.what}) from None


def _name(value: str) -> str:
    _told(value, folder_of)
    return value


def _seconds(value: object) -> object:
    """A duration such as `"90m"` in seconds; numbers are seconds."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([smhd])", value.strip())
    if not found:
        raise PydanticCustomError("duration", 'must be a number of seconds, or such as "90m" or "6h"')
    return float(found[1]) * _UNITS[found[2]]


def _beside_the_file(value: object, info: ValidationInfo) -> object:
    """A path; a relative one is relative to the configuration's folder."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise PydanticCustomError("path", "must be the name of a file or folder")
    try:
        return (info.context or Path()) / Path(value).expanduser()
    except RuntimeError:
        raise PydanticCustomError("path", "names a home that is not known") from None


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise PydanticCustomError("folder", "there is no folder {path}", {"path": str(path)})
    return path


def _file(path: Path) -> Path:
    if not path.exists():
        raise PydanticCustomError("folder", "there is no file {path}", {"path": str(path)})
    return path


def _in_a_folder(path: Path) -> Path:
    _folder(path.parent)
    return path


def _archive(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return str(_beside_the_file(value, info))
    folder = _told(value, folder_at)
    return value if folder is None else str(_beside_the_file(str(folder), info))


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and value.isprintable()
    except ValueError:
        usable = False
    if not usable:
        raise PydanticCustomError("url", "must be an http or https address")
    if parts.username or parts.password:
        raise PydanticCustomError("secret", _NO_SECRETS)
    return value


Seconds = Annotated[float, BeforeValidator(_seconds)]
FilePath = Annotated[Path, BeforeValidator(_beside_the_file)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Settings(_Table):
    """Options of `convert` that can be given for all continents, and for one of them; None is its default.

    Attributes:
        layout: layout of a new archive.
        overviews: whether a new archive gets overviews.
        templates: folder of the catalog's templates.
        items: which STAC items the catalog has.
        deadline: longest time one run of one continent may take, in seconds; 12 hours where none is set.
        stale_after: days after which the newest frame is too old.
        settle: days a frame's time must be past before it is archived.
        optimize: extend the series for reading along time, once the new frames are archived.
        commit_frames: most frames between two commits.
        commit_seconds: longest time between two commits, in seconds.
        duplicates: what is done about two frames of one satellite at one time.
        max_pixels: most pixels a frame may have.
        workers: processes that share the frames.
        scheduler: address of a Dask scheduler.
        threads: threads that decode, and as many again that encode and write.
    """

    layout: Layout | None = None
    overviews: bool | None = None
    templates: Annotated[FilePath, AfterValidator(_folder)] | None = None
    items: Literal["none", "frame"] | None = None
    deadline: Annotated[Seconds, Field(gt=0, le=1e7)] | None = None
    stale_after: Annotated[float, Field(ge=0, le=36500)] | None = None
    settle: Annotated[float, Field(ge=0, le=36500)] | None = None
    commit_frames: Annotated[int, Field(gt=0)] | None = None
    commit_seconds: Annotated[Seconds, Field(ge=0, le=1e7)] | None = None
    optimize: bool | None = None
    duplicates: Duplicates | None = None
    max_pixels: Annotated[int, Field(gt=0)] | None = None
    workers: Annotated[int, Field(gt=0)] | None = None
    scheduler: str | None = None
    threads: Annotated[int, Field(gt=0)] | None = None


class Continent(Settings):
    """One continent and what is special about it.

    Attributes:
        name: the name by which the service knows the continent.
        first_date: first day to archive, UTC; None is the first the service has.
    """

    name: Annotated[str, AfterValidator(_name)]
    first_date: Annotated[date, Field(ge=date(1990, 1, 1))] | None = None


class Config(Settings):
    """What is archived every night, and where.

    Attributes:
        archive: address of the archive.
        continents: the continents, in the order they are archived in.
        api_url: address of the service's API.
        token_file: file with an access token.
        public_url: address at which the archive is published.
        wait: seconds to wait for another run that is writing; infinite is any time.
        parallel: continents archived at once.
        verify_source: frames of each continent to decode again and compare once it is archived; None: none.
        metrics: file for Prometheus.
    """

    deadline: Annotated[Seconds, Field(gt=0, le=1e7)] = DEFAULT_DEADLINE
    archive: Annotated[str, BeforeValidator(_archive)]
    continents: Annotated[list[Continent], Field(min_length=1)]
    api_url: Annotated[str, AfterValidator(_web_address)] | None = None
    token_file: Annotated[FilePath, AfterValidator(_file)] | None = None
    public_url: Annotated[str, AfterValidator(_web_address)] | None = None
    wait: Annotated[Seconds, Field(ge=0)] | None = None
    parallel: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 1
    verify_source: Annotated[int, Field(gt=0)] | None = None
    metrics: Annotated[FilePath, AfterValidator(_in_a_folder)] | None = None

    def settings(self, continent: Continent) -> dict[str, Any]:
        """What is set for a continent, by itself or for all: option of `convert` → value."""
        own = {name: getattr(continent, name) for name in Settings.model_fields}
        every = {
            name: getattr(self, name)
            for name in (*Settings.model_fields, "api_url", "token_file", "public_url", "wait")
        }
        merged = every | {name: value for name, value in own.items() if value is not None}
        return {name: value for name, value in merged.items() if value is not None}


def load_config(path: Path) -> Config:
    """Read and check a configuration.

    Raises:
        ConfigError: It cannot be read, or something in it cannot be used; all of that is told at once.
    """
    try:
        document = tomllib.loads(_text(path))
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"], "check --config") from None
    except UnicodeDecodeError:
        raise ConfigError(path, ["is not UTF-8 text"]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(path, [f"is not TOML: {error}"]) from None
    problems: list[str] = []
    try:
        config = Config.model_validate(document, context=path.absolute().parent)
    except ValidationError as error:
        problems += map(_problem, error.errors(include_url=False))
    else:
        folder = folder_at(config.archive)
        if config.metrics and folder and config.metrics.resolve().is_relative_to(folder.resolve()):
            problems.append("metrics: must not be in the archive")
    problems += _shared_folders(document)
    if problems:
        raise ConfigError(path, problems)
    return config


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ConfigError(path, [f"is larger than {LARGEST_FILE} bytes"])
    text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LONGEST_LINE:
            raise ConfigError(path, [f"line {number} is longer than {LONGEST_LINE} letters"])
    return text


def _shared_folders(document: Mapping[str, Any]) -> Iterator[str]:
    """Continents that would be archived in the folder of another."""
    continents = document.get("continents")
    seen: dict[str, int] = {}
    for position, continent in enumerate(continents if isinstance(continents, list) else []):
        try:
            folder = folder_of(continent["name"])
        except (TypeError, KeyError, UsageError):
            continue
        first = seen.setdefault(folder, position)
        if first != position:
            yield f"continents[{position}].name: has the same folder, {folder}, as continents[{first}]"


def _problem(error: ErrorDetails) -> str:
    """What is wrong, with its key; values are repeated only where the key is known to hold no secret."""
    *_, last = location = error["loc"]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    value = error["input"]
    if error["type"] == "extra_forbidden":
        return f"{key}: {_unknown(str(last), Continent if len(location) > 1 else Config)}"
    if error["type"] in _WORDS:
        return f"{key}: {_WORDS[error['type']]}"
    if error["type"] in _OWN:
        return f"{key}: {error['msg']}"
    shown = f", not {repr(value)[:40]}" if isinstance(value, str | int | float) else ""
    return f"{key}: {error['msg'].replace('Input should be', 'must be')}{shown}"


def _unknown(key: str, table: type[_Table]) -> str:
    near = get_close_matches(key, table.model_fields, n=1, cutoff=0.75)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    if _SECRET.search(key):
        return _NO_SECRETS
    if key in Config.model_fields:
        return "is for all continents: set it at the top of the file"
    if key in Continent.model_fields:
        return "belongs to one of the [[continents]]"
    return f"unknown key; there are {', '.join(table.model_fields)}"
