#!/usr/bin/env python3
"""Archive a stream again and again while everything goes wrong; nothing may be lost, nothing may be wrong.

Every archive begins with nothing. Real processes of `ndvi-archive convert` fill it from the stand-in of the
service, over HTTP, while they are killed, the network fails, tokens and addresses expire, the stream stalls,
is cut or grows, the disk is full, and others run at the same instant; then it is rebuilt under the same
faults. Each run goes on by itself where the one before ended. All the time another process reads the archive
and compares what it sees with a reference that was made in peace; so does the end of each archive.

Run it with the project's environment: .venv/bin/python scripts/soak.py --faults 500. The seed repeats the
choice of faults; the moment at which a signal strikes differs from run to run.
"""

import argparse
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import numpy as np
import xarray as xr
from soak_endings import PATIENCE, Signalled, ending
from soak_faults import PASSING, Ended, Fault, Stage

from etl.demo.encoder import Container, Encoding
from etl.demo.faults import Faults
from etl.demo.scene import SceneFrame
from etl.demo.service import StandIn, Stream, publish
from tests.witness import GROUP, Witness

FRAMES = 160
COLUMNS, ROWS = 64, 48
BBOX = (-11.0, 35.0, 31.0, 60.0)
CONTAINERS: tuple[Container, ...] = ("mp4", "hls-ts", "hls-fmp4", "ts")
FAULTS_AN_ARCHIVE = 16
DISK = "size=24m"

_PROGRAM = (sys.executable, "-P", "-m", "etl.cli")


@dataclass
class Tally:
    """What happened.

    Attributes:
        seed: what the choice of faults began with.
        faults: faults that really happened, by kind.
        archives: archives that were made.
        runs: runs of the program, verifications left out.
        codes: their exit codes.
        looks: times the reader read all of an archive.
        growths: times the stream had grown since the run before.
        skipped: faults that cannot be made here, and why.
        lost: frames lost, and arrays that got shorter.
        wrong: values and exit codes that are not right.
    """

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    archives: int = 0
    runs: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    looks: int = 0
    growths: int = 0
    seconds: float = 0.0
    skipped: str = ""
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def pictures() -> Iterator[SceneFrame]:
    """Frames of which no two are alike, one in eleven without data."""
    noise = np.random.default_rng(0)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    for n in range(FRAMES):
        waves = (np.sin(x / 9 + n / 4) + np.cos(y / 7 - n / 5) + 2) / 4.1
        codes = np.rint((waves + noise.random((ROWS, COLUMNS)) / 50) * 4000).astype(np.uint16)
        low, high = (np.inf, -np.inf) if n % 11 == 7 else (-0.1 - n / 1000, 0.8 + n / 2000)
        time = np.datetime64("2021-03-01T09:57:00") + np.timedelta64(n // 2 * 86400 + n % 2 * 1800, "s")
        yield SceneFrame(time, "S3B" if n % 2 else "S3A", low, high, codes)


def stored(archive: Path) -> xr.Dataset:
    """An archive's arrays as they are stored, without those that tell when it was made."""
    with xr.open_zarr(archive / GROUP, chunks=None, mask_and_scale=False) as dataset:
        arrays: xr.Dataset = dataset.load().drop_vars("archived_at")
    return arrays


def check_reference(archive: Path) -> None:
    """Compare what was archived in peace with the pictures themselves."""
    values = stored(archive).ndvi.values
    for found, frame in zip(values, pictures(), strict=True):
        if np.isfinite(frame.minimum):
            ndvi = frame.codes / 4095 * (frame.maximum - frame.minimum) + frame.minimum
            np.testing.assert_array_equal(found, np.rint(ndvi / 0.0001).astype(np.int16))
        else:
            assert np.all(found == np.iinfo(np.int16).min)  # noqa: S101 - this is a test


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A small file system in memory at the folder; False where this account may not mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", DISK, "none", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


class Soak:
    """Archives one after the other, and what came of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Encode the streams, make the reference, and bring the stand-in up."""
        self._folder = folder
        self._dice = random.Random(seed)  # noqa: S311
        self._stack = ExitStack()
        self.tally = Tally(seed)
        frames = list(pictures())
        self._streams: dict[Container, tuple[Stream, Stream]] = {}
        for container in CONTAINERS:
            encoding = Encoding(container, lossless=True, gop=10, segment_seconds=0.8)
            young, grown = (
                publish(frames[:count], folder / f"{container}-{count}", BBOX, encoding)
                for count in (FRAMES * 3 // 5, FRAMES)
            )
            self._streams[container] = young, grown
        self._service = StandIn({"Europe": grown}, signed_urls=True, token_seconds=3600)
        self._reference = folder / "reference"

    def __enter__(self) -> "Soak":
        self._stack.enter_context(self._service)
        ended = self._run(self._reference, ("-q",), ())
        if ended.codes != [0]:
            raise SystemExit(f"the reference cannot be made: {ended.err}")
        check_reference(self._reference)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def archive(self, most: int) -> None:
        """Make one archive, with about as many faults."""
        number = self.tally.archives
        place = self._folder / f"archive-{number}"
        place.mkdir()
        container = CONTAINERS[number % len(CONTAINERS)]
        # Half of them on the disk there is, where writing takes its time.
        on_disk = number % 2 == 1
        with ExitStack() as stack:
            disk = None
            if not on_disk:
                if stack.enter_context(small_disk(place)):
                    disk = place
                else:
                    self.tally.skipped = "full disk: this account may not mount a small file system"
            archive = place / "archive"
            witness = stack.enter_context(Witness(archive, self._reference))
            self._fill(archive, disk, container, witness, most)
            self._service.streams["Europe"] = self._streams[container][1]
            self._conclude(archive, witness)
        self.tally.archives += 1

    def _fill(
        self, archive: Path, disk: Path | None, container: Container, witness: Witness, most: int
    ) -> None:
        young, grown = self._streams[container]
        stream, happened, complete, tries = young, 0, False, 0
        while happened < most and tries < 4 * FAULTS_AN_ARCHIVE:
            tries += 1
            if stream is young and (complete or self._dice.random() < 0.1):
                self.tally.growths += (archive / GROUP / "zarr.json").exists()
                stream, complete = grown, False
            self._service.streams["Europe"] = stream
            rebuilding = complete or (self._dice.random() < 0.1 and (archive / GROUP / "zarr.json").exists())
            outdated = archive / "europe" / ".outdated"
            if rebuilding and outdated.exists():
                # The next rebuild is refused for long, unless no reader needs what the last one replaced.
                witness.told()
                outdated.unlink()
            stage = Stage(self._dice, self._service, stream, archive, disk, rebuilding)
            faults = self._drawn(stage)
            count, ended = self._ordeal(stage, faults)
            happened += count
            if ended.codes[0] == 0 and not rebuilding:
                complete = True

    def _drawn(self, stage: Stage) -> list[Fault]:
        vars(self._service.faults).update(vars(Faults()))
        last = ending(stage)(stage)
        kinds = self._dice.sample(PASSING, self._dice.choice([0, 0, 1, 2]))
        # They would get in each other's way: one expiry, one answer.
        passing = [kind(stage) for kind in kinds if last.kind not in {"401", "token expired"}]
        return [last, *passing]

    def _ordeal(self, stage: Stage, faults: Sequence[Fault]) -> tuple[int, Ended]:
        """One run with these faults; count those that happened, and see that it ends as it should."""
        options = [option for fault in faults for option in fault.options]
        frames = str(self._dice.choice([1, 2, 2, 3, 5, 8]))
        arguments = [*options, "--commit-frames", frames, *["--rebuild"] * stage.rebuilding]
        quiet = () if "--wait" in options else ("-q",)
        ended = self._run(stage.archive, quiet, arguments, faults)
        happened = {fault: fault.happened(ended) for fault in faults}
        for fault, count in happened.items():
            self.tally.faults[fault.kind] += count
        last = faults[0]
        allowed = last.codes if happened[last] else {0}
        lines = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
        told = sum(code > 0 for code in ended.codes)
        # Python itself says so where a signal strikes in a finalizer; the run has to end all the same.
        ignored = ended.err.count("Exception ignored in") if isinstance(last, Signalled) else 0
        trace = ended.err.count("Traceback") > ignored and -2 not in ended.codes
        if not set(ended.codes) <= set(allowed) or (last.twice and min(ended.codes) != 0):
            self._wrong(f"exit codes {ended.codes}", stage, faults, ended)
        elif len(lines) != told or trace or "unexpected" in ended.err:
            self._wrong(f"{len(lines)} errors told", stage, faults, ended)
        return sum(happened.values()), ended

    def _wrong(self, what: str, stage: Stage, faults: Sequence[Fault], ended: Ended) -> None:
        kinds = ", ".join(fault.kind for fault in faults)
        problem = f"{self._name(stage.archive)}: {what} after {kinds}: {ended.err.strip()}"
        print(problem, flush=True)
        self.tally.wrong.append(problem)

    def _run(
        self, archive: Path, before: Sequence[str], after: Sequence[str], faults: Sequence[Fault] = ()
    ) -> Ended:
        service = self._service
        variables = {"NDVI_ARCHIVE_API_URL": service.api_url, **service.environment}
        if not any(fault.login for fault in faults):
            variables["NDVI_ARCHIVE_TOKEN"] = service.issue_token()
        command = [*_PROGRAM, *before, "convert", "Europe", "--archive", str(archive), *after]
        asked = len(service.requests)
        with tempfile.TemporaryFile() as err:
            processes = [
                subprocess.Popen(
                    command,
                    env={**os.environ, **variables},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=err,
                )
                for _ in range(1 + any(fault.twice for fault in faults))
            ]
            try:
                for fault in faults:
                    fault.meanwhile(processes[0])
                codes = [process.wait(PATIENCE) for process in processes]
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
            err.seek(0)
            said = err.read().decode(errors="replace")
        self.tally.runs += len(codes)
        self.tally.codes.update(codes)
        return Ended(codes, said, service.requests[asked:])

    def _conclude(self, archive: Path, witness: Witness) -> None:
        """Let one more run finish in peace, then compare everything."""
        tally, name = self.tally, self._name(archive)
        vars(self._service.faults).update(vars(Faults()))
        ended = self._run(archive, ("-q",), ())
        if ended.codes != [0] or ended.err:
            tally.wrong.append(f"{name}: the last run ended with {ended.codes}: {ended.err}")
        account = witness.told()
        tally.looks += account.looks
        tally.lost += [f"{name}: {each}" for each in account.lost]
        tally.wrong += [f"{name}: {each}" for each in account.wrong]
        found, expected = stored(archive), stored(self._reference)
        if found.sizes["time"] < FRAMES:
            tally.lost.append(f"{name}: {FRAMES - found.sizes['time']} frames are not there")
        try:
            xr.testing.assert_identical(found, expected)
        except AssertionError as error:
            tally.wrong.append(f"{name}: {error}")
        verify = [*_PROGRAM, "verify", "--archive", str(archive)]
        verified = subprocess.run(verify, capture_output=True, text=True, check=False)
        if verified.returncode:
            tally.wrong.append(f"{name}: verify: {verified.stdout} {verified.stderr}")

    def _name(self, archive: Path) -> str:
        return f"seed {self.tally.seed}, {archive.parent.name}"


def show(tally: Tally) -> None:
    """Print the counts."""
    for kind, count in sorted(tally.faults.items()):
        print(f"{count:5d} {kind}")
    codes = ", ".join(f"{code} × {count}" for code, count in sorted(tally.codes.items()))
    print(f"{tally.runs} runs in {tally.seconds:.0f} s; exit codes {codes}")
    print(f"{tally.looks} looks of a reader at all of an archive; the stream grew {tally.growths} times")
    if tally.skipped:
        print(f"SKIPPED: {tally.skipped}")
    for problem in (*tally.lost, *tally.wrong):
        print(f"FAILED: {problem}")
    print(
        f"{tally.faults.total()} faults, {tally.archives} archives:"
        f" lost {len(tally.lost)}, wrong {len(tally.wrong)}"
    )


def main() -> None:
    """Let faults happen, print what came of it, and end with 1 where anything was lost or wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--faults", type=int, default=500, help="end after so many")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(1 << 32), help="repeat a choice of faults"
    )
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    begun = monotonic()
    with tempfile.TemporaryDirectory() as folder, Soak(Path(folder), arguments.seed) as soak:
        tally = soak.tally
        while (left := arguments.faults - tally.faults.total()) > 0:
            soak.archive(min(left, FAULTS_AN_ARCHIVE))
            done = f"{tally.archives} archives, {tally.faults.total()} faults, {monotonic() - begun:.0f} s"
            print(f"{done}: lost {len(tally.lost)}, wrong {len(tally.wrong)}", flush=True)
    tally.seconds = monotonic() - begun
    show(tally)
    if arguments.json:
        arguments.json.write_text(json.dumps(vars(tally), indent=2) + "\n")
    sys.exit(bool(tally.lost or tally.wrong))


if __name__ == "__main__":
    main()
