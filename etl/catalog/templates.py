"""The texts people write: JSON files with named placeholders, kept apart from what the store knows.

A placeholder is written `${name}` and stands in any text value. A description can be a list of lines.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl.errors import UsageError

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_REQUIRED = ("id", "title", "description")


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


def shipped_templates() -> Path:
    """The folder of the templates that come with the program, in a checkout or an installed package."""
    package = Path(__file__).parents[1]
    installed = package / "catalog_templates"
    return installed if installed.is_dir() else package.parent / "catalog_templates"


def load_template(name: str, folder: Path | None = None) -> Template:
    """Read a template.

    Args:
        name: the file's name, `catalog.json` or `collection.json`.
        folder: where it is; the templates that come with the program if None.

    Raises:
        UsageError: The file cannot be read, is not a JSON object, or lacks an id, title or description.
    """
    source = (folder or shipped_templates()) / name
    try:
        document = json.loads(source.read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            f"the template {source} cannot be read: {error.strerror}", "name a folder that has it"
        ) from error
    except ValueError as error:
        raise UsageError(f"the template {source} is not valid JSON: {error}", "correct it") from error
    if not isinstance(document, dict):
        raise UsageError(f"the template {source} is not a JSON object", "put its fields into { }")
    if isinstance(document.get("description"), list):
        document["description"] = "\n".join(map(str, document["description"]))
    missing = [key for key in _REQUIRED if not isinstance(document.get(key), str)]
    if missing:
        raise UsageError(f"the template {source} has no {missing[0]!r} text", "add it")
    return Template(source, document)
