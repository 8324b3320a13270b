"""A reader in a process of its own, which watches an archive while others write to it.

It opens the archive again and again, as readers do that use the consolidated metadata and as those do that
open single arrays, and compares every value it sees with a reference archive:

- all arrays have one length in the consolidated view, and no array ever gets shorter in any view;
- every value of every frame that is there is that of the reference, never fill where a frame was archived;
- `time` is never longer than another array, whichever way they are opened;
- once the archive was seen nothing may raise, and the STAC files are whole.

As a program: `python tests/witness.py ARCHIVE REFERENCE`, both with one continent, `europe`, the archive in
a folder or a bucket. Every line on its standard input is answered, after a look at everything that began
later, with a line of JSON.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import numpy as np
import obstore
import xarray as xr
import zarr
from numpy.typing import NDArray
from obstore.store import from_url
from zarr.storage import LocalStore, ObjectStore

GROUP = Path("europe", "ndvi.zarr")
STAC = (Path("catalog.json"), Path("europe", "collection.json"))
PATIENCE = 120.0
"""Seconds after which the other process counts as hung."""

_OWN = "archived_at"
"""The one array in which two archives of the same stream differ."""

_MOST_TOLD = 20


@dataclass
class Account:
    """What a reader has seen.

    Attributes:
        looks: times the archive was read as a whole, in both views.
        early: times there was no archive yet.
        partial: looks in which arrays opened one by one had different lengths.
        lengths: the greatest length seen of every array, by view.
        lost: what got shorter, or went away.
        wrong: everything else that must not be.
    """

    looks: int = 0
    early: int = 0
    partial: int = 0
    lengths: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Reader:
    """Looks at an archive."""

    def __init__(self, archive: str, reference: Path) -> None:
        self._archive = archive
        self._group = _store(f"{archive}/{GROUP}")
        with xr.open_zarr(reference / GROUP, **_AS_STORED) as dataset:
            self._expected = {str(name): np.asarray(array) for name, array in dataset.variables.items()}
            self._along_time = {name for name in self._expected if "time" in dataset[name].dims}
        self.account = Account()

    def look(self) -> None:
        """Read all there is, in both views."""
        if _read(self._archive, GROUP / "zarr.json") is None:
            if self.account.looks:
                self.account.lost.append("the root is gone")
            self.account.early += 1
            return
        for view in (self._look_consolidated, self._look_at_single_arrays, self._look_at_catalog):
            try:
                view()
            except Exception as error:  # noqa: BLE001 - whatever a reader meets is told
                self.account.wrong.append(f"{view.__name__}: {type(error).__name__}: {error}")
        self.account.looks += 1

    def _look_consolidated(self) -> None:
        with xr.open_zarr(self._group, **_AS_STORED) as dataset:
            if set(map(str, dataset.variables)) != self._expected.keys():
                self.account.wrong.append(f"the arrays are {sorted(map(str, dataset.variables))}")
            for name, array in dataset.variables.items():
                self._check("consolidated", str(name), np.asarray(array))

    def _look_at_single_arrays(self) -> None:
        lengths = {}
        # time first: it is the last one to grow, so all that are opened after it are as long.
        for name in sorted(self._expected, key=lambda name: name != "time"):
            array = zarr.open_array(self._group, path=name, mode="r")
            self._check("single", name, np.asarray(array[...]))
            if name in self._along_time:
                lengths[name] = array.shape[0]
        if min(lengths.values()) < lengths["time"]:
            self.account.wrong.append(f"time is longer than other arrays: {lengths}")
        self.account.partial += len(set(lengths.values())) > 1

    def _look_at_catalog(self) -> None:
        for path in STAC:
            data = _read(self._archive, path)
            if data is not None:
                json.loads(data)

    def _check(self, view: str, name: str, found: NDArray[Any]) -> None:
        account, expected = self.account, self._expected[name]
        key = f"{view} {name}"
        if name in self._along_time:
            longest = account.lengths.get(key, 0)
            if len(found) < longest:
                account.lost.append(f"{key} has {len(found)} frames, after {longest}")
            account.lengths[key] = max(longest, len(found))
            expected = expected[: len(found)]
        if name == _OWN:
            if not np.all(found > 0):
                account.wrong.append(f"{key} has {np.count_nonzero(found <= 0)} values of fill")
        elif found.tobytes() != expected.tobytes() or found.dtype != expected.dtype:
            account.wrong.append(f"{key} differs from the reference{_where(found, expected)}")


def _store(address: str) -> LocalStore | ObjectStore[Any]:
    """What is below an address, as zarr-python reads it."""
    if "://" in address:
        return ObjectStore(from_url(address, client_options={"allow_http": True}), read_only=True)
    return LocalStore(address, read_only=True)


def _read(archive: str, path: Path) -> bytes | None:
    try:
        if "://" in archive:
            store = from_url(archive, client_options={"allow_http": True})
            return bytes(obstore.get(store, str(path)).bytes())
        return Path(archive, path).read_bytes()
    except FileNotFoundError:
        return None


def _where(found: NDArray[Any], expected: NDArray[Any]) -> str:
    if found.shape != expected.shape:
        return f": shape {found.shape}, not {expected.shape}"
    frames = [n for n, (a, b) in enumerate(zip(found, expected, strict=True)) if a.tobytes() != b.tobytes()]
    return f" at {frames[:5]} of {len(found)}"


_AS_STORED: dict[str, Any] = {
    "consolidated": True,
    "chunks": None,
    "mask_and_scale": False,
    "decode_times": False,
    "decode_coords": False,
}


class Witness(AbstractContextManager["Witness"]):
    """The process of a reader, from `with` to the end of its block."""

    def __init__(
        self, archive: Path | str, reference: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        """Start looking.

        Args:
            archive: folder of the archive to watch, or its address; it need not be there yet.
            reference: folder of an archive with all frames there will ever be.
            variables: environment variables to set.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(archive), str(reference)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | dict(variables or {}),
            text=True,
        )
        self.told()

    def told(self) -> Account:
        """What was seen up to the end of a look that begins now.

        Raises:
            RuntimeError: The reader's process has died, or says nothing.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("tell\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError("the reader's process says nothing")
        return Account(**json.loads(line))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Look until the standard input ends."""
    # Those who write are to be hurried, not this one.
    os.nice(5)
    archive, reference = sys.argv[1:]
    reader = Reader(archive, Path(reference))
    rest = 0.01
    while True:
        asked, _, _ = select.select([sys.stdin], [], [], rest)
        if asked and not sys.stdin.readline():
            return
        begun = monotonic()
        reader.look()
        if reader.account.looks:
            # The machine, and a storage with one answer at a time, are left to others for as long.
            rest = monotonic() - begun
        for problems in (reader.account.lost, reader.account.wrong):
            del problems[_MOST_TOLD:]
        if asked:
            print(json.dumps(asdict(reader.account)), flush=True)


if __name__ == "__main__":
    main()
