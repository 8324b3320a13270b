"""Serving an archive over HTTP, read-only: STAC, Zarr and images, and the pages for people."""
