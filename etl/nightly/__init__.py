"""A night's work: every continent of a configuration, each archived by a process of its own."""

from etl.nightly.night import Night
from etl.nightly.outcome import Outcome

__all__ = ["Night", "Outcome"]
