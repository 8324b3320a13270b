"""The web application: the archive's objects, and the pages about them."""

import logging
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from etl.catalog.colormap import COLOUR_RANGE, TABLE
from etl.errors import ArchiveError
from etl.load.inventory import CATALOG, GROUP, ROOT
from etl.load.stores import Store
from etl.serve.answers import answer
from etl.serve.continents import Continent, Continents
from etl.serve.groups import Groups
from etl.serve.keys import REVALIDATED, continent_of_group
from etl.serve.landing import PAGES, landing_page
from etl.serve.objects import Objects
from etl.transform.packing import VALID_FROM_PACKED

log = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")
"""The pages that `scripts/build-web` builds, each in a folder of its name."""

_METHODS = "GET, HEAD, OPTIONS"
_FOR_ALL = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag",
    "X-Content-Type-Options": "nosniff",
}
_PREFLIGHT = {
    "Allow": _METHODS,
    "Access-Control-Allow-Methods": _METHODS,
    "Access-Control-Allow-Headers": "Cache-Control, If-None-Match, If-Range, Range",
    "Access-Control-Max-Age": "86400",
}
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'"
)
"""What our own pages may load: nothing from elsewhere."""

_POLICIES = {
    # zarrita's decompressors are WebAssembly, and what binds them makes functions of text.
    "viewer": _POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval'"),
    # Its base map comes from elsewhere, and so may what a catalog links to.
    "browser": None,
}


def build_app(store: Store, static: Path = STATIC, continents: Continents | None = None) -> Starlette:
    """The application that serves an archive, read-only.

    Args:
        store: the archive's storage.
        static: folder of the built pages; those that are not there are left out.
        continents: what is known of it already.
    """
    objects, continents = Objects(store), continents or Continents(store)
    groups = Groups(objects)
    built = [page for page in _POLICIES if (static / page / "index.html").is_file()]

    async def landing(request: Request) -> Response:
        found = await run_in_threadpool(continents.all)
        url = str(request.base_url).rstrip("/")
        headers = {"Cache-Control": REVALIDATED, "Content-Security-Policy": _POLICY}
        catalog = await run_in_threadpool(store.get, CATALOG)
        return HTMLResponse(landing_page(found, url, built, catalog), headers=headers)

    async def names(request: Request) -> Response:
        found = await run_in_threadpool(continents.all)
        shown = [each for each in found if isinstance(each, Continent)]
        return _json([{"folder": each.folder, "name": each.name} for each in shown])

    async def icon(request: Request) -> Response:
        return RedirectResponse("/pages/icon.svg")

    async def an_object(request: Request) -> Response:
        key = request.path_params["key"]
        continent = continent_of_group(key)
        if continent is not None and await objects.head(f"{continent}/{GROUP}/{ROOT}"):
            return _about_group(request, continent)
        return await answer(request, objects, groups, key)

    async def not_built(request: Request) -> Response:
        text = "This page is not part of this installation; scripts/build-web of the source builds it.\n"
        return PlainTextResponse(text, 404, {"Cache-Control": REVALIDATED})

    routes: list[BaseRoute] = [
        Route("/", landing),
        Route("/favicon.ico", icon),
        Route("/pages/continents.json", names),
        Route("/pages/colours.json", _colours),
        _pages("pages", PAGES, policy=_POLICY),
    ]
    for page, policy in _POLICIES.items():
        routes.append(Route(f"/{page}", _with_slash))
        if page in built:
            routes.append(_pages(page, static / page, policy=policy))
        else:
            routes.append(Route(f"/{page}/{{rest:path}}", not_built))
    routes.append(Route("/{key:path}", an_object))
    return Starlette(
        routes=routes,
        middleware=[Middleware(_ReadOnly)],
        exception_handlers={ArchiveError: _storage_failed, HTTPException: _refused},
    )


class _Pages(StaticFiles):
    """Files that are looked at anew whenever they are used."""

    def __init__(self, folder: Path, policy: str | None) -> None:
        super().__init__(directory=folder, html=True)
        self._own = {"Cache-Control": REVALIDATED} | ({"Content-Security-Policy": policy} if policy else {})

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(self._own)
        return response


class _ReadOnly:
    """Answers OPTIONS, refuses what would write, and lets pages from anywhere read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_FOR_ALL)
            await send(message)

        answering = self._app
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            answering = Response(status_code=204, headers=_PREFLIGHT)
        elif scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            answering = PlainTextResponse("this archive is read-only\n", 405, {"Allow": _METHODS})
        await answering(scope, receive, send_with_headers)


def _pages(name: str, folder: Path, *, policy: str | None) -> Mount:
    return Mount(f"/{name}", _Pages(folder, policy))


async def _colours(request: Request) -> Response:
    return _json({"range": COLOUR_RANGE, "table": TABLE.tolist(), "shown_from": VALID_FROM_PACKED})


def _about_group(request: Request, continent: str) -> Response:
    """What to say at the address of a group, which is no object: a person is led to where it is explained."""
    headers = {"Cache-Control": REVALIDATED, "Vary": "Accept"}
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"/#{continent}", 303, headers)
    url = f"{str(request.base_url).rstrip('/')}/{continent}/{GROUP}"
    text = f'this is a Zarr group, no file; open it with a reader of Zarr, as xarray.open_zarr("{url}")\n'
    return PlainTextResponse(text, 404, headers)


def _json(content: object) -> Response:
    return JSONResponse(content, headers={"Cache-Control": REVALIDATED})


async def _with_slash(request: Request) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{request.url.path}/{query}")


async def _storage_failed(request: Request, error: Exception) -> Response:
    log.warning("%s", error, extra={"event": "request_failed", "fields": {"path": request.url.path}})
    return PlainTextResponse("the archive cannot be read just now\n", 502, {"Cache-Control": REVALIDATED})


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return PlainTextResponse(f"{status}\n", status, {"Cache-Control": REVALIDATED})
