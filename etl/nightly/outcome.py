"""What came of each continent of a night."""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from etl.errors import ArchiveError
from etl.load.inventory import folder_of, read_inventory
from etl.load.runs import keep_run
from etl.load.stores import Store
from etl.report import json_line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What came of one continent.

    Attributes:
        report: the report of its run, or of a run that could not write one what is known of it;
            `exit_code` is None where it was not begun, and as shells count where a signal killed it.
        text: what the run printed.
    """

    report: dict[str, Any]
    text: str = ""

    @property
    def continent(self) -> str:
        """Name of the continent."""
        return str(self.report["continent"])

    @property
    def exit_code(self) -> int | None:
        """How its process ended; None if it was not begun."""
        code: int | None = self.report["exit_code"]
        return code


def verified(outcome: Outcome, text: str, code: int, error: str) -> Outcome:
    """The outcome of a run, and of the verification after it.

    Args:
        outcome: what came of the run.
        text: what the verification printed: JSON, unless it failed early.
        code: its exit code, as shells count.
        error: the error that it ended with, if it did.
    """
    report = dict(outcome.report)
    try:
        figures = json.loads(text)
    except ValueError:
        figures = None
    if figures:
        (continent,) = figures["continents"]
        findings = [*continent["findings"], *figures["catalog"]["findings"]]
        report["verification"] = {
            "seed": figures["seed"],
            "frames_compared": continent["frames_compared"],
            "findings": findings,
        }
        if findings:
            error = f"{findings[0]['what']} [{findings[0]['where']}]; {error}"
    if code:
        report |= {"exit_code": code, "error": f"verification: {error}"}
    return Outcome(report, outcome.text)


def unreported(
    store: Store, continent: str, started: datetime, exit_code: int | None, error: str
) -> dict[str, Any]:
    """The report of a run that left none: what the archive itself tells of it.

    Args:
        store: the archive's storage.
        continent: name of the continent.
        started: when the run began.
        exit_code: exit code of the run; None if it was not begun.
        error: what ended it.
    """
    try:
        inventory = read_inventory(store, folder_of(continent))
    except ArchiveError:
        inventory = None
    report: dict[str, Any] = {"continent": continent, "archive": str(store)}
    if inventory:
        since = inventory.columns["archived_at"] >= int(started.timestamp())
        report |= {"archived": int(np.count_nonzero(since)), "newest_time": inventory.times[-1]}
    report |= {"started": started, "finished": datetime.now(UTC), "error": error, "exit_code": exit_code}
    plain: dict[str, Any] = json.loads(json_line(report))
    return plain


def keep(store: Store, report: dict[str, Any]) -> None:
    """Keep the report of a run that was killed among those of its continent, as it could not do so itself."""
    folder = folder_of(report["continent"])
    if not store.exists(folder):
        return
    try:
        keep_run(store, folder, json_line(report), datetime.fromisoformat(report["started"]))
    except ArchiveError as error:
        log.warning("%s", error, extra={"event": "another_error", "fields": {"exit_code": error.exit_code}})
