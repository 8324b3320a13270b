"""What was found, as JSON and as a table."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from .measuring import Group, Run
from .runner import __doc__ as how_it_is_measured
from .setting import Setting, cores
from .targets import Verdict

_PACKAGES = ("av", "numpy", "numcodecs", "xarray", "zarr", "rioxarray", "rasterio", "obstore")


def machine() -> dict[str, Any]:
    """What it ran on."""
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    command = [shutil.which("ffmpeg") or "ffmpeg", "-version"]
    ffmpeg = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": cores(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "ffmpeg": ffmpeg.split()[2],
        **{name: version(name) for name in _PACKAGES},
    }


def as_json(
    setting: Setting, groups: Sequence[Group], verdicts: Sequence[Verdict], about: Mapping[str, Any]
) -> str:
    """Everything, each run included; `about` is added as it is."""
    return json.dumps(
        {
            "machine": machine(),
            "load": os.getloadavg()[0],
            "settings": {"repeat": setting.repeat, "sizes": asdict(setting.sizes)},
            **about,
            "method": how_it_is_measured,
            "groups": {group.name: _group(group) for group in groups},
            "targets": [
                {
                    "group": verdict.target.group,
                    "figure": verdict.figure.name if verdict.figure else verdict.target.figure,
                    "target": verdict.target.text,
                    "value": verdict.figure.value if verdict.figure else None,
                    "holds": verdict.holds,
                }
                for verdict in verdicts
            ],
        },
        indent=1,
    )


def _group(group: Group) -> dict[str, Any]:
    return {
        "about": group.about,
        "skipped": group.skipped,
        "figures": {
            figure.name: {"value": figure.value, "low": figure.low, "high": figure.high}
            for figure in group.figures
        },
        "variants": {name: _runs(runs) for name, runs in group.runs.items()},
        "more": group.more,
    }


def _runs(runs: Sequence[Run]) -> dict[str, Any]:
    return {
        name: {"median": median(values), "runs": values}
        for name in runs[0].names
        for values in [[run.value(name) for run in runs]]
    }


def as_table(groups: Sequence[Group], verdicts: Sequence[Verdict]) -> str:
    """Markdown: for each benchmark its variants, then its figures with their targets."""
    lines: list[str] = []
    for group in groups:
        lines += [f"## {group.name}", "", f"{group.about[0].upper()}{group.about[1:]}.", ""]
        if group.runs:
            lines += ["| variant | wall, s | CPU, s | peak, MB | on disk, MB |", "|---|---|---|---|---|"]
            lines += [_row(name, runs) for name, runs in group.runs.items()] + [""]
        lines += ["| figure | value | spread | target | |", "|---|---|---|---|---|"]
        own = [verdict for verdict in verdicts if verdict.target.group == group.name]
        for figure in group.figures:
            met = [verdict for verdict in own if verdict.figure is figure]
            limits = ", ".join(verdict.target.text for verdict in met)
            holds = ("holds" if all(verdict.holds for verdict in met) else "**misses**") if met else ""
            spread = f"{_number(figure.low)} – {_number(figure.high)}"
            lines.append(f"| {figure.name} | {_number(figure.value)} | {spread} | {limits} | {holds} |")
        lines += [
            f"| {verdict.target.figure} | not measured | | {verdict.target.text} | **misses** |"
            for verdict in own
            if verdict.figure is None
        ]
        lines += ["", *(f"Not measured: {each}." for each in group.skipped), ""]
    return "\n".join(lines)


def _row(name: str, runs: Sequence[Run]) -> str:
    def middle(figure: str) -> float:
        return median(run.value(figure) for run in runs)

    size = f"{middle('size') / 1e6:.1f}" if "size" in runs[0].figures else ""
    return f"| {name} | {middle('wall'):.2f} | {middle('cpu'):.2f} | {middle('peak') / 1e6:.0f} | {size} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
