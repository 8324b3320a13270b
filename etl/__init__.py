"""Turn DestinE Sentinel-3 NDVI video streams into an analysis-ready Zarr archive."""

__version__ = "0.1.0"
