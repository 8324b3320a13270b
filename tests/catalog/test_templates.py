"""Templates: what they may hold, and what is said when they cannot be used."""

import json
from pathlib import Path

import pytest

from etl.catalog.templates import load_template, shipped_templates
from etl.errors import UsageError

TEXTS = {"id": "x-${continent}", "title": "Of ${continent}", "description": "From $5 to ${continent}."}


def write(folder: Path, text: str) -> Path:
    (folder / "collection.json").write_text(text, "utf-8")
    return folder


def test_placeholders_are_replaced_in_every_text(tmp_path: Path) -> None:
    nested = {"links": [{"rel": "about", "href": "https://host/${continent}"}], "x:n": 3, "x:none": None}
    filled = load_template("collection.json", write(tmp_path, json.dumps(TEXTS | nested))).fill(
        {"continent": "é\"'"}
    )
    assert filled == {
        "id": "x-é\"'",
        "title": "Of é\"'",
        "description": "From $5 to é\"'.",
        "links": [{"rel": "about", "href": "https://host/é\"'"}],
        "x:n": 3,
        "x:none": None,
    }


def test_a_description_can_be_a_list_of_lines(tmp_path: Path) -> None:
    text = json.dumps(TEXTS | {"description": ["# ${continent}", "", "- a"]})
    assert (
        load_template("collection.json", write(tmp_path, text)).fill({"continent": "N"})["description"]
        == "# N\n\n- a"
    )


@pytest.mark.parametrize("name", ["collection.json", "catalog.json"])
def test_an_unknown_placeholder_is_named_with_its_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(TEXTS | {"title": "${name}"}))
    with pytest.raises(UsageError) as error:
        load_template(name, tmp_path)
    assert str(tmp_path / name) in str(error.value)
    assert ("the unknown placeholder ${" in str(error.value), "${folder}" in str(error.value)) == (
        True,
        name == "collection.json",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("{", "is not valid JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "not a JSON object"),
        ('{"id": "i", "title": "T", "description": "D", "x:n": NaN}', "is not valid JSON"),
        ('{"id": "i", "title": "T", "description": "D", "x:n": 1e999}', "is not valid JSON"),
        ('{"id": "i", "title": "\\ud800", "description": "D"}', "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"title": "T", "description": "D"}', "id: is missing"),
        ('{"id": "i", "title": "T", "description": 5}', "description: must be a text"),
        ('{"id": "i", "title": "T", "description": ["D", 5]}', "description: must be a text"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as error:
        load_template("collection.json", write(tmp_path, text))
    assert str(tmp_path / "collection.json") in str(error.value)


def test_a_template_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path, " " * (1 << 20) + "{}")
    with pytest.raises(UsageError, match="is larger than 1048576 bytes"):
        load_template("collection.json", folder)


def test_a_template_that_is_no_utf_8_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "collection.json").write_bytes(json.dumps(TEXTS).encode("utf-16"))
    with pytest.raises(UsageError, match=r"collection\.json is not UTF-8 text; save it as UTF-8$"):
        load_template("collection.json", tmp_path)


def test_a_template_that_an_editor_marked_as_utf_8_is_read(tmp_path: Path) -> None:
    (tmp_path / "collection.json").write_text(json.dumps(TEXTS), "utf-8-sig")
    assert load_template("collection.json", tmp_path).document == TEXTS


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ({"license": 5}, "license: must be a text"),
        ({"license": None}, "license: must not be null"),
        ({"keyword": ["NDVI"]}, r"keyword: unknown key; did you mean keywords\?"),
        ({"extent": {}}, "extent: unknown key; there are id, title"),
        ({"keywords": [{"a": 1}]}, r"keywords\[0\]: must be a text"),
        ({"providers": 5}, "providers: must be a list"),
        ({"providers": ["ESA"]}, r"providers\[0\]: must be an object"),
        ({"providers": [{"name": "ESA", "roles": "licensor"}]}, r"providers\[0\]\.roles: must be a list"),
        (
            {"providers": [{"name": "ESA", "roles": ["owner"]}]},
            r"roles\[0\]: must be 'licensor', .*, not 'owner'",
        ),
        ({"providers": [{"name": "ESA", "role": []}]}, r"providers\[0\]\.role: .* did you mean roles\?"),
        ({"links": [{"href": "https://host"}]}, r"links\[0\]\.rel: is missing"),
        ({"links": [{"rel": "about", "href": 5}]}, r"links\[0\]\.href: must be a text"),
        ({"summaries": {"instruments": "olci"}}, r"summaries\.instruments: must be a list of values"),
        ({"summaries": {"gsd": {"minimum": 1}}}, r"summaries\.gsd: must have both ends"),
        ({"stac_extensions": "https://x"}, "stac_extensions: must be a list"),
    ],
)
def test_a_field_that_stac_has_otherwise_is_named(
    tmp_path: Path, field: dict[str, object], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason) as error:
        load_template("collection.json", write(tmp_path, json.dumps(TEXTS | field)))
    assert str(tmp_path / "collection.json") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"catalog\.json cannot be read"):
        load_template("catalog.json", tmp_path)


@pytest.mark.parametrize("name", ["catalog.json", "collection.json"])
def test_the_templates_come_with_the_program(name: str) -> None:
    assert load_template(name).source == shipped_templates() / name
