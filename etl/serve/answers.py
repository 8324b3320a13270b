"""Answering a request for an object of the archive: conditions, ranges and headers (RFC 9110)."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from etl.load.inventory import GROUP
from etl.serve.groups import Groups
from etl.serve.keys import REVALIDATED, cache_control, is_served, media_type
from etl.serve.objects import Meta, NotSatisfiable, Objects, Part
from etl.serve.ranges import parse_range


async def answer(request: Request, objects: Objects, groups: Groups, key: str) -> Response:
    """The answer to GET or HEAD of an object.

    Args:
        request: the request, with its conditions and its range.
        objects: the archive's objects.
        groups: its Zarr groups.
        key: the object's name in the archive as the path has it, without escapes.

    Raises:
        StorageError: The storage refuses, or cannot be reached.
    """
    if not is_served(key):
        return _missing()
    folder, _, inside = key.partition(f"/{GROUP}/")
    if inside and not await groups.hold(folder, inside):
        return _missing()
    known = request.headers.get("if-none-match")
    if request.method == "HEAD" or known is not None:
        meta = await objects.head(key)
        if meta is None:
            return _missing()
        if known is not None and _is_among(meta.etag, known):
            return Response(status_code=304, headers=_headers(request, key, meta))
        if request.method == "HEAD":
            return Response(headers=_headers(request, key, meta) | {"Content-Length": str(meta.size)})
    return await _contents(request, objects, key)


async def _contents(request: Request, objects: Objects, key: str) -> Response:
    try:
        part, is_range = await _wanted(request, objects, key)
    except NotSatisfiable as error:
        headers = _headers(request, key, error.meta) | {"Content-Range": f"bytes */{error.meta.size}"}
        return PlainTextResponse("no byte is in that range\n", 416, headers)
    if part is None:
        return _missing()
    headers = _headers(request, key, part.meta) | {"Content-Length": str(part.stop - part.start)}
    if is_range:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{part.meta.size}"
    return StreamingResponse(part.pieces, 206 if is_range else 200, headers)


async def _wanted(request: Request, objects: Objects, key: str) -> tuple[Part | None, bool]:
    """What to send, and whether it is the range asked for.

    It is all of the object where the range was to be of other contents than there are now.
    """
    wanted = parse_range(request.headers.get("range"))
    known = request.headers.get("if-range", "").strip()
    if wanted is not None and known:
        meta = await objects.head(key)
        if meta is None or meta.etag != known:
            wanted = None
    if wanted is None:
        return await objects.read(key), False
    part = await objects.read(key, wanted)
    if part is not None and known and part.meta.etag != known:
        # It was replaced meanwhile.
        return await objects.read(key), False
    return part, True


def _headers(request: Request, key: str, meta: Meta) -> dict[str, str]:
    headers = {
        "Content-Type": media_type(key),
        "Cache-Control": cache_control(key, by_checksum="crc32c" in request.query_params),
        "Accept-Ranges": "bytes",
    }
    return headers | ({"ETag": meta.etag} if meta.etag else {})


def _is_among(etag: str | None, known: str) -> bool:
    """Whether the contents are one of those an `If-None-Match` names; compared weakly, as it has to be."""
    names = [name.strip().removeprefix("W/") for name in known.split(",")]
    return "*" in names or (etag is not None and etag.removeprefix("W/") in names)


def _missing() -> Response:
    return PlainTextResponse("there is no such object\n", 404, {"Cache-Control": REVALIDATED})
