"""Piano rolls as frames: a step is a picture of one row, 88 keys wide, white where a note sounds."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

KEYS = 88
"""Of a piano, and columns of a roll."""
LOWEST_NOTE = 21
"""MIDI number of key 0, the A at 27.5 Hz; key 87 is 108."""
ROLL_SHAPE = (1, 1, KEYS)
"""(C, H, W) of a step of a piano roll as a frame."""


class NoteFrames:
    """The notes of a data file, read as frames; what of `h5py.Dataset` the toolkit uses.

    Attributes:
        shape: (total, 1, 1, 88).
        dtype: uint8; 255 where a note sounds, 0 elsewhere.
    """

    def __init__(self, notes: h5py.Dataset) -> None:
        """`notes` is uint8 0/1 (total, 88)."""
        self._notes = notes
        self.shape: Any = (len(notes), *ROLL_SHAPE)
        self.dtype: DTypeLike = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self._notes)

    def __getitem__(self, steps: int | slice) -> NDArray[np.uint8]:
        """One step (1, 1, 88), or several (n, 1, 1, 88)."""
        notes = self._notes[steps]
        return 255 * notes.reshape(*notes.shape[:-1], *ROLL_SHAPE)

    def read_direct(self, target: NDArray[np.uint8], source: Any, place: Any) -> None:
        """Copies the steps `source` to ``target[place]``."""
        target[place] = self[source]


def as_frames(notes: NDArray[Any]) -> NDArray[np.uint8]:
    """(..., 88), not zero where a note sounds -> (..., 1, 1, 88) frames, 0 or 255."""
    return np.where(notes, np.uint8(255), np.uint8(0)).reshape(*notes.shape[:-1], *ROLL_SHAPE)


def as_roll(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames (..., 1, 1, 88) -> (..., 88), the same numbers."""
    return frames.reshape(*frames.shape[:-3], KEYS)
