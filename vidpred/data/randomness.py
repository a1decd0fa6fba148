"""Random numbers that depend only on what they are for, not on what was drawn before them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import ConfigError

SPLITS = ("train", "val", "test")
"""The splits of a dataset; the position in this tuple selects the random stream."""


def check_seed(seed: int) -> None:
    """Raises `ConfigError` for a seed that does not fit into 64 bits."""
    if not 0 <= seed < 2**64:
        raise ConfigError(f"the seed must be from 0 to 2**64 - 1, got {seed}")


def uniforms(seed: int, split: str, indices: NDArray[np.int64], width: int) -> NDArray[np.float64]:
    """Numbers uniform in [0, 1): row r belongs to sequence `indices[r]` of the split.

    The counter-based generator Philox 4x64 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
    2011) is keyed by seed and split, and each sequence owns a stretch of its counter, so a row is the same
    whichever process draws it and in whatever order.

    Args:
        seed: 0 <= seed < 2**64.
        indices: (n,) sequence numbers, >= 0.
        width: numbers per sequence.

    Returns:
        (n, width) float64.

    Raises:
        ConfigError: a seed out of range.
    """
    check_seed(seed)
    key = np.array([seed, SPLITS.index(split)], dtype=np.uint64)
    counters_per_sequence = -(-width // 4)
    rows = np.empty((len(indices), width), np.uint64)
    for row, index in zip(rows, indices.tolist(), strict=True):
        row[:] = np.random.Philox(key=key, counter=index * counters_per_sequence).random_raw(width)
    return (rows >> np.uint64(11)) * 2.0**-53
