"""A conversion in a loop under random faults; scripts/soak.py with more of them is for longer nights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SOAK = Path(__file__).parents[1] / "scripts" / "soak.py"
FAULTS = 50


def test_nothing_is_lost_or_wrong_after_fifty_random_faults(tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"

    done = subprocess.run(
        [sys.executable, SOAK, "--faults", str(FAULTS), "--json", counts],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    tally = json.loads(counts.read_text())
    happened = sum(tally["faults"].values())
    assert happened >= FAULTS
    archives = f"{tally['archives']} archives, {tally['buckets']} of them in a bucket"
    assert done.stdout.endswith(f"{happened} faults, {archives}: lost 0, wrong 0\n")
    assert tally["lost"] == tally["wrong"] == []
    assert tally["looks"] > tally["archives"]
    for kind, least in (("SIG", 6), ("LIST", 1), ("interim", 1)):
        assert sum(count for name, count in tally["faults"].items() if name.startswith(kind)) >= least, kind
