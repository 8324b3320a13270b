"""The stand-in of the service in a process of its own, so that its work is not counted.

python -m benchmarks.standin CLIP-FOLDER…
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from etl.demo.service import StandIn

from .clips import Stored, load

_A_DAY = 86400.0


@contextmanager
def serving_streams(clips: Sequence[Stored]) -> Iterator[Mapping[str, str]]:
    """Serve clips, each as the continent of its name; yield the variables that lead the program there."""
    command = [sys.executable, "-m", "benchmarks.standin", *(str(clip.folder) for clip in clips)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin  # noqa: S101 - for the type checker
        assert server.stdout  # noqa: S101 - the same
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.stdin.close()


def main() -> None:
    """Serve until standard input ends."""
    clips = [load(Path(folder)) for folder in sys.argv[1:]]
    streams = {clip.clip.name: clip.stream for clip in clips}
    with StandIn(streams, token_seconds=_A_DAY) as service:
        told = {"NDVI_ARCHIVE_API_URL": service.api_url, "NDVI_ARCHIVE_TOKEN": service.issue_token()}
        print(json.dumps(told), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
