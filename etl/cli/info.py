"""`ndvi-archive info`: what an archive holds, and how it was last written."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
import numpy as np

from etl.cli.options import archive_option, continent_argument, json_option, option
from etl.cli.output import Output
from etl.errors import IncompatibleError
from etl.load.absent import no_archive, no_continent
from etl.load.continents import continent_folders
from etl.load.gaps import Gap, gaps
from etl.load.generations import side_folder
from etl.load.inventory import Inventory, folder_of, read_inventory
from etl.load.runs import runs
from etl.load.series import committed_series
from etl.load.stores import Store, open_store
from etl.report import ODDITIES, ago, frames, size
from etl.text import one_line


@click.command(epilog="Example: ndvi-archive info --archive /data/ndvi")
@archive_option
@continent_argument(required=False)
@option("--gaps", "with_gaps", is_flag=True, help="Name the days on which a satellite has no frame.")
@json_option
@click.pass_obj
def info(output: Output, archive: str, continent: str | None, with_gaps: bool, as_json: bool) -> None:
    """Tell what the archive holds, and how the last run ended.

    Of CONTINENT alone, or of all in the archive.
    """
    store = open_store(archive)
    figures: list[dict[str, Any]] = []
    damaged: list[IncompatibleError] = []
    for folder in [folder_of(continent)] if continent is not None else continent_folders(store):
        try:
            inventory = read_inventory(store, folder)
        except IncompatibleError as error:
            damaged.append(error)
            continue
        of_runs = _of_runs(store, folder)
        if inventory:
            figures.append(_of_frames(inventory, with_gaps=with_gaps) | of_runs)
        elif (last := of_runs["last_run"]) is not None:
            figures.append({"continent": last.get("continent", folder), "frames": 0} | of_runs)
    if not figures and not damaged:
        raise no_archive(archive) if continent is None else no_continent(store, archive, continent)
    if as_json or output.as_json:
        click.echo(json.dumps(figures, indent=2, default=_of_gap))
    elif figures:
        output.say("\n\n".join("\n  ".join(_lines(each)) for each in figures))
    for other in damaged[1:]:
        output.error(str(other), other.exit_code)
    if damaged:
        raise damaged[0]


def _of_frames(inventory: Inventory, *, with_gaps: bool) -> dict[str, Any]:
    scales = inventory.columns["source_min"], inventory.columns["source_max"]
    figures: dict[str, Any] = {
        "continent": inventory.continent,
        "frames": len(inventory),
        "empty": int(np.count_nonzero(~(np.isfinite(scales[0]) & np.isfinite(scales[1])))),
        "satellites": Counter(inventory.satellites),
        "first_time": inventory.times[0].isoformat(),
        "last_time": inventory.times[-1].isoformat(),
        "age_seconds": round((datetime.now(UTC) - inventory.times[-1]).total_seconds()),
        "columns": inventory.grid.columns,
        "rows": inventory.grid.rows,
        "bbox": inventory.grid.bbox,
        "bits": inventory.bits,
        "overviews": inventory.factors,
        "in_series": len(series) if (series := committed_series(inventory)) else 0,
        "bytes": inventory.store.size(inventory.group_key),
        "zarr": inventory.store.location(inventory.group_key),
    }
    if with_gaps:
        figures["gaps"] = gaps(inventory)
    return figures


def _of_gap(gap: Gap) -> dict[str, Any]:
    return {"first": gap.first.isoformat(), "last": gap.last.isoformat(), "days": gap.days}


def _of_runs(store: Store, folder: str) -> dict[str, Any]:
    kept = runs(store, folder)
    return {
        "rebuilding": store.exists(side_folder(folder)),
        "last_run": kept[-1] if kept else None,
    }


def _lines(figures: Mapping[str, Any]) -> list[str]:
    if figures["frames"]:
        lines = _lines_of_frames(figures)
    else:
        lines = [f"{figures['continent']}: nothing is archived yet"]
    if figures["last_run"] is not None:
        lines.append(_line_of_run(figures["last_run"]))
    if figures["rebuilding"]:
        lines.append("a rebuild is under way, or was interrupted; readers see the archive as it was before")
    for satellite, found in figures.get("gaps", {}).items():
        lines += [f"{satellite}: {gap}" for gap in found] or [f"{satellite}: no day is missing"]
    return lines


def _lines_of_frames(figures: Mapping[str, Any]) -> list[str]:
    each = ", ".join(f"{name} {count}" for name, count in sorted(figures["satellites"].items()))
    west, south, east, north = figures["bbox"]
    empty = f", {figures['empty']} of them without data" if figures["empty"] else ""
    first, last = (datetime.fromisoformat(figures[key]) for key in ("first_time", "last_time"))
    levels = ", ".join(f"1/{factor}" for factor in figures["overviews"])
    series = [f"{frames(figures['in_series'])} in the series"] if figures["in_series"] else []
    return [
        f"{figures['continent']}: {frames(figures['frames'])}{empty}; {each}",
        f"from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, {ago(last)}",
        f"grid {figures['columns']} × {figures['rows']}, {west:g} to {east:g} °E, {south:g} to {north:g} °N"
        + (f"; overviews {levels}" if levels else ""),
        f"{size(figures['bytes'])} in {figures['zarr']}",
        *series,
    ]


def _line_of_run(run: Mapping[str, Any]) -> str:
    """When the last run was, how it ended and what it did; a report can be of another version."""
    try:
        moment = datetime.fromisoformat(run.get("finished") or run["started"])
        when = f"{moment:%Y-%m-%d %H:%M} UTC, {ago(moment)}"
    except (KeyError, TypeError, ValueError):
        when = "at a time that is not known"
    archived = run.get("archived")
    did = f"{frames(archived)} archived" if isinstance(archived, int) else "no report of what it archived"
    odd = ((kind, run.get(kind)) for kind in ODDITIES)
    did += "".join(f", {len(names)} {kind}" for kind, names in odd if isinstance(names, list) and names)
    if run.get("exit_code") == 0:
        return f"last run {when}: {did}"
    why = one_line(str(run.get("error") or "it did not say why"))
    return f"last run {when}: failed with code {run.get('exit_code')}, {did}; {why}"
