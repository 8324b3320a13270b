"""A stand-in for the streaming service: real login, HTTP and video of synthetic scenes, faults on demand."""

from pathlib import Path

CONTINENT = "Synthetic Europe"
"""The continent of `ndvi-archive demo`."""

TEMPLATES = Path(__file__).with_name("catalog_templates")
"""What the catalog says of it: that no satellite has seen it."""
