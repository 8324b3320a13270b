"""`ndvi-archive catalog`: write the STAC catalog anew, from the frames that are archived."""

from dataclasses import asdict
from pathlib import Path

import click

from etl.catalog.style import Choices, Items
from etl.cli.options import (
    archive_option,
    items_option,
    option,
    progress_option,
    public_url_option,
    templates_option,
    wait_option,
)
from etl.cli.output import Output
from etl.load.stores import open_store
from etl.pipeline.cataloguing import Catalogued, catalogue
from etl.report import frames, json_line, size
from etl.signals import ending_on_signals


@click.command(epilog="Example: ndvi-archive catalog --archive /data/ndvi --items frame")
@archive_option
@public_url_option
@items_option
@option(
    "--geoparquet/--no-geoparquet",
    default=None,
    show_default="as before, else no-geoparquet",
    help="Export the items as one STAC-GeoParquet file as well.",
)
@templates_option
@wait_option
@progress_option
@click.pass_obj
def catalog(  # noqa: PLR0917 - Click passes one value an option
    output: Output,
    archive: str,
    public_url: str | None,
    items: Items | None,
    geoparquet: bool | None,
    templates: Path | None,
    wait: float,
    progress: bool,
) -> None:
    """Write the STAC catalog anew, or change how it is kept.

    It tells of all continents, and is made of the archived frames and of texts. Only what has changed is
    written; a run that was interrupted goes on where it was when it is started again.

    Later runs of convert and nightly keep the catalog as --items, --geoparquet and --public-url say here.
    --templates is not remembered: give it to them as well.
    """
    choices = Choices(items, geoparquet, public_url)
    with ending_on_signals(), output.progress(bar=progress) as show:
        done, failed = catalogue(open_store(archive), templates, choices, wait, show)
    if done or not failed:
        output.result(
            "\n".join(map(_line, done)) or "no frames are archived yet",
            json_line({"archive": archive, "continents": [asdict(each) for each in done]}),
        )
    for other in failed[1:]:
        output.error(str(other), other.exit_code)
    if failed:
        raise failed[0]


def _line(done: Catalogued) -> str:
    what = f"{size(done.bytes_written)} written" if done.bytes_written else "up to date"
    return f"{done.continent}: {frames(done.frames)}, {what}"
