"""The texts people write: JSON files with named placeholders, kept apart from what the store knows.

A placeholder is written `${name}` and stands in any text value. A description can be a list of lines.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from etl.catalog.template_fields import Catalog, Collection, problems
from etl.demo import CONTINENT as SYNTHETIC
from etl.demo import TEMPLATES as OF_SYNTHETIC
from etl.errors import UsageError
from etl.load.inventory import CATALOG, COLLECTION, folder_of

PLACEHOLDERS = (
    *("archive", "bits", "columns", "continent", "first_date", "folder", "full_scale", "half_code"),
    *("last_date", "resolution", "rows", "satellites", "updated", "years"),
)
"""The placeholders that a collection's template can have; a catalog's has none."""

_LARGEST_FILE = 1 << 20
"""Bytes of a template; most have 3,000."""

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_REMEDY = "correct it; the one that comes with the program is an example"


@dataclass(frozen=True)
class Template:
    """One template file.

    Attributes:
        source: the file it was read from.
        document: its JSON object.
    """

    source: Path
    document: Mapping[str, Any]

    def fill(self, values: Mapping[str, str]) -> dict[str, Any]:
        """The document with its placeholders replaced.

        Args:
            values: what each placeholder stands for, by name.

        Raises:
            UsageError: The template has a placeholder that is not among the values.
        """
        return {key: self._fill(value, values) for key, value in self.document.items()}

    def _fill(self, node: object, values: Mapping[str, str]) -> object:
        match node:
            case str():
                return _PLACEHOLDER.sub(lambda found: self._value(found[1], values), node)
            case dict():
                return {key: self._fill(value, values) for key, value in node.items()}
            case list():
                return [self._fill(value, values) for value in node]
            case _:
                return node

    def _value(self, name: str, values: Mapping[str, str]) -> str:
        if name not in values:
            known = ", ".join(f"${{{known}}}" for known in sorted(values)) or "none"
            raise UsageError(
                f"{self.source} has the unknown placeholder ${{{name}}}",
                f"use one of those it can have: {known}",
            )
        return values[name]


class Published(Template):
    """Texts as a document that was published has them: what looks like a placeholder there is none."""

    def fill(self, values: Mapping[str, str]) -> dict[str, Any]:
        """The document as it is."""
        return dict(self.document)


def shipped_templates() -> Path:
    """The folder of the templates that come with the program, in a checkout or an installed package."""
    package = Path(__file__).parents[1]
    installed = package / "catalog_templates"
    return installed if installed.is_dir() else package.parent / "catalog_templates"


def templates_for(folders: Iterable[str]) -> Path:
    """The folder of the templates that come with the program for continents in these folders.

    What the demo made up must never be called an observation, whichever command writes its catalog.
    """
    return OF_SYNTHETIC if set(folders) == {folder_of(SYNTHETIC)} else shipped_templates()


def load_template(name: str, folder: Path | None = None) -> Template:
    """Read a template.

    Args:
        name: the file's name, `catalog.json` or `collection.json`.
        folder: where it is; the templates that come with the program if None.

    Raises:
        UsageError: The file cannot be read, is not a JSON object, or has fields or placeholders that it
            cannot have.
    """
    source = (folder or shipped_templates()) / name
    document = _read(source)
    if not isinstance(document, dict):
        raise UsageError(f"the template {source} is not a JSON object", "put its fields into { }")
    description = document.get("description")
    if isinstance(description, list) and all(isinstance(line, str) for line in description):
        document["description"] = "\n".join(description)
    wrong = problems(document, Catalog if name == CATALOG else Collection)
    if wrong:
        raise UsageError(f"the template {source} cannot be used: {', '.join(wrong)}", _REMEDY)
    template = Template(source, document)
    template.fill(dict.fromkeys(() if name == CATALOG else PLACEHOLDERS, ""))
    return template


def check_templates(folder: Path | None = None) -> None:
    """Find out whether the templates can be used, before anything is done that may be in vain.

    Args:
        folder: where they are; those that come with the program if None.

    Raises:
        UsageError: As `load_template`.
    """
    for name in (CATALOG, COLLECTION):
        load_template(name, folder)


def _read(source: Path) -> object:
    """The JSON value of a file, which can be written again."""
    try:
        with source.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise UsageError(f"the template {source} is larger than {_LARGEST_FILE} bytes", _REMEDY)
        text = data.decode("utf-8-sig")
        if not text.strip():
            raise UsageError(f"the template {source} is empty", _REMEDY)
        document: object = from_json(text, allow_inf_nan=False)
        json.dumps(document, allow_nan=False)
    except OSError as error:
        raise UsageError(
            f"the template {source} cannot be read: {error.strerror}", "name a folder that has it"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the template {source} is not UTF-8 text", "save it as UTF-8") from error
    except ValueError as error:
        raise UsageError(f"the template {source} is not valid JSON: {error}", _REMEDY) from error
    return document
