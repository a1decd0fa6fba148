"""From the scores of several samples to the numbers that are reported.

A stochastic model predicts many futures, and only one of them comes true. Three readings are common:

- ``average``: the mean of the samples' scores, what one sample is worth;
- ``best``: of each sequence the sample that scores best over the whole horizon, chosen anew for each metric;
  it asks whether the truth is among the samples, and gets better with their number;
- ``mean frame``: the score of the mean of the samples, which is blurred where they disagree.

Where there is but one prediction, the reading is called ``single``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def over_samples(scores: Tensor, *, higher_is_better: bool) -> dict[str, Tensor]:
    """The readings that need no frames.

    Args:
        scores: (S, n, horizon), one metric of S samples of n sequences.

    Returns:
        (n, horizon) under the name of each reading: ``single`` if S is 1, else ``average`` and ``best``.
    """
    if len(scores) == 1:
        return {"single": scores[0]}
    over_horizon = scores.mean(dim=-1)  # (S, n)
    best = over_horizon.argmax(dim=0) if higher_is_better else over_horizon.argmin(dim=0)
    each = torch.arange(scores.shape[1], device=scores.device)
    return {"average": scores.mean(dim=0), "best": scores[best, each]}
