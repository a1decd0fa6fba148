"""Pictures of sequences below each other: piano rolls where a step is one, some of the frames otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred.data.notes import ROLL_SHAPE, as_roll
from vidpred.viz.columns import column_step
from vidpred.viz.contact_sheet import predicted_frames
from vidpred.viz.grid import write_grid
from vidpred.viz.piano_roll import Roll, write_piano_rolls

SHOWN = 2
"""Sequences that are drawn."""
TRUTH = "truth"
"""What the row of the clean data is called."""
GIVEN = ("noisy", "corrupted")
"""What the row of the data is called that a model was given."""
STEPS_SHOWN = 128
"""Of a sequence that are drawn."""
_FRAMES = 16

Frames = NDArray[np.uint8]


def shown(sequence: NDArray[Any]) -> Frames:
    """What is drawn of a sequence (T, C, H, W) of values in [0, 1] or of booleans: its front."""
    return np.round(255 * sequence[:STEPS_SHOWN].astype(np.float64)).astype(np.uint8)


def around(place: slice, sequence: NDArray[Any]) -> Frames:
    """The same with that place in the middle, as far as there are steps on both sides."""
    spare = max(0, STEPS_SHOWN - (place.stop - place.start)) // 2
    first = max(0, min(place.start - spare, len(sequence) - STEPS_SHOWN))
    return shown(sequence[first:])


def write_rows(path: Path, rows: Sequence[tuple[str, Frames]], title: str) -> None:
    """Writes a PNG with a named row for every sequence.

    Args:
        rows: names and equally long (T, C, H, W) uint8.
    """
    frames = rows[0][1]
    if frames.shape[1:] == ROLL_SHAPE:
        rolls = [
            Roll(name, as_roll(roll) / 255, len(roll) if name in GIVEN else 0, predicted=name != TRUTH)
            for name, roll in rows
        ]
        write_piano_rolls(path, rolls, title=title)
        return
    columns = predicted_frames(len(frames), column_step(len(frames), None, _FRAMES))
    picked = [(name, sequence[[column - 1 for column in columns]]) for name, sequence in rows]
    write_grid(path, picked, [str(column) for column in columns], title)
