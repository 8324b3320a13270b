"""What templates may hold: the fields that people write, and of what kind each is in STAC."""

from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

_UNKNOWN = "extra_forbidden"

_WORDS = {
    "missing": "is missing",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "list_type": "must be a list",
    "too_short": "must not be empty",
    "model_type": "must be an object, { }",
    "dict_type": "must be an object, { }",
    "bool_type": "must be true or false",
}
"""What Pydantic says in words of its own, by its type of error."""


def _summary(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A summary: values, a range, or a JSON schema."""
    if not isinstance(value, list | dict) or not value:
        raise PydanticCustomError("summary", "must be a list of values, or a range such as {text}", _RANGE)
    if isinstance(value, dict) and ("minimum" in value) != ("maximum" in value):
        raise PydanticCustomError("summary", "must have both ends, as {text}", _RANGE)
    return value


_RANGE = {"text": '{"minimum": 0, "maximum": 1}'}

Text = Annotated[str, Field(min_length=1)]


class _Fields(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Provider(_Fields):
    """Who made, processed or keeps the data, as in STAC."""

    name: Text
    description: str | None = None
    roles: list[Literal["licensor", "producer", "processor", "host"]] | None = None
    url: str | None = None


class Link(BaseModel):
    """A link, as in STAC; extensions give it more fields."""

    model_config = ConfigDict(strict=True, extra="allow")

    rel: Text
    href: Text
    type: str | None = None
    title: str | None = None


class Catalog(_Fields):
    """The fields of `catalog.json`, as in STAC; others are those of extensions, such as `sci:doi`."""

    id: Text
    title: Text
    description: Text
    keywords: list[str] | None = None
    license: Text | None = None
    providers: list[Provider] | None = None
    version: str | None = None
    deprecated: bool | None = None
    experimental: bool | None = None
    contacts: list[dict[str, Any]] | None = None
    themes: list[dict[str, Any]] | None = None
    stac_extensions: list[Text] | None = None
    links: list[Link] | None = None


class Collection(Catalog):
    """The fields of `collection.json`."""

    summaries: dict[str, Annotated[Any, AfterValidator(_summary)]] | None = None


def problems(document: dict[str, Any], fields: type[Catalog]) -> list[str]:
    """What is wrong with a template's fields, each with its key; fields of extensions may be anything."""
    try:
        fields.model_validate({key: value for key, value in document.items() if ":" not in key})
    except ValidationError as error:
        return [_problem(each, fields) for each in error.errors(include_url=False)]
    nothing = [key for key in fields.model_fields if key in document and document[key] is None]
    return [f"{key}: must not be null" for key in nothing]


def _problem(error: ErrorDetails, fields: type[Catalog]) -> str:
    *above, last = error["loc"]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])[1:]
    if error["type"] == _UNKNOWN:
        known = Provider.model_fields if above else fields.model_fields
        near = get_close_matches(str(last), known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        return f"{key}: unknown key; {remedy}"
    if error["type"] in _WORDS:
        return f"{key}: {_WORDS[error['type']]}"
    value = error["input"]
    shown = f", not {repr(value)[:40]}" if isinstance(value, str | int | float) else ""
    return f"{key}: {error['msg'].replace('Input should be', 'must be')}{shown}"
