"""Addresses of archives: of what kind they are, and what no address may hold."""

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from etl.errors import UsageError

_WITH_ACCOUNT = ("abfs", "abfss")
"""Azure's own, of which the container is before the account, where others have a user."""

_BUCKETS = ("s3", "gs", "az", *_WITH_ACCOUNT)


def folder_at(address: str) -> Path | None:
    """The folder that an address names, or None where it is one of a bucket.

    Args:
        address: the path of a folder, `file:///…`, `s3://…`, `gs://…` or `az://…`.

    Raises:
        UsageError: It is no such address.
    """
    if not address.strip():
        raise UsageError("the archive's name is empty", "name a folder or a bucket with --archive")
    if address.startswith("file:"):
        return _folder_of_url(address)
    scheme, separator, rest = address.partition(":")
    # s3:/bucket is not meant to be a folder.
    if not rest.startswith("//") and not (separator and scheme in _BUCKETS):
        return Path(address)
    parts = check_plain(address)
    if scheme not in _BUCKETS or not parts.hostname:
        raise UsageError(
            f"{address} is no address of a folder or a bucket", "name such as s3://bucket/folder"
        )
    return None


def check_plain(url: str) -> SplitResult:
    """Check that an address holds nothing that should not be printed: no user, password or query.

    Returns:
        Its parts.

    Raises:
        UsageError: It holds such a thing, or is no address; it is not repeated then.
    """
    try:
        parts = urlsplit(url)
        # Looked at for what raises: the beginning of a password with a slash is taken for one.
        _ = parts.port
    except ValueError:
        raise UsageError("that is no address", "name such as s3://bucket/folder") from None
    has_user = parts.password is not None or ("@" in parts.netloc and parts.scheme not in _WITH_ACCOUNT)
    if has_user or "?" in url or "#" in url:
        raise UsageError(
            f"an address on {parts.hostname or 'a server'} holds a user, a password, ? or #",
            "leave that out, also of AWS_ENDPOINT_URL; credentials belong in variables of their own",
        )
    return parts


def without_secrets(text: str) -> str:
    """A text without the users and queries of the addresses in it."""
    return re.sub(r"\?\S*", "", re.sub(r"(?<=://)[^/\s]*@", "", text))


def _folder_of_url(url: str) -> Path:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = SplitResult("file", "?", "", "", "")
    path = unquote(parts.path)
    is_here = parts.netloc in ("", "localhost")
    if not is_here or not path.startswith("/") or "\0" in path or "?" in url or "#" in url:
        raise UsageError(
            f"{without_secrets(url)} is no address of a folder of this machine",
            "name the folder's path instead",
        )
    return Path(path)
