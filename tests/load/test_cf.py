"""What is archived follows the CF conventions: a part of it, exported to NetCDF, has no finding."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import etl
from etl.load.folder import LocalFolder

from .archives import archive, frames


@pytest.mark.parametrize("mask", [True, False], ids=["masked", "as stored"])
def test_an_exported_part_has_no_finding(store: LocalFolder, tmp_path: Path, mask: bool) -> None:
    archive(store, frames(range(1, 9)))
    whole = etl.open_archive(store.root, "Europe", mask=mask)
    # Both satellites can see the same second, and CF wants times that increase: one of them.
    part = whole.isel(time=whole.satellite.values == "S3A", longitude=slice(1, 4))

    part.to_netcdf(tmp_path / "part.nc", engine="netcdf4")

    report = cf_report(tmp_path / "part.nc")
    findings = [
        f"{check['name']}: {message}"
        for priority in ("high_priorities", "medium_priorities", "low_priorities")
        for check in report[priority]
        for message in check["msgs"]
    ]
    assert findings == []
    assert report["scored_points"] == report["possible_points"] > 20
    with xr.open_dataset(tmp_path / "part.nc", mask_and_scale=False) as exported:
        assert exported.ndvi.dtype == np.int16
        assert exported.ndvi.shape == (4, 3, 3)


def cf_report(path: Path) -> dict[str, Any]:
    """What compliance-checker, at its strictest, has to say of a file."""
    program = Path(sys.executable).with_name("compliance-checker")
    options = ["--test", "cf:1.11", "--criteria", "strict", "--format", "json", "--output", "-"]
    done = subprocess.run([program, *options, path], capture_output=True, text=True, check=False)
    report: dict[str, Any] = json.loads(done.stdout)["cf:1.11"]
    return report
