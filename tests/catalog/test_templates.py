"""Templates: what they may hold, and what is said when they cannot be used."""

import json
from pathlib import Path

import pytest

from etl.catalog.templates import load_template, shipped_templates
from etl.errors import UsageError

TEXTS = {"id": "x-${name}", "title": "Of ${name}", "description": "From $5 to ${name}."}


def write(folder: Path, text: str) -> Path:
    (folder / "collection.json").write_text(text, "utf-8")
    return folder


def test_placeholders_are_replaced_in_every_text(tmp_path: Path) -> None:
    nested = {"links": [{"href": "https://host/${name}"}], "n": 3, "none": None}
    filled = load_template("collection.json", write(tmp_path, json.dumps(TEXTS | nested))).fill(
        {"name": "é\"'"}
    )
    assert filled == {
        "id": "x-é\"'",
        "title": "Of é\"'",
        "description": "From $5 to é\"'.",
        "links": [{"href": "https://host/é\"'"}],
        "n": 3,
        "none": None,
    }


def test_a_description_can_be_a_list_of_lines(tmp_path: Path) -> None:
    text = json.dumps(TEXTS | {"description": ["# ${name}", "", "- a"]})
    assert (
        load_template("collection.json", write(tmp_path, text)).fill({"name": "N"})["description"]
        == "# N\n\n- a"
    )


def test_an_unknown_placeholder_is_named_with_its_file_and_the_known_ones(tmp_path: Path) -> None:
    template = load_template("collection.json", write(tmp_path, json.dumps(TEXTS)))
    with pytest.raises(UsageError) as error:
        template.fill({"continent": "Europe"})
    for part in (str(tmp_path / "collection.json"), "${name}", "${continent}"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"title": "T", "description": "D"}', "no 'id' text"),
        ('{"id": "i", "title": "T", "description": 5}', "no 'description' text"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as error:
        load_template("collection.json", write(tmp_path, text))
    assert str(tmp_path / "collection.json") in str(error.value)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"catalog\.json cannot be read"):
        load_template("catalog.json", tmp_path)


@pytest.mark.parametrize("name", ["catalog.json", "collection.json"])
def test_the_templates_come_with_the_program(name: str) -> None:
    assert load_template(name).source == shipped_templates() / name
