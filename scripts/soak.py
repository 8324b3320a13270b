#!/usr/bin/env python3
"""Archive a stream again and again while everything goes wrong; nothing may be lost, nothing may be wrong.

Every archive begins with nothing. Real processes of `ndvi-archive convert` fill it from the stand-in of the
service, over HTTP, while they are killed, the network fails, tokens and addresses expire, the stream stalls,
is cut or grows, the disk is full, and others run or rebuild at the same time; then it is rebuilt under the
same faults. Every fourth archive lies in a bucket whose listings lag. Each run goes on by itself where the
one before ended. All the time another process reads the archive and compares what it sees with a reference
that was made in peace; so does the end of each archive.

Run it with the project's environment: .venv/bin/python scripts/soak.py --faults 500. The seed repeats the
choice of faults; the moment at which a signal strikes differs from run to run.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic

import xarray as xr
from soak_endings import Signalled, ending
from soak_faults import PASSING, Fault, Lagging, Stage
from soak_places import OUTDATED, ROOT, Folder, InBucket, Place, small_disk
from soak_runs import Ended, Runs
from soak_streams import CONTAINERS, FRAMES, check_reference, streams

from etl.demo.encoder import Container
from etl.demo.faults import Faults
from etl.demo.service import StandIn
from tests.load.buckets import clean, s3_server
from tests.load.lagging import lagging
from tests.witness import Witness


@dataclass
class Tally:
    """What happened.

    Attributes:
        seed: what the choice of faults began with.
        faults: faults that really happened, by kind.
        archives: archives that were made.
        buckets: how many of them were in a bucket.
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
    buckets: int = 0
    runs: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    looks: int = 0
    growths: int = 0
    seconds: float = 0.0
    skipped: str = ""
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Soak:
    """Archives one after the other, and what came of them."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Encode the streams."""
        self._folder = folder
        self._dice = Random(seed)  # noqa: S311
        self._stack = ExitStack()
        self.tally = Tally(seed)
        self._streams = streams(folder)
        self._service = StandIn({}, signed_urls=True, token_seconds=3600)
        self._reference = Folder(folder / "reference" / "archive")

    def __enter__(self) -> "Soak":
        """Bring the stand-in and the storage up, and make the reference."""
        self._stack.enter_context(self._service)
        self._server = self._stack.enter_context(s3_server())
        self._proxy = self._stack.enter_context(lagging(self._server))
        self._service.streams["Europe"] = self._streams[CONTAINERS[0]][1]
        ended = self._run(self._reference, ("-q",), ())
        if ended.codes != [0]:
            raise SystemExit(f"the reference cannot be made: {ended.err}")
        check_reference(self._reference.stored())
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def archive(self, most: int) -> None:
        """Make one archive, with about as many faults."""
        number = self.tally.archives
        container = CONTAINERS[(number + number // 4) % len(CONTAINERS)]
        with ExitStack() as stack:
            place = self._place(stack, number)
            witness = stack.enter_context(
                Witness(place.address, Path(self._reference.address), place.readers)
            )
            self._fill(place, container, witness, min(most, place.most))
            self._service.streams["Europe"] = self._streams[container][1]
            self._conclude(place, witness)
        self.tally.archives += 1

    def _place(self, stack: ExitStack, number: int) -> Place:
        """Of four archives, two on a small disk, one in the bucket, and one on the disk that is there."""
        if number % 4 == 1:
            self.tally.buckets += 1
            clean(self._server)
            return InBucket(f"archive-{number}", self._server, self._proxy)
        folder = self._folder / f"archive-{number}"
        folder.mkdir()
        if number % 4 == 3:
            return Folder(folder / "archive")
        if not stack.enter_context(small_disk(folder)):
            self.tally.skipped = "full disk: this account may not mount a small file system"
            return Folder(folder / "archive")
        return Folder(folder / "archive", folder)

    def _fill(self, place: Place, container: Container, witness: Witness, most: int) -> None:
        young, grown = self._streams[container]
        stream, happened, complete, tries = young, 0, False, 0
        while happened < most and tries < 4 * place.most:
            tries += 1
            is_begun = place.version(ROOT) is not None
            if stream is young and (complete or self._dice.random() < 0.1):
                self.tally.growths += is_begun
                stream, complete = grown, False
            self._service.streams["Europe"] = stream
            rebuilding = complete or (self._dice.random() < 0.1 and is_begun)
            if (rebuilding or self._dice.random() < 0.5) and place.version(OUTDATED):
                # The next rebuild is refused for long, unless no reader needs what the last one replaced.
                witness.told()
                place.remove(OUTDATED)
            stage = Stage(self._dice, self._service, stream, place, rebuilding)
            faults = self._drawn(stage)
            count, ended = self._ordeal(stage, faults)
            happened += count
            if ended.codes[0] == 0 and not rebuilding:
                complete = True
            if 6 in ended.codes:
                # Nothing more is to be learned from one that is damaged.
                return

    def _drawn(self, stage: Stage) -> list[Fault]:
        self._calm(stage.place)
        last = ending(stage)(stage)
        kinds = self._dice.sample(PASSING, self._dice.choice([0, 0, 1, 2]))
        # They would get in each other's way: one expiry, one answer, the same requests of a login.
        passing = [] if last.login or last.kind == "401" else [kind(stage) for kind in kinds]
        if stage.place.proxy and self._dice.random() < 0.7:
            passing.append(Lagging(stage))
        return [last, *passing]

    def _calm(self, place: Place) -> None:
        """Let nothing go wrong."""
        vars(self._service.faults).update(vars(Faults()))
        place.calm()

    def _ordeal(self, stage: Stage, faults: Sequence[Fault]) -> tuple[int, Ended]:
        """One run with these faults; count those that happened, and see that it ends as it should."""
        options = [option for fault in faults for option in fault.options]
        frames = str(self._dice.choice(stage.place.commits))
        arguments = [*options, "--commit-frames", frames, *["--rebuild"] * stage.rebuilding]
        quiet = () if "--wait" in options else ("-q",)
        ended = self._run(stage.place, quiet, arguments, faults)
        happened = {fault: fault.happened(ended) for fault in faults}
        for fault, count in happened.items():
            self.tally.faults[fault.kind] += count
        last = faults[0]
        lines = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
        told = sum(code > 0 for code in ended.codes)
        # Python itself says so where a signal strikes in a finalizer; the run has to end all the same.
        ignored = ended.err.count("Exception ignored in") if isinstance(last, Signalled) else 0
        trace = ended.err.count("Traceback") > ignored and -2 not in ended.codes
        if ended.hung:
            self._wrong(f"{ended.hung} processes hung", stage, faults, ended)
        elif not last.is_right(ended, bool(happened[last])):
            self._wrong(f"exit codes {ended.codes}", stage, faults, ended)
        elif len(lines) != told or trace or "unexpected" in ended.err:
            self._wrong(f"{len(lines)} errors told", stage, faults, ended)
        elif "no longer listed" in ended.err:
            self._wrong("listed frames count as withdrawn", stage, faults, ended)
        return sum(happened.values()), ended

    def _wrong(self, what: str, stage: Stage, faults: Sequence[Fault], ended: Ended) -> None:
        kinds = ", ".join(fault.kind for fault in faults)
        lines = [line for line in ended.err.splitlines() if " INFO " not in line]
        problem = "\n".join([f"{self._name(stage.place)}: {what} after {kinds}:", *lines])
        print(problem, flush=True)
        self.tally.wrong.append(problem)

    def _run(
        self, place: Place, before: Sequence[str], after: Sequence[str], faults: Sequence[Fault] = ()
    ) -> Ended:
        service = self._service
        variables = {"NDVI_ARCHIVE_API_URL": service.api_url, **service.environment, **place.variables}
        if not any(fault.login for fault in faults):
            variables["NDVI_ARCHIVE_TOKEN"] = service.issue_token()
        asked = len(service.requests)
        command = [*before, "convert", "Europe", "--archive", place.address]
        with Runs(command, variables, *after) as runs:
            for fault in faults:
                fault.meanwhile(runs)
            hung = runs.finish()
            codes = [process.exitcode or 0 for process in runs.processes]
            err = runs.err()
        place.bury()
        self.tally.runs += len(codes)
        self.tally.codes.update(codes)
        return Ended(codes, hung, err, service.requests[asked:])

    def _conclude(self, place: Place, witness: Witness) -> None:
        """Let one more run finish in peace, then compare everything."""
        tally, name = self.tally, self._name(place)
        self._calm(place)
        ended = self._run(place, ("-q",), ())
        if ended.codes != [0] or ended.err:
            tally.wrong.append(f"{name}: the last run ended with {ended.codes}: {ended.err}")
        account = witness.told()
        tally.looks += account.looks
        tally.lost += [f"{name}: {each}" for each in account.lost]
        tally.wrong += [f"{name}: {each}" for each in account.wrong]
        try:
            found, expected = place.stored(), self._reference.stored()
        except (OSError, LookupError, ValueError) as error:
            tally.lost.append(f"{name}: it cannot be read: {error}")
            return
        if found.sizes["time"] < FRAMES:
            tally.lost.append(f"{name}: {FRAMES - found.sizes['time']} frames are not there")
        try:
            xr.testing.assert_identical(found, expected)
        except AssertionError as error:
            tally.wrong.append(f"{name}: {error}")
        verify = [sys.executable, "-P", "-m", "etl.cli", "verify", "--archive", place.address]
        variables = {**os.environ, **place.variables}
        verified = subprocess.run(verify, env=variables, capture_output=True, text=True, check=False)
        if verified.returncode:
            tally.wrong.append(f"{name}: verify: {verified.stdout} {verified.stderr}")

    def _name(self, place: Place) -> str:
        return f"seed {self.tally.seed}, {place.name}"


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
        f"{tally.faults.total()} faults, {tally.archives} archives, {tally.buckets} of them in a bucket:"
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
            soak.archive(left)
            done = f"{tally.archives} archives, {tally.faults.total()} faults, {monotonic() - begun:.0f} s"
            print(f"{done}: lost {len(tally.lost)}, wrong {len(tally.wrong)}", flush=True)
    tally.seconds = monotonic() - begun
    show(tally)
    if arguments.json:
        arguments.json.write_text(json.dumps(vars(tally), indent=2) + "\n")
    sys.exit(bool(tally.lost or tally.wrong))


if __name__ == "__main__":
    main()
