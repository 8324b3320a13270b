#!/usr/bin/env python3
"""Ask `ndvi-archive serve` for ranges of a demo archive from many connections at once, and watch its memory.

.venv/bin/python scripts/load.py --archive demo-archive --connections 200 --seconds 60
"""

import argparse
import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Tally:
    """What came of the requests."""

    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    bytes: int = 0


def main() -> int:
    """Run the load and print its figures; 1 if any answer was wrong, or the server's memory grew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    program = Path(sys.executable).with_name("ndvi-archive")
    command = [program, "serve", "--archive", given.archive, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None  # noqa: S101 - for the type checker
        url = server.stdout.readline().rsplit(" ", 1)[1].strip()
        try:
            tally, memory = asyncio.run(_load(url, given, server.pid))
        finally:
            server.terminate()
    tally.seconds.sort()
    middle, late = (tally.seconds[int(len(tally.seconds) * share)] * 1000 for share in (0.5, 0.99))
    print(f"{len(tally.seconds)} answers, {tally.bytes / 1e6:.0f} MB: {dict(tally.answers)}")
    print(f"half within {middle:.0f} ms, 99 of 100 within {late:.0f} ms; {len(tally.faults)} faults")
    print(f"memory of the server, MB, ten times: {' '.join(f'{each:.0f}' for each in memory)}")
    print("\n".join(tally.faults[:10]))
    if has_grown(memory):
        print("its memory has grown")
    return 1 if tally.faults or has_grown(memory) else 0


def has_grown(memory: Sequence[float]) -> bool:
    """Whether a server's memory grew once it was at work: from the second reading to the last by a fifth."""
    return memory[-1] > 1.2 * memory[1]


async def _load(url: str, given: argparse.Namespace, pid: int) -> tuple[Tally, list[float]]:
    files = [path for path in given.archive.glob("*/ndvi.zarr/ndvi/**/*") if path.is_file()]
    contents = {f"/{path.relative_to(given.archive).as_posix()}": path.read_bytes() for path in files}
    tally, end = Tally(), time.monotonic() + given.seconds
    clients = [
        asyncio.create_task(_client(url, contents, end, tally, random.Random(number)))  # noqa: S311
        for number in range(given.connections)
    ]
    memory = []
    for _ in range(10):
        await asyncio.sleep(given.seconds / 10)
        memory.append(_resident(pid))
    await asyncio.gather(*clients)
    return tally, memory


async def _client(
    url: str, contents: dict[str, bytes], end: float, tally: Tally, chance: random.Random
) -> None:
    host, port = (parts := urlsplit(url)).hostname, parts.port
    reader, writer = await asyncio.open_connection(host, port)
    paths = list(contents)
    while time.monotonic() < end:
        data = contents[path := chance.choice(paths)]
        start = chance.randrange(len(data))
        stop = min(len(data), start + chance.choice([36, 4096, 65536]))
        asked, expected = chance.choice(
            [(f"{start}-{stop - 1}", data[start:stop]), (f"-{stop - start}", data[-(stop - start) :])]
        )
        begun = time.monotonic()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={asked}\r\n\r\n".encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, IndexError) as error:
            tally.faults.append(f"{path} {asked}: {type(error).__name__}: {error}")
            return
        tally.seconds.append(time.monotonic() - begun)
        tally.bytes += length
        tally.answers[head.split()[1]] += 1
        if head.split()[1] != "206" or body != expected:
            tally.faults.append(f"{path} {asked}: {head.split()[1]}, {length} bytes")
    writer.close()


def _resident(pid: int) -> float:
    """Memory of a process in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


if __name__ == "__main__":
    sys.exit(main())
