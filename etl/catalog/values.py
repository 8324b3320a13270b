"""How single values are written in STAC."""

from datetime import datetime

import numpy as np


def iso(time: datetime) -> str:
    """A UTC time as STAC writes it, e.g. `2025-01-31T09:57:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def platform(satellite: str) -> str:
    """A satellite's name in STAC: `S3A` is `sentinel-3a`."""
    return satellite.replace("S", "sentinel-", 1).lower()


def shortest(value: np.float32) -> float:
    """A float32 as the number with the fewest digits that still is that float32."""
    return float(str(value))
