"""How well values that are on or off are found, such as the notes of a piano roll."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Hits(NamedTuple):
    """Counts of values: on and said to be, off but said to be on, on but not said to be."""

    found: float
    false: float
    missed: float

    @classmethod
    def of(cls, said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Hits:
        """Of two arrays of one shape."""
        return cls(float((said & truth).sum()), float((said & ~truth).sum()), float((~said & truth).sum()))

    @property
    def precision(self) -> float:
        """The share of what is said to be on that is; not a number where nothing is."""
        return _share(self.found, self.found + self.false)

    @property
    def recall(self) -> float:
        """The share of what is on that is said to be; not a number where nothing is."""
        return _share(self.found, self.found + self.missed)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; not a number where nothing is or is said to be on."""
        return _share(2 * self.found, 2 * self.found + self.false + self.missed)


def log_likelihood(probability: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """x log p + (1 - x) log(1 - p) of every value x in [0, 1], in nats.

    Minus infinity where p is 0 or 1 and x says otherwise. Nothing is clamped.
    """
    p, x = np.asarray(probability, np.float64), np.asarray(values, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        on = np.where(x > 0, x * np.log(p), 0.0)
        off = np.where(x < 1, (1 - x) * np.log1p(-p), 0.0)
    return on + off


def best_guess(probability: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which values to say are on for the sake of F1: those for which 2 E[found] / (said + E[on]) is largest.

    They are the most probable ones. Where little is sure, values of at least 1/2 are few or none; they make
    the fewest mistakes, and a poor F1.
    """
    falling = np.sort(probability, axis=None)[::-1].astype(np.float64)
    if not falling.size or not falling[0] > 0:
        return np.zeros(probability.shape, bool)
    gain = 2 * falling.cumsum() / (np.arange(1, falling.size + 1) + falling.sum())
    return np.asarray(probability >= falling[gain.argmax()])


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
