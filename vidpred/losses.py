"""The terms that losses are made of."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bernoulli_nll(logits: Tensor, frames: Tensor) -> Tensor:
    """Binary cross-entropy in nats a frame: summed over (C, H, W), mean over all leading dimensions.

    Args:
        logits: (..., C, H, W) before the sigmoid.
        frames: (..., C, H, W) in [0, 1].
    """
    total = F.binary_cross_entropy_with_logits(logits, frames, reduction="sum")
    return total / logits.shape[:-3].numel()
