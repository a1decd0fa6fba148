"""Metrics that are a mean or a sum over the pixels of a frame.

Published tables use two scales for the same error: the mean over pixels (and channels), and the sum over
them, here with ``_frame`` in the name; on one-channel 64x64 frames they differ by a factor of 4096.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidpred.metrics.frames import check_pair

PIXELS = (-3, -2, -1)
"""The dimensions C, H and W of a frame."""

_CLOSEST_TO_CERTAIN = 1e-7


def mse(pred: Tensor, target: Tensor) -> Tensor:
    """Squared error, mean over C, H and W: (..., C, H, W) in [0, 1] -> (...)."""
    check_pair(pred, target)
    return (pred - target).square().mean(PIXELS, dtype=torch.float64)


def mse_frame(pred: Tensor, target: Tensor) -> Tensor:
    """Squared error, summed over C, H and W: (..., C, H, W) in [0, 1] -> (...)."""
    check_pair(pred, target)
    return (pred - target).square().sum(PIXELS, dtype=torch.float64)


def mae(pred: Tensor, target: Tensor) -> Tensor:
    """Absolute error, mean over C, H and W: (..., C, H, W) in [0, 1] -> (...)."""
    check_pair(pred, target)
    return (pred - target).abs().mean(PIXELS, dtype=torch.float64)


def mae_frame(pred: Tensor, target: Tensor) -> Tensor:
    """Absolute error, summed over C, H and W: (..., C, H, W) in [0, 1] -> (...)."""
    check_pair(pred, target)
    return (pred - target).abs().sum(PIXELS, dtype=torch.float64)


def bce_frame(pred: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy in nats a frame (seed 001, footnote 1 of section 3.2.1), not normalised by pixels.

        - sum over C, H, W of  target log(pred) + (1 - target) log(1 - pred)

    Predictions are clipped to [1e-7, 1 - 1e-7]: a pixel that is certain and wrong costs 16.1 nats, not
    infinitely many.

    Args:
        pred: (..., C, H, W) probabilities.
        target: (..., C, H, W) in [0, 1].

    Returns:
        (...) float64.
    """
    check_pair(pred, target)
    # In float32, 1 - 1e-7 is 1 - 1.19e-7.
    pred = pred.double().clamp(_CLOSEST_TO_CERTAIN, 1 - _CLOSEST_TO_CERTAIN)
    target = target.double()
    nats = -(target * pred.log() + (1 - target) * torch.log1p(-pred))
    return nats.sum(PIXELS)
