"""The errors a user can meet, and the exit codes of the command line.

Every failure that a user's input can cause is raised as a `VidpredError` whose text is one sentence:
what is wrong, where, what was expected and what was found. The command line prints that sentence and
exits; it shows the traceback only with ``--debug``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns to the shell."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


class VidpredError(Exception):
    """Base of all errors that are told to the user as one sentence."""

    exit_code = ExitCode.FAILED


class ConfigError(VidpredError):
    """An unknown model, preset, option or an option value out of range."""

    exit_code = ExitCode.USAGE


class DataError(VidpredError):
    """A data file that is missing, damaged, of another kind, or does not fit the model."""


class CheckpointError(VidpredError):
    """A run or checkpoint that is missing, damaged, or belongs to another model."""


class OutputError(VidpredError):
    """A result that cannot be written."""


class TrainingError(VidpredError):
    """Training that cannot go on, for example because the loss is no longer finite."""


class Interrupted(VidpredError):  # noqa: N818, nothing went wrong
    """Long work that was stopped on request: how it is gone on with."""

    exit_code = ExitCode.INTERRUPTED


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> ConfigError:
    """Builds the error for a name that is not among `choices`, with the nearest one suggested."""
    known = sorted(choices)
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    return ConfigError(f"unknown {kind} '{name}'{hint} (choices: {', '.join(known)})")
