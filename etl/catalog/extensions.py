"""The STAC extensions in use: addresses of their schemas."""


def _schema(name: str, version: str) -> str:
    return f"https://stac-extensions.github.io/{name}/v{version}/schema.json"


CF = _schema("cf", "0.3.0")
DATACUBE = _schema("datacube", "2.3.0")
PROCESSING = _schema("processing", "1.2.0")
PROJECTION = _schema("projection", "2.0.0")
RASTER = _schema("raster", "2.0.0")
RENDER = _schema("render", "2.0.0")
VERSION = _schema("version", "1.2.0")
ZARR = _schema("zarr", "1.1.0")

OF_COLLECTIONS = (CF, DATACUBE, PROCESSING, PROJECTION, RASTER, RENDER, VERSION, ZARR)
"""Those of every collection; a template can add more."""

OF_ITEMS = (PROJECTION, ZARR)
"""Those of every item."""
