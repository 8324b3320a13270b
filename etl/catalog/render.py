"""How a map should draw the frames: the render extension's view of the colours."""

from typing import Any

from etl.catalog.colormap import COLOUR_RANGE, TABLE
from etl.transform.packing import FILL_VALUE, SCALE_FACTOR, VALID_FROM


def renders() -> dict[str, Any]:
    """`renders`: NDVI in the colours of the quicklooks, from the numbers as they are stored.

    The table has a colour for each of the 256 numbers the values are scaled to; tilers take a shorter one for
    classes. Colours are `#rrggbbaa`, which TiTiler takes as well as lists, and people can read. What has no
    colour of NDVI 0.05 or more in it is transparent, as in the quicklooks.
    """
    first, last = COLOUR_RANGE
    step = (last - first) / (len(TABLE) - 1)
    table = {
        str(index): f"#{bytes(colour).hex()}{'ff' if first + (index + 1) * step > VALID_FROM else '00'}"
        for index, colour in enumerate(TABLE)
    }
    return {
        "ndvi": {
            "title": "NDVI from sand (0) to dark green (0.9)",
            "assets": ["ndvi"],
            "variables": ["ndvi"],
            "rescale": [[round(value / SCALE_FACTOR) for value in COLOUR_RANGE]],
            "nodata": FILL_VALUE,
            "colormap": table,
            "resampling": "nearest",
        }
    }
