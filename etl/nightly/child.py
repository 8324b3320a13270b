"""The process that archives one continent: how it is called, and what it says."""

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from etl.config import Config, Continent
from etl.extract.auth import TOKEN_VARIABLE
from etl.report import json_line

log = logging.getLogger(__name__)

_PREFIX = "NDVI_ARCHIVE_"
_INHERITED = (TOKEN_VARIABLE, "NDVI_ARCHIVE_TOKEN_FILE", "NDVI_ARCHIVE_API_URL")
"""Who asks and whom may come from the environment; what is archived is up to the configuration alone."""


def command(config: Config, continent: Continent, report_file: Path, options: Sequence[str]) -> list[str]:
    """The command that archives a continent.

    Args:
        config: the configuration.
        continent: one of its continents.
        report_file: where the process writes its report.
        options: global options of the program.
    """
    words = [sys.executable, "-P", "-m", "etl.cli", *options, "convert", continent.name]
    words += ["--archive", config.archive, "--report", str(report_file), "--no-progress"]
    if continent.first_date:
        words += ["--start", continent.first_date.isoformat()]
    for option, value in config.settings(continent).items():
        name = option.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", str(value)]
    return words


def verification(config: Config, continent: Continent, options: Sequence[str]) -> list[str]:
    """The command that verifies a continent, and compares some of its frames with the service.

    Args:
        config: the configuration, which says how many frames.
        continent: one of its continents.
        options: global options of the program.
    """
    words = [sys.executable, "-P", "-m", "etl.cli", *options, "verify", continent.name]
    words += ["--archive", config.archive, "--quick", "--against-source", str(config.verify_source)]
    for option, value in (("--api-url", config.api_url), ("--token-file", config.token_file)):
        words += [option, str(value)] if value else []
    return [*words, "--json", "--no-progress"]


def environment() -> dict[str, str]:
    """The variables for the process, without those that would change what the configuration says."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PREFIX) or name in _INHERITED
    }


def labelled(continent: str, line: str, *, as_json: bool) -> tuple[str | None, str | None]:
    """A line that the process says, with its continent.

    Args:
        continent: name of the continent.
        line: the line.
        as_json: the process was asked to log JSON.

    Returns:
        The line to be told, None for one that is not JSON and was logged instead; and the error that it
        tells, None if it tells none.
    """
    if not as_json:
        return f"{continent}: {line}", line.removeprefix("Error: ") if line.startswith("Error: ") else None
    try:
        record = json.loads(line)
        told = json_line(record | {"continent": continent})
        return told, str(record["message"]) if record["event"] == "error" else None
    except (ValueError, TypeError, KeyError):
        log.warning("%s", line, extra={"event": "output", "fields": {"continent": continent}})
        return None, None
