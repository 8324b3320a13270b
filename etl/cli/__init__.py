"""The command line: one Click command a file, thin: parse, call, report."""

from etl.cli.program import main

__all__ = ["main"]
