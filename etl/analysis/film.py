"""The season of a region as a film."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from math import cos, radians
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from etl.analysis.region import Region
from etl.analysis.selection import Selection
from etl.analysis.whole_files import check_writable
from etl.errors import IncompatibleError, UsageError
from etl.load.inventory import DAMAGE
from etl.load.schema import CHUNK
from etl.reading import open_archive
from etl.report import Progress
from etl.transform.packing import FILL_VALUE, SCALE_FACTOR

Composite = Literal["none", "day", "month"]

LONGEST_SIDE = 960
"""Pixels of a film's longer side, unless its width is given."""

NARROWEST, WIDEST = 160, 3840
_HIGHEST = 4320
"""Rows of a film: encoders refuse more."""

_SLOWEST = 0.01
_FASTEST = {".mp4": 60.0, ".gif": 50.0}
"""Pictures a second by format; browsers slow down a GIF that is faster."""

_PERIODS: dict[Composite, str] = {"none": "%Y-%m-%d", "day": "%Y-%m-%d", "month": "%Y-%m"}
"""How the date on a picture is written."""

_READ_AT_ONCE = 1 << 20
"""Pixels that are read at a time, as float64."""

Line = NDArray[np.float64]
Values = NDArray[np.int16]


@dataclass(frozen=True)
class Film:
    """A film that was written.

    Attributes:
        path: the file.
        frames: archived frames in it.
        pictures: its pictures: as many, or fewer of composites.
        columns: its width in pixels.
        rows: its height in pixels.
        seconds: how long it plays.
        bytes: size of the file.
    """

    path: Path
    frames: int
    pictures: int
    columns: int
    rows: int
    seconds: float
    bytes: int


def animate(
    selection: Selection,
    out: str | PathLike[str],
    *,
    fps: float = 10.0,
    width: int | None = None,
    composite: Composite = "none",
    progress: Progress | None = None,
) -> Film:
    """Make a film of a selection: the map in colour, the date, the satellites, and what the colours mean.

    A degree of longitude is drawn as much shorter than one of latitude as it is in the middle of the region.
    The coarsest overview is read that has a cell for every pixel of the film, so that whole continents take
    little time and memory.

    Args:
        selection: which frames, and of what region. What its `mask` leaves out is drawn as no data.
        out: the file, `.mp4` (H.264) or `.gif` (endless); it is replaced, and only by a whole film.
        fps: pictures a second, at most 60, or 50 of a GIF, whose are shown for whole hundredths of a second.
        width: width in pixels, 160 to 3840, rounded down to an even number; None is the one by which the
            longer side of the map has 960.
        composite: one picture a frame, or one of all frames of a `day` or a `month` (UTC): the highest value
            of each pixel, as clouds lower NDVI (Holben, 1986, doi:10.1080/01431168608948945).
        progress: called with the number of frames before the first, and after each picture.

    Raises:
        UsageError: A value cannot be used, or matplotlib is not installed; or as `Selection.open`.
        IncompatibleError: A frame in the archive is damaged; or as `Selection.open`.
        StorageError: The file cannot be written, or the archive not be read.
    """
    path = _checked(Path(out), selection, fps, width, composite)
    # They need an extra of the package.
    from etl.analysis.film_file import film_file  # noqa: PLC0415
    from etl.analysis.picture import Pictures  # noqa: PLC0415

    ndvi, (columns, rows) = _sized(selection, width)
    region = f", {selection.region.name}" if selection.region else ""
    pictures = Pictures(columns, rows, f"{selection.continent}{region}")
    count = 0
    with film_file(path, fps, pictures.columns, pictures.rows) as add:
        for caption, values in _scenes(ndvi, composite, progress):
            add(pictures.draw(values, caption))
            count += 1
    size = path.stat().st_size
    return Film(path, len(ndvi), count, pictures.columns, pictures.rows, count / fps, size)


def _checked(path: Path, selection: Selection, fps: float, width: int | None, composite: Composite) -> Path:
    """The file, if all that is asked for can be done."""
    fastest = _FASTEST.get(path.suffix.lower())
    if fastest is None:
        raise UsageError(f"{path} is neither .mp4 nor .gif", "name such a file")
    if not _SLOWEST <= fps <= fastest:
        raise UsageError(f"{fps:g} pictures a second cannot be shown", f"choose {_SLOWEST:g} to {fastest:g}")
    if width is not None and not NARROWEST <= width <= WIDEST:
        raise UsageError(f"a film cannot be {width} pixels wide", f"choose {NARROWEST} to {WIDEST}")
    if composite not in get_args(Composite):
        raise UsageError(f"there is no composite {composite!r}", f"choose {', '.join(get_args(Composite))}")
    if selection.mask is False:
        raise UsageError("a film cannot show what is commonly no data", "select with a mask")
    if find_spec("matplotlib") is None:
        raise UsageError(
            "the library that draws texts is not installed", "run pip install 'ndvi-archive[analysis]'"
        )
    check_writable(path)
    return path


def _sized(selection: Selection, width: int | None) -> tuple[xr.DataArray, tuple[int, int]]:
    """The NDVI of a selection at the level that suffices, and the (columns, rows) of its map."""
    whole = open_archive(selection.archive, selection.continent)
    steps = {name: _step(whole[name], 1.0) for name in ("longitude", "latitude")}
    bounds = {name: _within(whole[name], selection.region) for name in steps}
    level = 1
    # Overviews know no other mask.
    if selection.mask is True:
        columns, rows = _map_size(bounds, steps, width)
        level = max(1, min(len(bounds["longitude"]) // columns, len(bounds["latitude"]) // rows))
    ndvi = selection.open(level=level).ndvi
    lines = {name: np.asarray(ndvi[name].values) for name in steps}
    columns, rows = _map_size(lines, {name: _step(ndvi[name], steps[name]) for name in steps}, width)
    if rows > _HIGHEST:
        raise UsageError(
            f"the film would be {columns} pixels wide and {rows} high",
            "choose a wider region, or a smaller width",
        )
    return ndvi, (columns, rows)


def _step(line: xr.DataArray, of_one: float) -> float:
    """Degrees from one cell of a line to the next; `of_one` where it has only one."""
    return abs(float(line[1] - line[0])) if len(line) > 1 else of_one


def _within(line: xr.DataArray, region: Region | None) -> Line:
    """The pixel centres along a line that a region's bounds hold; all where there is none."""
    centres: Line = np.asarray(line.values)
    if region is None:
        return centres
    west, south, east, north = region.shape.bounds
    low, high = (west, east) if line.name == "longitude" else (south, north)
    found = centres[(centres >= low) & (centres <= high)]
    return found if len(found) else centres[[np.abs(centres - (low + high) / 2).argmin()]]


def _map_size(lines: dict[str, Line], steps: dict[str, float], width: int | None) -> tuple[int, int]:
    """(columns, rows) of a map of these cells in pixels; the columns are even."""
    high = len(lines["latitude"]) * steps["latitude"]
    wide = len(lines["longitude"]) * steps["longitude"] * cos(radians(float(lines["latitude"].mean())))
    columns = width or max(NARROWEST, round(LONGEST_SIDE * min(1.0, wide / high)))
    columns -= columns % 2
    return columns, max(2, round(columns * high / wide))


def _scenes(
    ndvi: xr.DataArray, composite: Composite, progress: Progress | None
) -> Iterator[tuple[str, Values]]:
    """What is written on each picture, and its stored values, shape (rows, columns)."""
    times = ndvi.time.values.astype("datetime64[s]").tolist()
    satellites = ndvi.satellite.values.tolist()
    if progress:
        progress(0, len(times))

    def period(frame: tuple[int, Values]) -> object:
        number, _ = frame
        return number if composite == "none" else format(times[number], _PERIODS[composite])

    for _, together in groupby(enumerate(_stored(ndvi)), period):
        highest = np.full(ndvi.shape[1:], FILL_VALUE, np.int16)
        shown: set[str] = set()
        for number, values in together:
            highest = np.maximum(highest, values)
            shown.add(satellites[number])
        yield f"{format(times[number], _PERIODS[composite])}  {' '.join(sorted(shown))}", highest
        if progress:
            progress(number + 1, len(times))


def _stored(ndvi: xr.DataArray) -> Iterator[Values]:
    """The values of each frame as they are stored; small frames are read several at a time.

    Raises:
        IncompatibleError: One is damaged.
        StorageError: The storage refuses to be read.
    """
    together = max(1, _READ_AT_ONCE // ndvi[0].size)
    for first in range(0, len(ndvi), together):
        yield from _read(ndvi[first : first + together])


def _read(frames: xr.DataArray) -> Values:
    """The stored values of frames, shape as theirs."""
    stored = np.full(frames.shape, FILL_VALUE, np.int16)
    # Some rows at a time, as float64 takes four times the memory.
    step = max(1, _READ_AT_ONCE // frames[:, 0].size // CHUNK) * CHUNK
    for north in range(0, frames.shape[1], step):
        band = slice(north, north + step)
        try:
            values = frames[:, band].values
        except DAMAGE as error:
            if len(frames) > 1:
                return np.concatenate([_read(frames[[each]]) for each in range(len(frames))])
            name = f"{np.datetime_as_string(frames.time.values[0], 's')} {frames.satellite.values[0]}"
            raise IncompatibleError(
                f"the frame of {name} is damaged: {error}", "run ndvi-archive verify to find what is"
            ) from error
        known = np.isfinite(values)
        stored[:, band][known] = np.rint(values[known] / SCALE_FACTOR)
    return stored
