"""Metrics that are a mean or a sum over the pixels of a frame.

Published tables use two scales for the same error: the mean over pixels (and channels), and the sum over
them, here with ``_frame`` in the name; on one-channel 64x64 frames they differ by a factor of 4096. `mse` and
`mae` take the scale of a convention, ``strict`` being the mean:

    strict    mean over C, H, W
    openstl   sum over C, H, W; predictions are not clipped here, while they are for its other metrics
    convtt    mean over C, H, W; predictions clipped to [0, 1]; their tables show it times 1000
    predrnn   sum over C, H, W; predictions clipped to [0, 1]; their "mse per seq" is the sum over all frames
    svg       mean over C, H, W

`vidpred.metrics.conventions` names the files these are from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidpred.metrics.conventions import Convention, convention_named
from vidpred.metrics.frames import check_pair

PIXELS = (-3, -2, -1)
"""The dimensions C, H and W of a frame."""

_CLOSEST_TO_CERTAIN = 1e-7


def mse(pred: Tensor, target: Tensor, convention: str = "strict") -> Tensor:
    """Squared error of each frame, at the convention's scale (see the top of this file).

    Args:
        pred, target: (..., C, H, W) in [0, 1].
        convention: a name in `vidpred.metrics.conventions.CONVENTIONS`.

    Returns:
        (...) float64.

    Raises:
        ConfigError: an unknown convention.
    """
    rules = convention_named(convention)
    return _at_scale(_difference(pred, target, rules).square(), rules)


def mse_frame(pred: Tensor, target: Tensor) -> Tensor:
    """Squared error, summed over C, H and W: (..., C, H, W) in [0, 1] -> (...)."""
    check_pair(pred, target)
    return (pred - target).square().sum(PIXELS, dtype=torch.float64)


def mae(pred: Tensor, target: Tensor, convention: str = "strict") -> Tensor:
    """Absolute error of each frame, at the convention's scale (see the top of this file).

    Args:
        pred, target: (..., C, H, W) in [0, 1].
        convention: a name in `vidpred.metrics.conventions.CONVENTIONS`.

    Returns:
        (...) float64.

    Raises:
        ConfigError: an unknown convention.
    """
    rules = convention_named(convention)
    return _at_scale(_difference(pred, target, rules).abs(), rules)


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


def _difference(pred: Tensor, target: Tensor, rules: Convention) -> Tensor:
    check_pair(pred, target)
    return (pred.clamp(0, 1) if rules.clip_errors else pred) - target


def _at_scale(errors: Tensor, rules: Convention) -> Tensor:
    over_pixels = torch.sum if rules.sum_errors else torch.mean
    return over_pixels(errors, PIXELS, dtype=torch.float64)
