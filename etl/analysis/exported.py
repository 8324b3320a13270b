"""What an export did, for people and for machines."""

from dataclasses import dataclass, field
from pathlib import Path

from etl.report import json_line, size


@dataclass
class Exported:
    """What an export did.

    Attributes:
        continent: the continent's name.
        folder: where the files are.
        written: files that were written, by time and satellite.
        skipped: files that were there already, of the same frames and settings.
        empty: files, of both, whose frames hold no data.
        bytes_out: bytes written.
    """

    continent: str
    folder: Path
    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    empty: int = 0
    bytes_out: int = 0

    def summary(self) -> str:
        """What was done in a few words for people."""
        return (
            f"{self.continent}: {files(len(self.written))} written, {len(self.skipped)} there before;"
            f" {size(self.bytes_out)} in {self.folder}"
        ) + (f"\n  {files(self.empty)} without data, as those frames are" if self.empty else "")

    def to_json(self) -> str:
        """All of it as a JSON object on one line."""
        return json_line(vars(self))


def files(count: int) -> str:
    """A number of files in words."""
    return f"{count} file{'' if count == 1 else 's'}"
