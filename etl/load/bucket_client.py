"""How a bucket is reached: address, credentials, limits of time; and what it says when it refuses."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError
from obstore.store import from_url

from etl.errors import StorageError, UsageError
from etl.load.addresses import without_secrets
from etl.load.aws import s3_settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CONNECTING = timedelta(seconds=10)
PATIENT = timedelta(minutes=5)
"""How long the bytes of a large object may be on their way."""

BRIEF = timedelta(seconds=20)
"""How long any other request may take; with its retries, less than half the life of a lease."""

RETRIED = timedelta(seconds=20)
"""No retry begins later than this after the first try."""

_REASONS = {
    "AccessDenied": ("access is denied", "check the permissions of the account"),
    "InvalidAccessKeyId": ("the access key is not known there", "check AWS_ACCESS_KEY_ID and --endpoint-url"),
    "SignatureDoesNotMatch": ("the secret key is wrong", "check AWS_SECRET_ACCESS_KEY"),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "set the clock"),
    "ExpiredToken": ("the credentials have expired", "get new ones"),
    "InvalidToken": ("the session token is wrong", "check AWS_SESSION_TOKEN"),
    "NoSuchBucket": ("there is no such bucket", "create it, or check --archive and --endpoint-url"),
    "ContainerNotFound": ("there is no such container", "create it, or check --archive"),
    "InvalidBucketName": ("a bucket cannot have that name", "check --archive"),
    "PermanentRedirect": ("the bucket is in another region", "set AWS_REGION"),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", "set AWS_REGION"),
    "SlowDown": ("the storage asks for fewer requests", "run it again later"),
    "ServiceUnavailable": ("the storage is not available now", "run it again later"),
    "InternalError": ("the storage has a fault", "run it again later"),
    "NotImplemented": (
        "the storage knows no conditional writes (If-None-Match, If-Match), which keep two runs apart",
        "use one that does, or archive into a folder",
    ),
}
"""What storages answer, in words, and what to do."""

_WITHOUT_CODE = {
    "redirect without LOCATION": "PermanentRedirect",
    "403 Forbidden": "AccessDenied",
    "501 Not Implemented": "NotImplemented",
    "Operation not supported": "NotImplemented",
    "not yet implemented": "NotImplemented",
}
"""What obstore says where the answer has no code."""

_OF_AN_OBJECT = ("", "NoSuchKey", "BlobNotFound")
"""Codes of answers that there is no such object; a web server's has none."""

_SIGNS = (
    (re.compile(r"message: \"(Connection refused|No route to host|Network is unreachable)"), r"\1"),
    (re.compile("dns error"), "the name of its host is not known"),
    (re.compile("TimedOut|deadline has elapsed|operation timed out"), "it did not answer in time"),
    (re.compile("InvalidCertificate|invalid peer certificate"), "its certificate is not valid"),
    (re.compile("HTTP error"), "the connection is lost"),
)
"""What obstore's account of a failed connection holds, and what that means."""


def settings_of(url: str) -> Mapping[str, Any]:
    """What it takes to open the bucket, but its limits of time.

    Raises:
        StorageError: There are no credentials.
        UsageError: They are not configured as they should be.
    """
    return s3_settings() if url.startswith("s3:") else {}


def client(
    url: str, settings: Mapping[str, Any], longest: timedelta = BRIEF, retried: timedelta = RETRIED
) -> "ObjectStore":
    """A client for the objects below an address; nothing is requested yet.

    Args:
        url: `s3://bucket/prefix`, `gs://…` or `az://…`.
        settings: its `settings_of`.
        longest: a single try may take so long.
        retried: no retry begins later than this after the first try.

    Raises:
        UsageError: It is no such address.
    """
    limits: dict[str, Any] = {
        "client_options": {"allow_http": True, "connect_timeout": CONNECTING, "timeout": longest},
        "retry_config": {
            # As many as fit in the time.
            "max_retries": 100,
            "backoff": {
                "init_backoff": timedelta(seconds=0.2),
                "max_backoff": min(timedelta(seconds=5), retried / 2),
            },
            "retry_timeout": retried,
        },
    }
    try:
        return from_url(url.rstrip("/"), **limits, **settings)
    except (BaseError, ValueError) as error:
        raise UsageError(
            f"{url} is no address of a bucket: {_first_line(without_secrets(str(error)))}",
            "name a folder, or such as s3://bucket/folder",
        ) from None


def refusal(verb: str, where: str, error: Exception) -> StorageError:
    """What a storage has against something, in one line.

    Args:
        verb: what was tried: `read`, `write`, `remove`.
        where: the address.
        error: obstore's error.
    """
    reason, remedy = _reason(error, where)
    return StorageError(f"cannot {verb} {without_secrets(where)}: {reason}", remedy)


def is_missing(error: FileNotFoundError) -> bool:
    """Whether there is no such object, rather than no such bucket; what answers HEAD does not say which."""
    return code_of(error) in _OF_AN_OBJECT and "NoSuchBucket" not in str(error)


def code_of(error: Exception) -> str:
    """S3's code of an error, such as `AccessDenied`; empty where it tells none."""
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found[1] if found else ""


def _reason(error: Exception, where: str) -> tuple[str, str]:
    text, code = without_secrets(str(error)), code_of(error)
    for words, meant in _WITHOUT_CODE.items():
        code = code or (meant if words in text else "")
    if code in _REASONS:
        return _REASONS[code]
    provider = re.match(r".* credential provider: \w+: (.*)", text)
    if provider:
        return f"no credentials can be had: {provider[1]}", "check AWS_PROFILE, or log in again"
    to_check = "the server" if where.startswith(("http:", "https:")) else "--endpoint-url"
    for sign, meaning in _SIGNS:
        found = sign.search(text)
        if found:
            host = re.search(r"https?://[^/\s,]+", text)
            return (
                f"{host[0] if host else 'the storage'} cannot be reached: {found.expand(meaning)}",
                f"check the address, {to_check} and the network, then run it again",
            )
    return _first_line(text), "check the address, the credentials and the network, then run it again"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:300]
