"""What is typed for options, as values. Everything here raises `ConfigError` for what it does not expect."""

from __future__ import annotations

import re
from typing import Literal

from vidpred.errors import ConfigError, unknown_name


def size(text: str) -> tuple[int, int]:
    """``64`` or ``120x160`` -> (height, width)."""
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and int(side) > 0 for side in sides):
        raise ConfigError(
            f"--size expects a side such as 64, or height x width such as 120x160, got '{text}'"
        )
    return int(sides[0]), int(sides[-1])


def share(option: str, text: str) -> int | float:
    """``20`` -> that many videos, ``0.1`` -> that share of them."""
    try:
        found = int(text) if text.isdecimal() else float(text)
    except ValueError:
        found = -1
    if found >= 0 and (isinstance(found, int) or found < 1):
        return found
    raise ConfigError(f"{option} expects a number of videos, or a fraction such as 0.1, got '{text}'")


def fraction(option: str, text: str | None) -> float | None:
    """``0.1`` -> that share of the MIDI files; None where nothing was typed."""
    try:
        return None if text is None else float(text)
    except ValueError:
        raise ConfigError(f"{option} expects a fraction of the MIDI files, got '{text}'") from None


def persons(option: str, text: str) -> tuple[int, ...]:
    """``1-3,7`` -> 1, 2, 3, 7."""
    if not re.fullmatch(r"(\d{1,2}(-\d{1,2})?(,\d{1,2}(-\d{1,2})?)*)?", text):
        raise ConfigError(f"{option} expects numbers such as 1-16 or 1,5,7-9, got '{text}'")
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(dict.fromkeys(found))


def on_error(text: str) -> Literal["stop", "skip"]:
    """What a damaged file does."""
    if text == "stop":
        return "stop"
    if text == "skip":
        return "skip"
    raise unknown_name("--on-error", text, ("stop", "skip"))
