"""How the last runs went, as a text file that Prometheus' node exporter reads."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families

from etl.errors import StorageError

log = logging.getLogger(__name__)

Run = Mapping[str, Any]
"""The report of a run, as `RunReport.to_json` writes it; of a run that was killed, what is known of it."""

_PREFIX = "ndvi_archive_"
_LAST_SUCCESS = "last_success_timestamp_seconds"
_NEWEST_FRAME = "newest_frame_timestamp_seconds"

_FIGURES = (
    ("frames_archived", "archived", "Frames the last run archived."),
    ("read_bytes", "bytes_in", "Bytes the last run downloaded."),
    ("written_bytes", "bytes_out", "Bytes the last run wrote."),
    ("retries", "retries", "Requests and connections the last run tried again."),
    ("stale", "stale", "1 where the newest frame is older than --stale-after allows, else 0."),
    ("last_run_exit_code", "exit_code", "Exit code of the last run."),
)
"""Metric, field of the report, and help."""

_KINDS = {
    "skipped": "skipped",
    "empty": "empty",
    "late": "late",
    "republished": "republished",
    "renumbered": "renumbered",
    "withdrawn": "withdrawn",
    "duplicate": "duplicates",
    "ahead": "ahead",
}
"""Value of the label `kind`, and field of the report."""


def write_metrics(path: Path, runs: Sequence[Run]) -> None:
    """Replace the file by the figures of each continent's last run.

    The file then holds the continents of these runs and no others: programs that do not know of each other
    need a file each. A run that failed may not know how old the newest frame is, nor when the last success
    was. These come from the last of the runs that knows them, or else from the file as it was.

    Args:
        path: the file; the node exporter reads those named `*.prom`.
        runs: reports, those of one continent in the order of time: the last one, or earlier ones as well.

    Raises:
        StorageError: The file cannot be written. Nothing else was left undone if this is called last.
    """
    by_continent: dict[str, list[Run]] = {}
    for run in runs:
        if "continent" in run:
            by_continent.setdefault(str(run["continent"]), []).append(run)
    before = _read(path)
    lost = sorted({continent for _, continent in before} - set(by_continent))
    if lost:
        log.warning(
            "%s told of %s and no longer does; give every command a --metrics file of its own",
            path,
            ", ".join(lost),
            extra={"event": "metrics_dropped", "fields": {"continents": lost}},
        )
    try:
        write_to_textfile(str(path), _registry(by_continent, before))
    except OSError as error:
        raise StorageError(f"cannot write the metrics {path}: {error.strerror}", "check --metrics") from None


def _registry(
    by_continent: Mapping[str, Sequence[Run]], before: Mapping[tuple[str, str], float]
) -> CollectorRegistry:
    registry = CollectorRegistry()

    def gauge(name: str, about: str, *labels: str) -> Gauge:
        return Gauge(_PREFIX + name, about, ["continent", *labels], registry=registry)

    figures = {field: gauge(name, about) for name, field, about in _FIGURES}
    frames = gauge("frames", "Frames of the last run that were not simply archived, by kind.", "kind")
    stages = gauge("stage_seconds", "Time the last run spent in each stage.", "stage")
    run_seconds = gauge("run_seconds", "Time the last run took.")
    last_run = gauge("last_run_timestamp_seconds", "When the last run ended.")
    last_success = gauge(_LAST_SUCCESS, "When the last run that went well ended.")
    newest_frame = gauge(_NEWEST_FRAME, "Sensing start of the newest archived frame.")

    for continent, all_runs in by_continent.items():
        run, latest_first = all_runs[-1], all_runs[::-1]
        begun, ended = _time(run, "started"), _time(run, "finished")
        for field, figure in figures.items():
            _set(figure, _number(run.get(field)), continent)
        for kind, field in _KINDS.items():
            _set(frames, _number(run.get(field)), continent, kind)
        for stage, seconds in (run.get("seconds") or {}).items():
            _set(stages, _number(seconds), continent, stage)
        if begun and ended:
            _set(run_seconds, ended - begun, continent)
        _set(last_run, ended, continent)
        successes = (_time(each, "finished") for each in latest_first if each.get("exit_code") == 0)
        newest_times = (_time(each, "newest_time") for each in latest_first)
        for kept, name, times in (
            (last_success, _LAST_SUCCESS, successes),
            (newest_frame, _NEWEST_FRAME, newest_times),
        ):
            known = (time for time in times if time is not None)
            _set(kept, next(known, before.get((_PREFIX + name, continent))), continent)
    return registry


def _set(gauge: Gauge, value: float | None, *labels: str) -> None:
    """Set a gauge; one whose value is not known is left out of the file."""
    if value is not None:
        gauge.labels(*labels).set(value)


def _number(value: object) -> float | None:
    if isinstance(value, list):
        return len(value)
    return float(value) if isinstance(value, int | float) else None


def _time(run: Run, field: str) -> float | None:
    """A time of the report in seconds since 1970."""
    try:
        return datetime.fromisoformat(run[field]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None


def _read(path: Path) -> dict[tuple[str, str], float]:
    """The figures in a file by metric and continent; none where it is missing or is something else."""
    try:
        families = list(text_string_to_metric_families(path.read_text()))
    except (OSError, ValueError, LookupError):
        return {}
    samples = [sample for family in families for sample in family.samples]
    return {
        (sample.name, sample.labels["continent"]): sample.value
        for sample in samples
        if sample.name.startswith(_PREFIX) and "continent" in sample.labels
    }
