"""How large a pixel is on the ground."""

import math

from etl.transform.grid import Grid

_METRES_PER_DEGREE = 40_007_863 / 360
"""Of latitude, on the mean of a meridian of WGS 84."""


def ground_sample_distance(grid: Grid) -> int:
    """Size of a pixel north to south, in whole metres; it is the same everywhere on the grid."""
    return round(grid.step[1] * _METRES_PER_DEGREE)


def resolution_text(grid: Grid) -> str:
    """The size of a pixel in words: in degrees, and in kilometres where the grid's middle is."""
    _, south, _, north = grid.bbox
    middle = (south + north) / 2
    east_west = grid.step[0] * _METRES_PER_DEGREE * math.cos(math.radians(middle))
    sizes = [_kilometres(metres) for metres in (east_west, ground_sample_distance(grid))]
    degrees = " × ".join(f"{step:.4g}°" for step in grid.step)
    return f"{degrees}: about {sizes[0]} west to east at {_latitude(middle)}, {sizes[1]} north to south"


def _kilometres(metres: float) -> str:
    return f"{metres / 1000:.{2 if metres < 10_000 else 0}f} km"


def _latitude(degrees: float) -> str:
    return f"{abs(degrees):.0f}° {'N' if degrees >= 0 else 'S'}"
