"""Files of the streams over HTTP: ranges, signed URLs, and breaking off at an exact byte."""

import hmac
import io
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Literal

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from etl.demo.faults import Faults
from etl.demo.server import Connection
from etl.demo.streams import Stream

_BLOCK = 1 << 16

_TYPES = {".mp4": "video/mp4", ".ts": "video/mp2t", ".m4s": "video/iso.segment"}
_PLAYLIST_TYPE = "application/vnd.apple.mpegurl"


class UrlSigner:
    """Signs paths for a while.

    Args:
        seconds: How long a signature is valid.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._key = secrets.token_bytes(32)

    def query(self, path: str) -> str:
        """Return the query that opens a path."""
        expires = str(int(time.time() + self._seconds))
        return f"expires={expires}&signature={self._signature(path, expires)}"

    def check(self, path: str, query: QueryParams) -> None:
        """Accept or refuse a request for a path.

        Raises:
            HTTPException: 403 when the signature is missing, wrong or expired.
        """
        expires = query.get("expires", "")
        signature = self._signature(path, expires)
        if not hmac.compare_digest(signature.encode(), query.get("signature", "").encode()):
            raise HTTPException(403, "The signature of the URL does not match")
        if int(expires) <= time.time():
            raise HTTPException(403, "The URL has expired")

    def revoke(self) -> None:
        """Refuse all queries made so far."""
        self._key = secrets.token_bytes(32)

    def _signature(self, path: str, expires: str) -> str:
        return hmac.digest(self._key, f"{path} {expires}".encode(), "sha256").hex()


def requested_bytes(header: str | None, size: int) -> range | None:
    """Return the bytes a `Range` header asks for.

    Args:
        header: Value of the header. Without one, with several ranges, or with one that cannot be read,
            the whole file is meant.
        size: Bytes of the file.

    Returns:
        Offsets to send, or None for the whole file.

    Raises:
        HTTPException: 416 when no byte of the range is in the file.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or match[0] == "bytes=-" or (match[1] and match[2] and int(match[2]) < int(match[1])):
        return None
    if match[1]:
        wanted = range(int(match[1]), min(int(match[2]) + 1, size) if match[2] else size)
    else:
        wanted = range(max(0, size - int(match[2])), size)
    if not wanted:
        raise HTTPException(416, "No such bytes", {"Content-Range": f"bytes */{size}"})
    return wanted


class StreamFiles:
    """The application behind `/streams/{continent}/{file}`.

    Args:
        streams: Streams by continent; may change while requests come in.
        faults: What goes wrong.
        signer: Checks URLs, and signs those inside playlists; None when URLs need no signature.
    """

    def __init__(self, streams: Mapping[str, Stream], faults: Faults, signer: UrlSigner | None) -> None:
        self._streams = streams
        self._faults = faults
        self._signer = signer
        self._accepted = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET and HEAD requests."""
        request = Request(scope)
        if request.method not in {"GET", "HEAD"}:
            raise HTTPException(405, "Method not allowed", {"Allow": "GET, HEAD"})
        path = self._admit(request)
        connection = Connection(scope, receive)
        try:
            if self._faults.slow_seconds and await connection.closed_within(self._faults.slow_seconds):
                return
            with self._open(path, request.scope["path"]) as file:
                await self._send(file, path, request, connection, send)
        finally:
            connection.release()

    def _admit(self, request: Request) -> Path:
        """Return the file a request may have; raise HTTPException otherwise."""
        name: str = request.path_params["file"]
        faulty = self._faults.concern(name)
        if faulty and self._faults.take("unavailable_stream"):
            raise HTTPException(503, "The stream is not available")
        if self._signer is not None:
            if faulty and self._faults.runs_out("urls_expire_after"):
                self._signer.revoke()
            try:
                self._signer.check(request.scope["path"], request.query_params)
            except HTTPException as refusal:
                raise HTTPException(self._faults.expired_status, refusal.detail) from None
            self._accepted += faulty
            if self._faults.urls_expire_every and self._accepted >= self._faults.urls_expire_every:
                self._accepted = 0
                self._signer.revoke()
        stream = self._streams.get(request.path_params["continent"])
        if stream is None or name in self._faults.missing or not (stream.file.parent / name).is_file():
            raise HTTPException(404, f"There is no file {name}")
        return stream.file.parent / name

    def _open(self, path: Path, url_path: str) -> BinaryIO:
        if self._signer is None or path.suffix != ".m3u8":
            return path.open("rb")
        signer, base = self._signer, url_path.rpartition("/")[0]

        def signed(match: re.Match[str]) -> str:
            return f"{match[0]}?{signer.query(f'{base}/{match[0]}')}"

        return io.BytesIO(
            re.sub(r'^[^#\s]+$|(?<=URI=")[^"]+', signed, path.read_text(), flags=re.MULTILINE).encode()
        )

    async def _send(
        self, file: BinaryIO, path: Path, request: Request, connection: Connection, send: Send
    ) -> None:
        faults = self._faults
        faulty = faults.concern(path.name)
        size = file.seek(0, io.SEEK_END)
        if faulty and faults.truncate_to is not None:
            size = min(size, faults.truncate_to)
        etag = f'"{path.stat().st_mtime_ns:x}-{size:x}"'
        wanted = None
        if not (faulty and faults.ignore_range) and request.headers.get("if-range", etag) == etag:
            wanted = requested_bytes(request.headers.get("range"), size)
        span = range(size) if wanted is None else wanted

        headers = {"Content-Type": _TYPES.get(path.suffix, _PLAYLIST_TYPE), "ETag": etag}
        if not (faulty and faults.ignore_range):
            headers["Accept-Ranges"] = "bytes"
        if not (faulty and faults.unknown_length):
            headers["Content-Length"] = str(len(span))
        if wanted is not None:
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        status = 200 if wanted is None else 206
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})

        if request.method == "HEAD":
            span = range(0)
        ending, stop = self._ending(span) if faulty else ("complete", span.stop)
        is_open = await self._send_bytes(file, range(span.start, stop), connection, send)
        # Used up here only: an answer that nobody read so far was not cut, nor did it stall.
        if is_open and ending != "complete" and not faults.take(f"{ending}_times"):
            ending = "complete"
            is_open = await self._send_bytes(file, range(stop, span.stop), connection, send)
        if not is_open:
            return
        if ending == "stall":
            self._faults.stalled.set()
            await connection.closed_within(None)
        elif ending == "cut":
            await connection.close()
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if faults.unannounced_close:
                await connection.close()

    def _ending(self, span: range) -> tuple[Literal["complete", "cut", "stall"], int]:
        """Return how the answer that sends these bytes ends, and before which of them."""
        faults = self._faults
        if faults.cut_after is not None and faults.cut_after in span and faults.cut_times:
            return "cut", faults.cut_after
        if faults.stall_after is not None and faults.stall_after in span and faults.stall_times:
            return "stall", faults.stall_after
        return "complete", span.stop

    async def _send_bytes(self, file: BinaryIO, span: range, connection: Connection, send: Send) -> bool:
        """Send bytes of a file; return whether the connection is still open."""
        speed = self._faults.bytes_per_second
        largest = _BLOCK if speed is None else max(1, min(_BLOCK, int(speed / 20)))
        file.seek(span.start)
        left = len(span)
        while left and (block := file.read(min(largest, left))):
            await send({"type": "http.response.body", "body": block, "more_body": True})
            left -= len(block)
            if await connection.closed_within(0 if speed is None else len(block) / speed):
                return False
        return True
