"""Frames of an archive as files: one GeoTIFF or NetCDF each."""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from etl.analysis import geotiff, netcdf
from etl.analysis.exported import Exported, files
from etl.analysis.file_names import file_names
from etl.analysis.part import part_of
from etl.analysis.raster import Format, Label, Raster, Settings
from etl.analysis.selection import Selection
from etl.analysis.unfinished import alone_in, unfinished_files
from etl.errors import IncompatibleError, StorageError, UsageError
from etl.load.durable import make_folders, sync_folder
from etl.load.inventory import Inventory
from etl.reading import inventory_at, lowest_shown
from etl.report import Progress

log = logging.getLogger(__name__)


class _Kind(NamedTuple):
    """A format: its files' extension, the library it needs, its extra, and how it is written and known."""

    extension: str
    library: str
    extra: str
    write: Callable[[Path, Raster], None]
    read_label: Callable[[Path], Label | None]


_KINDS: dict[Format, _Kind] = {
    "cog": _Kind(".tif", "rasterio", "geotiff", geotiff.write_cog, geotiff.read_label),
    "geotiff": _Kind(".tif", "rasterio", "geotiff", geotiff.write_geotiff, geotiff.read_label),
    "netcdf": _Kind(".nc", "netCDF4", "analysis", netcdf.write_netcdf, netcdf.read_label),
}


@dataclass(frozen=True)
class _Plan:
    """Which files are to be made of which frames.

    Attributes:
        inventory: what is archived.
        settings: how they are to be written.
        kind: in which format.
        paths: every file that shall be there in the end, by the position of its frame.
    """

    inventory: Inventory
    settings: Settings
    kind: _Kind
    paths: dict[int, Path]


def export(
    selection: Selection,
    out: str | PathLike[str],
    *,
    format: Format = "cog",
    packed: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write each frame to a file of its own, such as `NDVI_Europe_S3A_20210301.tif`.

    The time is added where a satellite has more than one frame on that day in the archive. Files lie on the
    archive's grid, EPSG:4326, rows from north to south, and tell their frame's time, satellite and source. A
    file has its name only when it is whole. Those that are there already, of the same frame and settings, are
    left alone: an interrupted export goes on where it was.

    Args:
        selection: which frames, which part of them, and whether NDVI below 0.05 is masked.
        out: folder of the files; it is made where it is missing.
        format: `cog`, a cloud-optimised GeoTIFF; `geotiff`, a tiled one; `netcdf`, NetCDF-4 as CF has it, of
            dimensions (time, latitude, longitude). GeoTIFF needs the extra `geotiff`, NetCDF `analysis`.
        packed: values are int16 steps of 0.0001 NDVI with that scale in the file, −32768 where there is no
            data; else float32 NDVI, NaN where there is no data.
        overwrite: replace files of these names that are there with other settings.
        workers: frames that are made into files at a time; None is one a core this process may use. Each
            takes the memory of about five stored frames.
        progress: called with the number of files done and planned.

    Returns:
        What was written, and what was skipped.

    Raises:
        UsageError: There is no such frame, the region lies outside, the folder has files of other settings,
            or the format's library is not installed; or as `etl.open_archive`.
        BusyError: Another export is writing to the folder.
        IncompatibleError: Frames are missing or damaged; all others were exported. Or the archive is.
        StorageError: The archive cannot be read, or the folder not be written to.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"there cannot be {workers} workers", "give 1 or more")
    plan = _planned(selection, Path(out), format, packed=packed)
    folder = Path(out)
    try:
        make_folders(folder)
        with alone_in(folder):
            to_write = _to_write(plan, overwrite=overwrite)
            done = Exported(plan.inventory.continent, folder)
            done.skipped = [path for position, path in plan.paths.items() if position not in to_write]
            entries = (plan.inventory.entry(position) for position in plan.paths)
            done.empty = sum(not entry.scale.is_finite for entry in entries)
            if to_write:
                _write(plan, to_write, done, workers or len(os.sched_getaffinity(0)), progress)
                sync_folder(folder)
    except OSError as error:
        raise _refused(folder, error) from error
    return done


def _planned(selection: Selection, folder: Path, wanted: Format, *, packed: bool) -> _Plan:
    if wanted not in _KINDS:
        raise UsageError(f"there is no format {wanted!r}", f"choose one of {', '.join(_KINDS)}")
    kind = _KINDS[wanted]
    if find_spec(kind.library) is None:
        raise UsageError(
            f"the library that writes {'NetCDF' if wanted == 'netcdf' else 'GeoTIFF'} is not installed",
            f"run pip install 'ndvi-archive[{kind.extra}]', or choose another format",
        )
    lowest = lowest_shown(selection.mask)
    inventory = inventory_at(selection.archive, selection.continent)
    times = inventory.columns["time"].astype("datetime64[s]")
    positions = selection.positions(times, np.array(inventory.satellites, np.str_)).tolist()
    names = file_names(inventory.continent, inventory.times, inventory.satellites)
    settings = Settings(part_of(inventory.grid, selection.region), wanted, packed, lowest)
    paths = {position: folder / (names[position] + kind.extension) for position in positions}
    return _Plan(inventory, settings, kind, paths)


def _to_write(plan: _Plan, *, overwrite: bool) -> dict[int, Path]:
    """The files that are not there as they shall be, by the position of their frame.

    Raises:
        UsageError: Others are there under their names, and must not be overwritten.
    """
    to_write, others = {}, []
    _rename(plan)
    for position, path in plan.paths.items():
        label = plan.settings.label(plan.inventory, position)
        there = path.exists()
        found = plan.kind.read_label(path) if there else None
        if found != label:
            to_write[position] = path
        # A frame that was archived anew may take the place of the one before.
        if there and (found is None or found.settings != label.settings):
            others.append(path)
    if others and not overwrite:
        raise UsageError(
            f"{others[0]} is there with other settings (region, mask, format), or not of this program"
            + (f", as are {len(others) - 1} more" if len(others) > 1 else ""),
            "name another folder, or add --overwrite",
        )
    return to_write


def _rename(plan: _Plan) -> None:
    """Give files the names they have by now: a second frame of their satellite's day may be there."""
    names = set(plan.paths.values())
    for position, path in plan.paths.items():
        before = path.with_name("_".join(path.stem.split("_")[:4]) + path.suffix)
        if before in names or path.exists() or not before.exists():
            continue
        if plan.kind.read_label(before) == plan.settings.label(plan.inventory, position):
            before.rename(path)


def _write(
    plan: _Plan, to_write: dict[int, Path], done: Exported, workers: int, progress: Progress | None
) -> None:
    damaged: list[IncompatibleError] = []
    fields: dict[str, object]
    with unfinished_files(done.folder) as unfinished, _threads(min(workers, len(to_write))) as threads:
        one = partial(_write_one, plan, unfinished)
        futures = {threads.submit(one, position): position for position in to_write}
        written = []
        for count, future in enumerate(as_completed(futures), 1):
            path = to_write[futures[future]]
            try:
                count_of_bytes = future.result()
            except IncompatibleError as error:
                damaged.append(error)
                fields = {"file": str(path), "error": error.what}
                log.warning(
                    "%s is left out: %s", path.name, error.what, extra={"event": "left_out", "fields": fields}
                )
            else:
                written.append(futures[future])
                done.bytes_out += count_of_bytes
                fields = {"file": str(path), "bytes": count_of_bytes}
                log.debug("%s is written", path.name, extra={"event": "file_written", "fields": fields})
            if progress:
                progress(len(done.skipped) + count, len(plan.paths))
    done.written = [to_write[position] for position in sorted(written)]
    if damaged:
        others = f"; {len(damaged) - 1} more, as named above" if len(damaged) > 1 else ""
        raise IncompatibleError(
            f"{files(len(damaged))} of {len(plan.paths)} could not be made: {damaged[0].what}{others}",
            damaged[0].remedy,
        )


def _write_one(plan: _Plan, unfinished: Path, position: int) -> int:
    """Make the file of a frame; return its size."""
    path = plan.paths[position]
    new = unfinished / path.name
    try:
        plan.kind.write(new, plan.settings.raster(plan.inventory, position))
        count = new.stat().st_size
        new.replace(path)
    except OSError as error:
        raise _refused(path, error) from error
    return count


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that finish what they do when the block ends early, and nothing else."""
    pool = ThreadPoolExecutor(count, "export")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _refused(path: Path, error: OSError) -> StorageError:
    is_file = isinstance(error, FileExistsError)
    reason = f"{error.filename} is no folder" if is_file else error.strerror or error
    return StorageError(
        f"cannot write {path}: {reason}",
        "check the folder, its permissions and the free space",
    )
