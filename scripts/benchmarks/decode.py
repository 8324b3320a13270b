"""Decode a file with the library the program decodes with, and drop the frames.

python -m benchmarks.decode THREADS FILE
"""

import sys

import av


def main() -> None:
    """Decode."""
    with av.open(sys.argv[2]) as container:
        codec = container.streams.video[0].codec_context
        codec.thread_type, codec.thread_count = "AUTO", int(sys.argv[1])
        for _ in container.decode(video=0):
            pass


if __name__ == "__main__":
    main()
