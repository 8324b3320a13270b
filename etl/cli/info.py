"""`ndvi-archive info`: what an archive holds."""

import json
from collections import Counter
from typing import Any

import click
import numpy as np

from etl.cli.options import archive_option, option
from etl.cli.output import Output
from etl.errors import IncompatibleError, UsageError
from etl.load.inventory import Inventory, folder_of, read_inventory
from etl.load.stores import open_store
from etl.report import frames, size


@click.command(epilog="Example: ndvi-archive info --archive /data/ndvi")
@archive_option
@click.argument("continent", required=False)
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def info(output: Output, archive: str, continent: str | None, as_json: bool) -> None:
    """Tell what the archive holds, of CONTINENT or of all."""
    store = open_store(archive)
    inventories: list[Inventory] = []
    damaged: list[IncompatibleError] = []
    for folder in [folder_of(continent)] if continent else store.folders():
        try:
            found = read_inventory(store, folder)
        except IncompatibleError as error:
            damaged.append(error)
        else:
            inventories += [found] if found else []
    if not inventories and not damaged:
        what = (
            f"nothing of {continent} is archived in {archive}"
            if continent
            else f"there is no archive in {archive}"
        )
        raise UsageError(what, "check --archive, or run ndvi-archive convert first")
    figures = [_figures(inventory) for inventory in inventories]
    if as_json or output.as_json:
        click.echo(json.dumps(figures, indent=2))
    elif figures:
        click.echo("\n\n".join(map(_lines, figures)))
    for other in damaged[1:]:
        output.error(str(other))
    if damaged:
        raise damaged[0]


def _figures(inventory: Inventory) -> dict[str, Any]:
    scales = inventory.columns["source_min"], inventory.columns["source_max"]
    return {
        "continent": inventory.continent,
        "frames": len(inventory),
        "empty": int(np.count_nonzero(~(np.isfinite(scales[0]) & np.isfinite(scales[1])))),
        "satellites": Counter(inventory.satellites),
        "first_time": inventory.times[0].isoformat(),
        "last_time": inventory.times[-1].isoformat(),
        "columns": inventory.grid.columns,
        "rows": inventory.grid.rows,
        "bbox": inventory.grid.bbox,
        "bits": inventory.bits,
        "bytes": inventory.store.size(inventory.group_key),
        "zarr": inventory.store.location(inventory.group_key),
    }


def _lines(figures: dict[str, Any]) -> str:
    each = ", ".join(f"{name} {count}" for name, count in sorted(figures["satellites"].items()))
    west, south, east, north = figures["bbox"]
    empty = f", {figures['empty']} of them without data" if figures["empty"] else ""
    return "\n".join(
        [
            f"{figures['continent']}: {frames(figures['frames'])}{empty}; {each}",
            f"  from {_minute(figures['first_time'])} to {_minute(figures['last_time'])} UTC",
            f"  grid {figures['columns']} × {figures['rows']},"
            f" {west:g} to {east:g} °E, {south:g} to {north:g} °N",
            f"  {size(figures['bytes'])} in {figures['zarr']}",
        ]
    )


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
