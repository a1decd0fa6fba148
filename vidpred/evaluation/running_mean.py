"""Mean and standard error of values that come in batches and are not kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class RunningMean:
    """Mean and standard error over sequences, for several quantities at once.

    Batches are merged by the update of Chan, Golub and LeVeque, "Algorithms for computing the sample
    variance", The American Statistician 37(3), 1983, which cancels no digits.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: NDArray[np.float64] = np.zeros(())
        self._squares: NDArray[np.float64] = np.zeros(())
        """Sum of the squared distances from the mean."""

    def add(self, values: NDArray[np.float64]) -> None:
        """Takes in (n, quantities), one row a sequence, n >= 1."""
        added = len(values)
        total = self._count + added
        mean = values.mean(axis=0)
        distance = mean - self._mean
        self._squares = (
            self._squares + ((values - mean) ** 2).sum(axis=0) + distance**2 * (self._count * added / total)
        )
        self._mean = self._mean + distance * (added / total)
        self._count = total

    @property
    def mean(self) -> NDArray[np.float64]:
        """(quantities,)."""
        return self._mean

    @property
    def standard_error(self) -> NDArray[np.float64] | None:
        """(quantities,): the standard deviation over sequences / sqrt(sequences); None for one sequence."""
        if self._count < 2:
            return None
        return np.sqrt(self._squares / (self._count - 1) / self._count)
