"""Turn DestinE Sentinel-3 NDVI video streams into an analysis-ready Zarr archive."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl.analysis.timeseries import timeseries
    from etl.reading import open_archive

__all__ = ["__version__", "open_archive", "timeseries"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # Imported when it is used: the program does not wait for xarray.
    if name == "open_archive":
        from etl.reading import open_archive  # noqa: PLC0415

        return open_archive
    if name == "timeseries":
        from etl.analysis.timeseries import timeseries  # noqa: PLC0415

        return timeseries
    raise AttributeError(f"module 'etl' has no attribute {name!r}")
