"""Who this machine is to an S3 storage, and where that is, by the chain all AWS programs follow.

The variables come first, then the profile (`AWS_PROFILE`) in `~/.aws/config` and `~/.aws/credentials` with
its keys, SSO login, role or process, then the role of the machine or the container.
"""

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from etl.errors import StorageError, UsageError
from etl.load.addresses import check_plain

if TYPE_CHECKING:
    from obstore.store import S3Credential

_LIFE = timedelta(minutes=5)
"""After so long they are asked for again; botocore gives out none that expires within ten minutes."""

_NAMES = {
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
}


class Credentials:
    """Signs requests with what the chain finds, renewed before it expires.

    It can be pickled for workers, which then look for their own: secrets do not travel.
    """

    def __init__(self) -> None:
        """Look for credentials.

        Raises:
            StorageError: There are none, or they cannot be had.
        """
        self._found = _told(lambda: _session().get_credentials())
        if self._found is None:
            raise StorageError(
                "there are no credentials for s3://",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a public bucket,"
                " AWS_SKIP_SIGNATURE=true",
            )

    def __call__(self) -> "S3Credential":
        """The credentials for the next minutes, as obstore has them."""
        frozen = self._found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _LIFE,
        }

    def __reduce__(self) -> tuple[type["Credentials"], tuple[()]]:
        return Credentials, ()


def s3_settings() -> dict[str, Any]:
    """Settings for obstore beyond the variables, which it reads itself.

    Raises:
        StorageError: There are no credentials, or they cannot be had.
        UsageError: `AWS_PROFILE` names no profile, or the configuration cannot be read.
    """
    settings: dict[str, Any] = {}
    profile = _told(lambda: _session().get_scoped_config())
    region, endpoint = profile.get("region"), _endpoint(profile)
    for address in (endpoint, *(os.environ.get(name) for name in _NAMES["endpoint"])):
        check_plain(address or "")
    if region and not _is_set("region"):
        settings["region"] = region
    if endpoint and not _is_set("endpoint"):
        settings["endpoint"] = endpoint
    anonymous = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true", "yes", "on"}
    if not anonymous and not (
        os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY")
    ):
        settings["credential_provider"] = Credentials()
    return settings


def _endpoint(profile: dict[str, Any]) -> str | None:
    """The endpoint that a profile names for S3, or for all services."""
    services = _session().full_config.get("services", {}).get(profile.get("services"), {})
    endpoint: str | None = services.get("s3", {}).get("endpoint_url") or profile.get("endpoint_url")
    return endpoint


def _is_set(setting: str) -> bool:
    return any(os.environ.get(name) for name in _NAMES[setting])


def _session() -> Any:  # noqa: ANN401 - botocore has no types
    # Imported where it is needed: it takes a quarter of a second.
    from botocore.session import Session  # noqa: PLC0415

    return Session()


def _told(look: Any) -> Any:  # noqa: ANN401 - botocore has no types
    """Look something up, and tell in one line what is against it."""
    from botocore import exceptions  # noqa: PLC0415

    try:
        return look()
    except (exceptions.ProfileNotFound, exceptions.ConfigParseError, exceptions.ConfigNotFound) as error:
        raise UsageError(f"the AWS configuration cannot be used: {error}", "check AWS_PROFILE") from None
    except exceptions.BotoCoreError as error:
        raise StorageError(f"no credentials can be had for s3://: {error}", "check AWS_PROFILE") from None
