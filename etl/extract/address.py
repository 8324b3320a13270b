"""Addresses that expire: where the server refuses one, another is asked for."""

import logging
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import requests

from etl.errors import ServiceError
from etl.extract.http import RETRIES, HttpClient, without_query

log = logging.getLogger(__name__)

_REFUSALS = (400, 401, 403, 404, 410)
"""What servers answer once a signature has expired: mostly 403, some storages 400, others 410 or 404."""


_MISSING = (404, 410)
"""What they answer where there is no such file; nothing else says so for sure."""


class MissingError(ServiceError):
    """The server does not have a file, or not all of it."""


class Address:
    """Where a file is, now.

    Attributes:
        url: http or https address in use; another one after a renewal.
        name: that address without what could be secret.
        identity: what stays the same however often the address is renewed.
    """

    def __init__(
        self,
        client: HttpClient,
        url: str,
        ask_again: Callable[[], str] | None = None,
        identity: str | None = None,
    ) -> None:
        """Take a file's address; nothing is requested yet.

        Args:
            client: the session to use.
            url: http or https address of the file.
            ask_again: gives the address that the same file has now, and raises an `ArchiveError` where there
                is none or it is another file; None where an address is all there is.
            identity: the address the file had first, if that is another.
        """
        self.url = url
        self.name = without_query(url)
        self.identity = identity or url
        self._client = client
        self._ask_again = ask_again

    def get(self, headers: Mapping[str, str] | None = None) -> requests.Response:
        """Send a GET; the body is not read yet. A refused address is renewed a few times.

        Raises:
            MissingError: There is no such file, at a renewed address either.
            ServiceError: No answer could be had, or any other but 200, 206 and 416.
            LoginError: The address expired, and asking for another one is refused.
        """
        renewals = 0
        while True:
            response = self._client.get(self.url, headers=dict(headers or {}))
            if response.status_code in (200, 206, 416):
                return response
            response.close()
            answered = f"answered {response.status_code} {response.reason}"
            if response.status_code not in _REFUSALS or renewals == RETRIES or not self.renew():
                kind = MissingError if response.status_code in _MISSING else ServiceError
                raise kind(
                    f"{self.name} {answered}",
                    "run the command again; if it stays so, report it to the service",
                )
            renewals += 1
            if renewals > 1:
                self._client.pause_before(renewals)
            self._client.tell_retry(f"{self.name} {answered}; its address was asked for again", renewals)

    def renew(self) -> bool:
        """Ask for another address; whether it is worth a try.

        Raises:
            ArchiveError: Asking fails, or it is another file.
        """
        if self._ask_again is None:
            return False
        refused, self.url = self.url, self._ask_again()
        self.name = without_query(self.url)
        # The same once more can only help where it is a signature that may not have been renewed yet.
        return self.url != refused or bool(urlsplit(refused).query)
