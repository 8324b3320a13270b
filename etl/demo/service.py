"""The stand-in for the streaming service: login, metadata and video over HTTP on this machine."""

import asyncio
import json
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from etl.demo.faults import Faults
from etl.demo.files import StreamFiles, UrlSigner
from etl.demo.login import Account, Login
from etl.demo.server import Connection, ServerThread
from etl.demo.streams import Image, Stream, publish

__all__ = ["Image", "Request", "StandIn", "Stream", "publish"]


@dataclass(frozen=True)
class Request:
    """A request the stand-in got, and what it answered so far."""

    method: str
    path: str
    query: str
    range: str | None
    """The `Range` header."""
    authorized: bool
    """Whether there was an `Authorization` header."""
    status: int | None = None
    """None while, or when, there was no answer."""
    sent: int = 0
    """Bytes of the body sent."""


class StandIn(AbstractContextManager["StandIn"]):
    """A streaming service of one's own, up between `with` and the end of its block.

    Args:
        streams: Streams by the name of their continent.
        faults: What goes wrong; nothing by default.
        user: Name of the one account.
        password: Its password.
        one_time_password: Asked for after the password when given.
        member: Whether the account is in the user group.
        token_seconds: Lifetime of access tokens; negative for tokens that are expired from the start.
        signed_urls: Video URLs carry a signature and are refused without.
        url_seconds: Lifetime of such a URL; negative for URLs that are expired from the start.
        port: Port on 127.0.0.1; 0 takes a free one.

    Attributes:
        url: Where the stand-in listens.
        api_url: Base URL of the service's API.
        iam_url: Base URL of the identity provider.

    Raises:
        OSError: The port is taken.
    """

    def __init__(
        self,
        streams: Mapping[str, Stream],
        faults: Faults | None = None,
        user: str = "demo",
        password: str = "demo-password",  # noqa: S107 - opens nothing but the stand-in
        *,
        one_time_password: str | None = None,
        member: bool = True,
        token_seconds: float = 300.0,
        signed_urls: bool = False,
        url_seconds: float = 300.0,
        port: int = 0,
    ) -> None:
        self._streams = dict(streams)
        self._faults = faults or Faults()
        self._account = Account(user, password, one_time_password, member)
        self._server = ServerThread(port)
        self.url = self._server.url
        self.api_url = f"{self.url}/api"
        self.iam_url = f"{self.url}/iam"
        self._login = Login(self.iam_url, self._account, self._faults, token_seconds=token_seconds)
        self._signer = UrlSigner(url_seconds) if signed_urls else None
        self._log = _RequestLog(_InterimAnswers(self._app(), self._faults))

    def __enter__(self) -> Self:
        self._server.start(self._log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def streams(self) -> dict[str, Stream]:
        """The streams on offer; add and replace at any time."""
        return self._streams

    @property
    def faults(self) -> Faults:
        """What goes wrong; change its fields at any time."""
        return self._faults

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point `destinepyauth` here."""
        return {
            "DESPAUTH_IAM_URL": self.iam_url,
            "DESPAUTH_USER": self._account.user,
            "DESPAUTH_PASSWORD": self._account.password,
        }

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order they came in."""
        return self._log.snapshot()

    def issue_token(self) -> str:
        """Return a new access token, as a login would."""
        return self._login.issue()

    def revoke_tokens(self) -> None:
        """Refuse all access tokens issued so far."""
        self._login.revoke()

    def expire_urls(self) -> None:
        """Refuse all signed URLs handed out so far."""
        if self._signer is not None:
            self._signer.revoke()

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/streaming/s3/data/metadata/{continent}", self._metadata),
                Route("/streams/{continent}/{file}", StreamFiles(self.streams, self.faults, self._signer)),
                Mount("/iam", routes=self._login.routes()),
            ],
            exception_handlers={HTTPException: _explain},
        )

    async def _metadata(self, request: HttpRequest) -> Response:
        faults = self.faults
        if faults.take("drop_connections"):
            return _NoAnswer(close=True)
        if faults.take("silent_metadata"):
            return _NoAnswer(close=False)
        if faults.take("too_many_requests"):
            raise HTTPException(429, "Too many requests", {"Retry-After": str(faults.retry_after)})
        if faults.take("server_errors"):
            raise HTTPException(500, "Internal error")
        authorization = request.headers.get("authorization")
        self._login.verify(authorization)
        if faults.runs_out("unauthorized_after"):
            self._login.revoke()
            self._login.verify(authorization)
        continent: str = request.path_params["continent"]
        stream = self.streams.get(continent)
        if stream is None:
            known = ", ".join(sorted(self.streams))
            raise HTTPException(404, f"There is no stream of {continent}; there are: {known}")
        body = self._describe(continent, stream, _date(request, "start_date"), _date(request, "end_date"))
        edited = body if faults.metadata is None else faults.metadata(body)
        # Python's JSON, unlike Starlette's, writes Infinity and NaN: so does the service.
        content = json.dumps(edited) if isinstance(edited, dict) else edited
        return Response(content, media_type="application/json")

    def _describe(
        self, continent: str, stream: Stream, start: np.datetime64 | None, end: np.datetime64 | None
    ) -> dict[str, Any]:
        faults = self.faults
        columns, rows = faults.wrong_size or (stream.columns, stream.rows)
        path = f"/streams/{continent}/{stream.file.name}"
        query = "" if self._signer is None else f"?{self._signer.query(path)}"
        images = list(stream.images)
        if faults.repeat_dates:
            images[1::2] = [replace(b, time=a.time) for a, b in zip(images[::2], images[1::2], strict=False)]
        entries = []
        for image in images:
            if (start is not None and image.time < start) or (end is not None and image.time > end):
                continue
            low, high = faults.nonfinite_scales.get(image.number, (image.minimum, image.maximum))
            entries.append(
                {
                    "img_number": image.number,
                    "img_start_date": str(image.time.astype("datetime64[s]")),
                    "img_min_value": low,
                    "img_max_value": high,
                    "satellite": image.satellite,
                }
            )
        return {
            "stream_path": f"{self.url}{quote(path)}{query}",
            "nx": columns,
            "ny": rows,
            "bbox": list(stream.bbox),
            "images": entries,
        }


def _date(request: HttpRequest, name: str) -> np.datetime64 | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return np.datetime64(datetime.strptime(text, "%Y%m%dT%H%M"), "s")
    except ValueError as error:
        raise HTTPException(400, f"{name} is {text!r}, not of the form YYYYMMDDTHHMM") from error


async def _explain(request: HttpRequest, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


class _NoAnswer(Response):
    """Says nothing; closes the connection, or leaves that to the other side."""

    def __init__(self, close: bool) -> None:
        super().__init__()
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(scope, receive)
        if self._close:
            await connection.close()
        else:
            await connection.closed_within(None)


_INTERIM = (
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
)


class _InterimAnswers:
    """Says that an answer is on its way: before it, or instead of it."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        transport: asyncio.Transport = scope["state"]["transport"]
        faults = self._faults
        if not path.startswith("/streams/") or faults.concern(path.rpartition("/")[2]):
            transport.write(b"".join(_INTERIM[turn % 3] for turn in range(faults.interim_before)))
            if faults.take("interim_answers"):
                connection = Connection(scope, receive)
                while not await connection.closed_within(0.01):
                    # The other side need not take them.
                    if not transport.get_write_buffer_size():
                        transport.write(b"".join(_INTERIM) * 100)
                return
        await self._app(scope, receive, send)


class _RequestLog:
    """Remembers what an application was asked and what it answered; safe to read from other threads."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._requests: list[Request] = []
        self._lock = threading.Lock()

    def snapshot(self) -> list[Request]:
        with self._lock:
            return list(self._requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope)
        headers = http.headers
        entry = Request(
            http.method, http.url.path, http.url.query, headers.get("range"), "authorization" in headers
        )
        with self._lock:
            index = len(self._requests)
            self._requests.append(entry)

        async def noted(message: Message) -> None:
            # Noted before it is sent: whoever has read an answer finds all of it in the log.
            nonlocal entry
            entry = replace(
                entry,
                status=message.get("status", entry.status),
                sent=entry.sent + len(message.get("body", b"")),
            )
            with self._lock:
                self._requests[index] = entry
            await send(message)

        await self._app(scope, receive, noted)
