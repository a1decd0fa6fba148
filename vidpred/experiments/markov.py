"""What can be known of a value without any network: how often it is on, and how long it stays so.

Every value of a step, such as a key of a piano, is a Markov chain of two states by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidpred.metrics.binary import log_likelihood

Values = NDArray[np.float64]


@dataclass(frozen=True)
class MarkovChains:
    """A chain for every value of a step; each attribute (C, H, W), strictly between 0 and 1.

    A probability is (count of ones + 1/2) / (count + 1), the mean of its posterior under Jeffreys' prior:
    what never happened in training is improbable, but not impossible. Values between 0 and 1, such as grey
    pixels, count as that share of a one.

    Attributes:
        marginal: how probable it is that the value is on.
        after_off: the same, where it was off in the step before.
        after_on: the same, where it was on.
    """

    marginal: Values
    after_off: Values
    after_on: Values

    @classmethod
    def of(cls, sequences: Iterable[NDArray[np.floating]]) -> MarkovChains:
        """Counts in sequences (T, C, H, W), values in [0, 1]."""
        steps, pairs, on, was_on, stayed, came = 0, 0, 0.0, 0.0, 0.0, 0.0
        for sequence in sequences:
            x = np.asarray(sequence, np.float64)
            steps, pairs = steps + len(x), pairs + len(x) - 1
            on = on + x.sum(axis=0)
            was_on = was_on + x[:-1].sum(axis=0)
            stayed = stayed + (x[:-1] * x[1:]).sum(axis=0)
            came = came + ((1 - x[:-1]) * x[1:]).sum(axis=0)
        return cls(_rate(on, steps), _rate(came, pairs - was_on), _rate(stayed, was_on))

    def ahead(self, probability: Values, steps: int = 1) -> Values:
        """How probable it is that a value is on some steps later, (..., C, H, W), from how it is now."""
        for _ in range(steps):
            probability = probability * self.after_on + (1 - probability) * self.after_off
        return probability

    def between(self, first: Values, last: Values, gap: int) -> Values:
        """The same for the steps of a gap, (gap, C, H, W), where the steps at both ends of it are known.

        Args:
            first, last: (C, H, W) in [0, 1]; a value between is a mixture of on and off.
        """
        zeros, ones = np.zeros_like(self.marginal), np.ones_like(self.marginal)
        filled = []
        for step in range(1, gap + 1):
            reached = [self.ahead(ones, gap + 1 - step), self.ahead(zeros, gap + 1 - step)]
            mixture = zeros
            for start, share_of_start in ((ones, first), (zeros, 1 - first)):
                on = self.ahead(start, step)
                for goal, share_of_goal in ((reached, last), ([1 - p for p in reached], 1 - last)):
                    both = on * goal[0]
                    here = both / (both + (1 - on) * goal[1])
                    mixture = mixture + share_of_start * share_of_goal * here
            filled.append(mixture)
        return np.stack(filled)

    def log_likelihoods(self, sequence: NDArray[np.floating]) -> tuple[float, float]:
        """Of a sequence (T, C, H, W), in nats: of every value by its marginal, and of the chains."""
        x = np.asarray(sequence, np.float64)
        chained = np.concatenate([self.marginal[None], self.ahead(x[:-1])])
        marginal = np.broadcast_to(self.marginal, x.shape)
        return float(log_likelihood(marginal, x).sum()), float(log_likelihood(chained, x).sum())


def _rate(ones: float | Values, count: float | Values) -> Values:
    return np.asarray((ones + 0.5) / (count + 1), np.float64)
