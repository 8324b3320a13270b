"""Frames as GeoTIFF, cloud-optimised or plain. The library `rasterio` must be installed."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from etl.analysis.raster import Label, Raster
from etl.load.durable import write_file
from etl.transform.packing import FILL_VALUE, SCALE_FACTOR

if TYPE_CHECKING:
    import rasterio.io

_BLOCK = 512
"""Rows and columns of a tile; a part of a COG is fetched by tiles."""

_CACHE = 64
"""Megabytes of tiles that GDAL keeps, of all threads; it would take a twentieth of the machine's memory."""

_COMPRESSED = {"compress": "DEFLATE", "bigtiff": "IF_SAFER"}
"""What every reader of GeoTIFF knows."""


def write_cog(path: Path, raster: Raster) -> None:
    """Write a new cloud-optimised GeoTIFF, durably.

    Raises:
        OSError: It cannot be written.
    """
    import rasterio.shutil  # noqa: PLC0415 - an extra of the package

    # In memory: GDAL does not tell where the end of a file finds no space.
    with rasterio.Env(GDAL_CACHEMAX=_CACHE), rasterio.MemoryFile(ext=".tif") as cog:
        with rasterio.MemoryFile(ext=".tif") as plain:
            with plain.open(**_profile(raster)) as target:
                _fill(target, raster)
            # Its pixels are in there now, and a frame is large.
            del raster
            # Unlike rasterio's own writing of a COG, this lets other threads run.
            rasterio.shutil.copy(
                plain.name,
                cog.name,
                driver="COG",
                blocksize=_BLOCK,
                predictor="YES",
                overview_resampling="AVERAGE",
                **_COMPRESSED,
            )
        write_file(path, cog.getbuffer())


def write_geotiff(path: Path, raster: Raster) -> None:
    """Write a new GeoTIFF, tiled and compressed, durably.

    Raises:
        OSError: It cannot be written.
    """
    import rasterio  # noqa: PLC0415 - an extra of the package

    predictor = 2 if raster.settings.packed else 3
    with rasterio.Env(GDAL_CACHEMAX=_CACHE), rasterio.MemoryFile(ext=".tif") as file:
        with file.open(**_profile(raster), predictor=predictor, **_COMPRESSED) as target:
            _fill(target, raster)
        write_file(path, file.getbuffer())


def read_label(path: Path) -> Label | None:
    """The label of a GeoTIFF that was written here; None if it was not."""
    import rasterio  # noqa: PLC0415 - an extra of the package

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                return Label.of(file.tags())
    except rasterio.errors.RasterioIOError:
        return None


def _profile(raster: Raster) -> dict[str, Any]:
    from affine import Affine  # noqa: PLC0415 - comes with rasterio

    rows, columns = raster.part.shape
    packed = raster.settings.packed
    return {
        "driver": "GTiff",
        "height": rows,
        "width": columns,
        "count": 1,
        "dtype": "int16" if packed else "float32",
        "nodata": FILL_VALUE if packed else np.nan,
        "crs": "EPSG:4326",
        "transform": Affine(*raster.part.affine),
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
    }


def _fill(target: "rasterio.io.DatasetWriter", raster: Raster) -> None:
    from rasterio.windows import Window  # noqa: PLC0415 - an extra of the package

    target.update_tags(**raster.tags)
    target.set_band_description(1, "NDVI")
    target.units = ("1",)
    if raster.settings.packed:
        target.scales, target.offsets = (SCALE_FACTOR,), (0.0,)
    # By rows of tiles: float32 of a whole frame would take as much memory again.
    for first in range(0, target.height, _BLOCK):
        values = raster.values(slice(first, first + _BLOCK))
        target.write(values, 1, window=Window(0, first, target.width, len(values)))
