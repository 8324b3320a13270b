"""Turn DestinE Sentinel-3 NDVI video streams into an analysis-ready Zarr archive."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl.analysis.film import animate
    from etl.reading import open_archive

__all__ = ["__version__", "animate", "open_archive"]
__version__ = "0.1.0"

_MODULES = {"animate": "etl.analysis.film", "open_archive": "etl.reading"}


def __getattr__(name: str) -> object:
    # Imported when it is used: the program does not wait for xarray.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'etl' has no attribute {name!r}")
