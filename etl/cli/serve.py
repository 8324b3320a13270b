"""`ndvi-archive serve`: an archive over HTTP, for readers, browsers and people."""

import json

import click

from etl.cli.options import archive_option, option
from etl.cli.output import Output
from etl.errors import UsageError
from etl.load.stores import open_store
from etl.serve.app import build_app
from etl.serve.continents import Continents, Damaged
from etl.serve.server import listen, serve_on, url_of


@click.command(epilog="Example: ndvi-archive serve --archive /data/ndvi --port 8000")
@archive_option
@option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 is all.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    metavar="N",
    help="Port to listen on; 0 is any free one.",
)
@click.pass_obj
def serve(output: Output, archive: str, host: str, port: int) -> None:
    """Serve the archive over HTTP: a page, a map, STAC and Zarr.

    Read-only, until SIGINT or SIGTERM. Zarr, STAC and quicklooks are at their places in the archive, / is a
    page for people, with a viewer and the STAC Browser where they were built in.
    """
    store = open_store(archive)
    continents = Continents(store)
    found = continents.all()
    if not found:
        raise UsageError(
            f"there is no archive in {archive}", "check --archive, or run ndvi-archive convert first"
        )
    damaged = [each.error for each in found if isinstance(each, Damaged)]
    if len(damaged) == len(found):
        raise damaged[0]
    app = build_app(store, continents=continents)
    with listen(host, port) as listening:
        url = url_of(listening)
        output.result(f"Serving {archive} at {url}/", json.dumps({"archive": archive, "url": url}))
        serve_on(listening, app)
