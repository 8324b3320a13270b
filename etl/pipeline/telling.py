"""What is odd about the frames: put into the report, and named in the log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from etl.errors import ArchiveError
from etl.extract.frame import FrameEntry
from etl.load.inventory import Inventory
from etl.plan import Plan
from etl.report import RunReport

log = logging.getLogger(__name__)

_MOST_NAMED = 10
"""Odd frames of a kind that are named in the log."""

_ODDITIES = {
    "late": "absent and older than the newest archived frame, so not archived; --rebuild lets it in",
    "republished": "archived with other values than in the stream now, and kept; --rebuild takes those",
    "renumbered": "archived under another number than it has in the stream now",
    "withdrawn": "archived and no longer listed by the service; it stays archived",
    "duplicates": "left out, because another frame has the same time and satellite; see --duplicates",
    "ahead": "left out, because it is dated ahead of now",
}
"""What to say of odd frames, by the field of the report they go to."""

_REBUILT = _ODDITIES | {
    "late": "absent and older than the newest archived one; the rebuild takes it",
    "republished": "archived with other values than in the stream now; the rebuild takes those",
    "renumbered": "archived under another number than it has in the stream now; the rebuild takes that",
}
_DROPPED = "archived and no longer listed by the service; the rebuild drops it"


def tell(plan: Plan, inventory: Inventory | None, report: RunReport) -> None:
    """Put a plan into the report and name what is odd."""
    report.planned = len(plan.new)
    report.skipped = len(plan.archived) + len(plan.republished)
    fields = {"new": report.planned, "archived": report.skipped}
    log.info(
        "%s: %d new frames, %d archived already",
        report.continent,
        report.planned,
        report.skipped,
        extra={"event": "planned", "fields": fields},
    )
    earlier = _before(inventory.times[0], plan.late) if inventory else []
    if earlier:
        log.warning(
            "%d frames are older than the archive's first and so not archived; --rebuild lets them in",
            len(earlier),
            extra={"event": "frames_before_first", "fields": {"frames": len(earlier)}},
        )
    for kind in _ODDITIES:
        entries: tuple[FrameEntry, ...] = getattr(plan, kind)
        tell_odd(kind, [entry for entry in entries if entry not in earlier], report)
    report.late = [str(entry) for entry in plan.late]


def tell_rebuild(plan: Plan, report: RunReport, *, drops: bool) -> None:
    """Put what is odd about the frames of a rebuild into the report, and name it.

    Args:
        plan: how the listed frames differ from the archived ones.
        report: takes the names.
        drops: frames that are no longer listed are left out.
    """
    for kind, what in _REBUILT.items():
        entries: tuple[FrameEntry, ...] = getattr(plan, kind)
        tell_odd(kind, list(entries), report, _DROPPED if kind == "withdrawn" and drops else what)


def tell_odd(kind: str, entries: list[FrameEntry], report: RunReport, what: str = "") -> None:
    """Add frames to a list of odd ones in the report, and name the first of them in the log.

    Args:
        kind: the field of the report.
        entries: the frames.
        report: takes their names.
        what: what to say of each; by default what is so of a run without a rebuild.
    """
    what = what or _ODDITIES[kind]
    names = [str(entry) for entry in entries]
    getattr(report, kind).extend(names)
    event = f"frame_{kind.removesuffix('s')}"
    for name in names[:_MOST_NAMED]:
        log.warning("%s is %s", name, what, extra={"event": event, "fields": {"frame": name}})
    if names[_MOST_NAMED:]:
        count = len(names) - _MOST_NAMED
        fields = {"frames": count}
        log.warning(
            "%d more frames are %s; the report names them",
            count,
            what,
            extra={"event": event, "fields": fields},
        )


def tell_age(newest: datetime | None, stale_after: float | None, report: RunReport) -> None:
    """Put the newest archived frame into the report, and warn where it is older than it may be."""
    report.newest_time = newest
    if stale_after is None or newest is None or report.finished is None:
        return
    days = (report.finished - newest).total_seconds() / 86400
    report.stale = days > stale_after
    if report.stale:
        log.warning(
            "%s is stale: its newest frame is %.1f days old, more than %g",
            report.continent,
            days,
            stale_after,
            extra={"event": "stale", "fields": {"days": round(days, 3), "newest": newest.isoformat()}},
        )


@contextmanager
def errors_logged() -> Iterator[None]:
    """Log an error instead of raising it: an earlier one is on its way to the user."""
    try:
        yield
    except ArchiveError as error:
        fields = {"exit_code": error.exit_code}
        log.warning("%s", error, extra={"event": "another_error", "fields": fields})


def _before(first: datetime, entries: tuple[FrameEntry, ...]) -> list[FrameEntry]:
    return [entry for entry in entries if entry.time < first]
