"""Where the documents of a catalog are, and how they lead to one another."""

import posixpath
from dataclasses import dataclass
from urllib.parse import urlsplit

from etl.errors import UsageError

RELATIVE = "relative"
"""The word for links that are relative, in place of a public URL."""


@dataclass(frozen=True)
class Address:
    """The address of an archive as its readers know it.

    Attributes:
        public_url: the URL of the archive's root, without a slash at its end; None where it is not known:
            then links are relative, and no document names itself.
    """

    public_url: str | None = None

    def href(self, source: str, target: str) -> str:
        """How a document leads to an object.

        Args:
            source: key of the document in the archive.
            target: key of the object.
        """
        if self.public_url is not None:
            return f"{self.public_url}/{target}"
        path = posixpath.relpath(target, posixpath.dirname(source) or ".")
        return path if path.startswith("../") else f"./{path}"


def address_of(public_url: str) -> Address:
    """The address that a user gives: a URL, or `relative`.

    Raises:
        UsageError: It is no http or https URL, or has parts that a link to a file cannot have.
    """
    if public_url == RELATIVE:
        return Address()
    try:
        parts = urlsplit(public_url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        usable = False
    if not usable or any(mark.isspace() or not mark.isprintable() for mark in public_url):
        raise UsageError(
            "the public URL is no http or https address",
            f"give such as https://example.org/archive, or {RELATIVE}",
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            "the public URL has an account, a query or a fragment, which links to files cannot have",
            "give the address of the archive's folder alone",
        )
    return Address(public_url.rstrip("/"))
