"""`ndvi-archive export`: archived frames as GeoTIFF or NetCDF files, one each."""

from pathlib import Path

import click

from etl.analysis.export import export as export_files
from etl.analysis.raster import Format
from etl.analysis.selection import Selection
from etl.cli.options import option, progress_option
from etl.cli.output import Output
from etl.cli.selecting import selection_options
from etl.signals import ending_on_signals


@click.command(
    epilog="\b\nExample: ndvi-archive export Europe --archive /data/ndvi --start 2021-03 --end 2021-05"
    " --bbox 5,47,11,49 --out maps"
)
@selection_options()
@option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the files; it is made where it is missing.",
)
@option(
    "--format",
    "file_format",
    type=click.Choice(["cog", "geotiff", "netcdf"]),
    default="cog",
    help="Kind of file; cog is a cloud-optimised GeoTIFF, geotiff a plain one, tiled.",
)
@option(
    "--packed", is_flag=True, help="Write int16 steps of 0.0001, with that scale in the file; else float32."
)
@option("--overwrite", is_flag=True, help="Replace files that are there with other settings.")
@option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="one a core",
    help="Frames at a time; each takes the memory of about five.",
)
@progress_option
@click.pass_obj
def export(  # noqa: PLR0917 - Click passes one value an option
    output: Output,
    selection: Selection,
    out: Path,
    file_format: Format,
    packed: bool,
    overwrite: bool,
    workers: int | None,
    progress: bool,
) -> None:
    """Write frames of CONTINENT to files, as GeoTIFF or NetCDF.

    A frame is a file such as NDVI_Europe_S3A_20210301.tif; the time is added where a satellite has more than
    one frame on that day. A file that is there already, of the same frame and the same settings, is left
    alone: run it again, and it takes only what is missing; an interrupted export goes on where it was.
    """
    with ending_on_signals(
        remedy="the files that have their names are whole, run the command again to go on"
    ):
        with output.progress(bar=progress) as show:
            done = export_files(
                selection,
                out,
                format=file_format,
                packed=packed,
                overwrite=overwrite,
                workers=workers,
                progress=show,
            )
        output.result(done.summary(), done.to_json())
