"""Public URLs and links: what is taken, and where links lead."""

import pytest

from etl.catalog.address import Address, address_of
from etl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no http or https address"),
        ("example.org/ndvi", "no http or https address"),
        ("https://", "no http or https address"),
        ("https://a b.org/", "no http or https address"),
        ("https://a.org/\n", "no http or https address"),
        ("s3://bucket/ndvi", "no http or https address"),
        ("https://a.org:port/", "no http or https address"),
        ("https://[a.org/", "no http or https address"),
        ("https://me:secret@a.org/", "has an account"),
        ("https://a.org/?key=secret", "a query"),
        ("https://a.org/#top", "a fragment"),
    ],
)
def test_what_cannot_be_the_public_url_of_files_is_refused_without_repeating_it(
    text: str, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason) as error:
        address_of(text)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("text", ["https://a.org/ndvi", "https://a.org/ndvi/", "http://127.0.0.1:8000"])
def test_links_below_a_public_url_are_absolute(text: str) -> None:
    href = address_of(text).href("europe/collection.json", "europe/ndvi.zarr")
    assert href == f"{text.rstrip('/')}/europe/ndvi.zarr"


@pytest.mark.parametrize(
    ("source", "target", "href"),
    [
        ("catalog.json", "catalog.json", "./catalog.json"),
        ("catalog.json", "europe/collection.json", "./europe/collection.json"),
        ("europe/collection.json", "catalog.json", "../catalog.json"),
        ("europe/items/2021/2021-03/x.json", "europe/ndvi.zarr", "../../../ndvi.zarr"),
        ("europe/items/2021/2021-03/x.json", "europe/items/2021/2021-03/x.png", "./x.png"),
    ],
)
def test_relative_links_lead_from_document_to_document(source: str, target: str, href: str) -> None:
    assert Address().href(source, target) == href
    assert address_of("relative") == Address()
