"""Numbers: grid, packing and statistics of a frame."""
