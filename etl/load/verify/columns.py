"""The values along the axes: one a frame, one a pixel row or column, and the reference system."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from etl.extract.frame import SATELLITES
from etl.load.levels import factors_of, level_name
from etl.load.schema import COLUMNS, NO_TIME
from etl.load.verify.documents import grid_of
from etl.load.verify.findings import Verdict
from etl.load.verify.snapshot import UNREADABLE, Snapshot
from etl.transform.packing import VALID_FROM

_EPSG = 4326

Columns = Mapping[str, NDArray[Any]]
Mask = NDArray[np.bool_]


def read_columns(
    arrays: Mapping[str, zarr.Array[Any]], length: int, group_key: str, verdict: Verdict
) -> dict[str, NDArray[Any]]:
    """The arrays along time that can be read, as far as the committed frames go."""
    columns: dict[str, NDArray[Any]] = {}
    for name in COLUMNS:
        if name not in arrays or arrays[name].shape != (length,):
            continue
        try:
            if arrays[name].nchunks_initialized != arrays[name].nchunks:
                # It would read as fill; that it is missing is found with the objects.
                continue
            values = np.asarray(arrays[name][:])
        except UNREADABLE as error:
            verdict.found("column", f"{name} cannot be read: {_line(error)}", f"{group_key}/{name}")
        else:
            columns[name] = values
    return columns


def check_columns(snapshot: Snapshot, verdict: Verdict) -> None:
    """Check what every frame's values must be, and how they go together."""
    for (needed, shown), (is_wrong, what) in _RULES.items():
        if all(each in snapshot.columns for each in needed):
            for position in np.flatnonzero(is_wrong(snapshot.columns)).tolist():
                value = snapshot.columns[shown][position]
                verdict.found(
                    "column",
                    f"{shown} is {value}, {what}",
                    f"{snapshot.group_key}/{shown}",
                    snapshot.frame(position),
                )


def check_coordinates(snapshot: Snapshot, verdict: Verdict) -> None:
    """Compare latitude, longitude and the reference system with the grid, and times of levels with `time`."""
    grid = grid_of(snapshot.root)
    expected: dict[str, NDArray[Any]] = {"crs": np.array(_EPSG)}
    if grid is not None:
        expected |= {"latitude": grid.latitude, "longitude": grid.longitude}
        for factor in factors_of(snapshot.arrays):
            level = grid.coarser(factor)
            of_level = {"crs": expected["crs"], "latitude": level.latitude, "longitude": level.longitude}
            of_level |= {name: snapshot.columns[name] for name in ("time",) if name in snapshot.columns}
            expected |= {level_name(factor, name): values for name, values in of_level.items()}
    for name, values in expected.items():
        array = snapshot.arrays.get(name)
        if array is None or array.shape != values.shape:
            continue
        where = f"{snapshot.group_key}/{name}"
        try:
            found = np.atleast_1d(np.asarray(array[...]))
        except UNREADABLE as error:
            verdict.found("coordinate", f"{name} cannot be read: {_line(error)}", where)
            continue
        wrong = np.flatnonzero(found != np.atleast_1d(values))
        if wrong.size:
            first = int(wrong[0])
            whose = "frames" if name.endswith("time") else "grid"
            verdict.found(
                "coordinate",
                f"{name} is not that of the {whose} in {wrong.size} of {found.size} values: the first of"
                f" them, at {first}, is {found[first]}, not {np.atleast_1d(values)[first]}",
                where,
            )


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _after_later(columns: Columns) -> Mask:
    times = columns["time"]
    return np.append(False, times[1:] < np.maximum.accumulate(times)[:-1])[: len(times)]


def _repeated(columns: Columns) -> Mask:
    keys = np.stack([columns["time"], columns["satellite"].astype(np.int64)], axis=1)
    _, first = np.unique(keys, axis=0, return_index=True)
    repeated = np.ones(len(keys), np.bool_)
    repeated[first] = False
    return repeated


def _is_finite(columns: Columns) -> Mask:
    return np.isfinite(columns["source_min"]) & np.isfinite(columns["source_max"])


def _no_share(columns: Columns) -> Mask:
    share = columns["valid_fraction"]
    return np.asarray(~((share >= 0) & (share <= 1)))


def _mean_contradicts(columns: Columns) -> Mask:
    share, mean = columns["valid_fraction"], columns["ndvi_mean"]
    # Half a step below the rule of thumb, for float32.
    return np.asarray(np.where(share > 0, ~(mean >= VALID_FROM - 5e-5), ~np.isnan(mean)))


_Rule = tuple[Callable[[Columns], NDArray[Any]], str]

_RULES: Mapping[tuple[tuple[str, ...], str], _Rule] = {
    (("time",), "time"): (_after_later, "seconds since 1970, before that of an earlier frame"),
    (("time", "satellite"), "satellite"): (_repeated, "as of another frame of the same time"),
    (("satellite",), "satellite"): (
        lambda columns: ~np.isin(columns["satellite"], list(SATELLITES.values())),
        "which is no satellite's flag",
    ),
    (("frame_number",), "frame_number"): (
        lambda columns: columns["frame_number"] < 1,
        "and frames are numbered from 1",
    ),
    (("source_min", "source_max"), "source_min"): (
        lambda columns: _is_finite(columns) & (columns["source_min"] > columns["source_max"]),
        "above source_max",
    ),
    (("valid_fraction",), "valid_fraction"): (_no_share, "which is no share from 0 to 1"),
    (("source_min", "source_max", "valid_fraction"), "valid_fraction"): (
        lambda columns: ~_is_finite(columns) & (columns["valid_fraction"] > 0),
        "though the frame's scale says that it holds no data",
    ),
    (("valid_fraction", "ndvi_mean"), "ndvi_mean"): (
        _mean_contradicts,
        "which contradicts valid_fraction",
    ),
    (("archived_at",), "archived_at"): (
        lambda columns: columns["archived_at"] == NO_TIME,
        "which is no time",
    ),
}
"""What is wrong where, by the columns it needs and the one that is shown."""
