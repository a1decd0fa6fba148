"""The command line: one file per command, each parses, calls the library, prints and sets the exit code."""

from vidpred.cli.main import main

__all__ = ["main"]
