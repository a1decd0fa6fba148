"""The frames of a few sequences, kept while all are evaluated, to be looked at afterwards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidpred.viz.frames import as_uint8


class Gallery:
    """What was given, what followed and what each contestant predicted, for the sequences in `numbers`.

    Frames are uint8 (T, C, H, W); of a stochastic model the first sample is kept.

    Args:
        context: how many frames are given.

    Attributes:
        context, truth: number -> frames.
        predicted: number -> name of the contestant -> frames.
    """

    def __init__(self, numbers: Sequence[int], context: int) -> None:
        self.numbers = sorted(numbers)
        self._given = context
        self.context: dict[int, NDArray[np.uint8]] = {}
        self.truth: dict[int, NDArray[np.uint8]] = {}
        self.predicted: dict[int, dict[str, NDArray[np.uint8]]] = defaultdict(dict)

    def collect(self, name: str, first: int, frames: Tensor, future: Tensor) -> None:
        """Takes what is wanted of a batch.

        Args:
            name: the contestant.
            first: number of the first sequence of the batch.
            frames: (n, context + horizon or more, C, H, W) in [0, 1], the true ones.
            future: (n, horizon, C, H, W), the contestant's predictions.
        """
        for number in self.numbers:
            if first <= number < first + len(future):
                row, end = number - first, self._given + future.shape[1]
                self.context[number] = as_uint8(frames[row, : self._given])
                self.truth[number] = as_uint8(frames[row, self._given : end])
                self.predicted[number][name] = as_uint8(future[row])
