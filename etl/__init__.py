"""Turn DestinE Sentinel-3 NDVI video streams into an analysis-ready Zarr archive, and use the archive.

What is named here is for programs and notebooks; each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl.analysis.export import export
    from etl.analysis.film import animate
    from etl.analysis.region import Region, box, point, read_geojson
    from etl.analysis.selection import Selection
    from etl.analysis.timeseries import timeseries
    from etl.converting import convert
    from etl.errors import ArchiveError
    from etl.reading import open_archive
    from etl.report import RunReport

__all__ = [
    "ArchiveError",
    "Region",
    "RunReport",
    "Selection",
    "__version__",
    "animate",
    "box",
    "convert",
    "export",
    "open_archive",
    "point",
    "read_geojson",
    "timeseries",
]
__version__ = "0.1.0"

_MODULES = {
    "ArchiveError": "etl.errors",
    "Region": "etl.analysis.region",
    "RunReport": "etl.report",
    "Selection": "etl.analysis.selection",
    "animate": "etl.analysis.film",
    "box": "etl.analysis.region",
    "convert": "etl.converting",
    "export": "etl.analysis.export",
    "open_archive": "etl.reading",
    "point": "etl.analysis.region",
    "read_geojson": "etl.analysis.region",
    "timeseries": "etl.analysis.timeseries",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'etl' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
