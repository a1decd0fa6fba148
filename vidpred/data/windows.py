"""Where the windows of one length, or the pieces of at most one, lie in sequences of many lengths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WINDOWS_FROM = ("start", "end")
"""Where the first window of a sequence lies: at its start, or at its end with the others before it."""


def cut_windows(
    lengths: NDArray[np.integer], strides: NDArray[np.integer], window: int, windows_from: str = "start"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All windows of `window` frames, in order of the sequences and of time.

    Args:
        lengths: (N,) frames of each sequence; one shorter than the window has none.
        strides: (N,) frames between the starts of two windows of a sequence; 0 stands for `window`, so that
            windows do not overlap.
        window: frames of a window, >= 1.
        windows_from: ``start``: windows start at 0, stride, 2 stride, ...; ``end``: they end at the last
            frame, stride frames before it, ...; what is left over at the other side belongs to none.

    Returns:
        (W,) int64 the sequence of each window, and (W,) int64 its first frame in that sequence.
    """
    lengths, strides = np.asarray(lengths, np.int64), np.asarray(strides, np.int64)
    spare = lengths - window  # frames beside a first window; negative where it does not fit
    steps = np.where(strides > 0, strides, window)
    counts = np.where(spare >= 0, spare // steps + 1, 0)
    sequence = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    start = number * steps[sequence]
    if windows_from == "end":
        start += (spare % steps)[sequence]
    return sequence, start


def cut_chunks(
    lengths: NDArray[np.integer], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cuts sequences into successive pieces so that every frame is in exactly one.

    Args:
        lengths: (N,) frames of each sequence; one without any has no piece.
        most: frames of a piece, >= 1; the last piece of a sequence may have fewer.

    Returns:
        (P,) int64 the sequence of each piece, (P,) int64 its first frame in that sequence, and (P,) int64
        its frames, 1 to `most`; in order of the sequences and of time.
    """
    lengths = np.asarray(lengths, np.int64)
    counts = -(-lengths // most)
    sequence = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    start = number * most
    return sequence, start, np.minimum(lengths[sequence] - start, most)
