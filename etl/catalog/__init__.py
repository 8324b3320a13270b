"""The STAC catalog of an archive: collections, texts and quicklooks, built from what is committed."""
