"""`ndvi-archive`, with FFmpeg telling on standard error of every frame it decodes.

python -m benchmarks.counted ARGUMENT…
"""

import av.logging

from etl.cli import main

DECODED = "Decoded frame with POC"
"""In a line of FFmpeg's HEVC decoder about each frame."""

if __name__ == "__main__":
    av.logging.set_libav_level(av.logging.DEBUG)
    av.logging.restore_default_callback()
    main()
