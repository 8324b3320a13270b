"""What a shell offers for an argument that only an archive knows."""

import os
import re

import click

from etl.errors import ArchiveError
from etl.load.addresses import folder_at


def archived_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The continents of the archive on the command line that begin so; none where it is not in a folder."""
    try:
        folder = folder_at(context.params.get("archive") or "")
        if folder is None:
            return []
        # A second that shells need not wait for to complete anything else.
        from etl.load.absent import archived_continents  # noqa: PLC0415
        from etl.load.stores import open_store  # noqa: PLC0415

        names = archived_continents(open_store(str(folder.expanduser()))).values()
    except ArchiveError:
        return []
    return [_as_typed(name) for name in names if name.lower().startswith(incomplete.lower())]


def _as_typed(name: str) -> str:
    """The name as the shell wants it: Bash alone puts it on the command line as it is given.

    One backslash of each two is taken off by the function of Click that hands it on.
    """
    if not os.environ.get("_NDVI_ARCHIVE_COMPLETE", "").startswith("bash"):
        return name
    words, position = os.environ["COMP_WORDS"].split("\n"), int(os.environ["COMP_CWORD"])
    in_quotes = words[position : position + 1] and words[position].startswith(("'", '"'))
    return name if in_quotes else re.sub(r"([^\w.-])", r"\\\\\1", name)
