"""The colours of NDVI: from pale bare soil to dark green canopy, darker where there is more vegetation."""

import numpy as np
from numpy.typing import NDArray

from etl.transform.packing import SCALE_FACTOR, VALID_FROM_PACKED

COLOUR_RANGE = (0.0, 0.9)
"""NDVI of the first and the last colour; values beyond take the colour of the nearer end."""

CONTROL_POINTS = {
    "bare soil": (0.00, (236, 211, 170)),
    "sparse shrub": (0.15, (227, 196, 128)),
    "dry grass": (0.28, (214, 190, 86)),
    "steppe": (0.40, (172, 180, 66)),
    "crops": (0.52, (117, 158, 54)),
    "meadow": (0.64, (67, 133, 48)),
    "woodland": (0.76, (25, 102, 44)),
    "dense canopy": (0.90, (6, 64, 34)),
}
"""NDVI and sRGB colour by name; luminance falls steadily, so that the order shows in grey as well."""


def _table() -> NDArray[np.uint8]:
    positions, colours = zip(*CONTROL_POINTS.values(), strict=True)
    ndvi = np.linspace(*COLOUR_RANGE, 256)
    channels = [np.interp(ndvi, positions, channel) for channel in zip(*colours, strict=True)]
    table: NDArray[np.uint8] = np.rint(np.column_stack(channels)).astype(np.uint8)
    table.flags.writeable = False
    return table


TABLE = _table()
"""RGB of 256 NDVI values evenly spaced over `COLOUR_RANGE`, both ends included: uint8, shape (256, 3)."""


def is_shown(values: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Where stored values hold data by the rule of thumb: NDVI of at least 0.05; no data is below it."""
    return np.asarray(values >= VALID_FROM_PACKED)


def colour(values: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Colour stored values.

    Args:
        values: NDVI / 0.0001, −32768 = no data; any shape.

    Returns:
        RGBA, shape (*values.shape, 4); alpha is 0 for no data and for NDVI below 0.05, else 255.
    """
    first, last = COLOUR_RANGE
    position = (values * SCALE_FACTOR - first) * ((len(TABLE) - 1) / (last - first))
    rgba = np.full((*values.shape, 4), 255, np.uint8)
    rgba[..., :3] = TABLE[np.clip(np.rint(position), 0, len(TABLE) - 1).astype(np.intp)]
    rgba[~is_shown(values)] = 0
    return rgba
