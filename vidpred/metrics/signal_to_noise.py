"""The peak signal-to-noise ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from vidpred.metrics.conventions import convention_named
from vidpred.metrics.frames import check_pair, comparable
from vidpred.metrics.pixelwise import PIXELS

_LEAST_MSE = 1e-10


def psnr(pred: Tensor, target: Tensor, convention: str = "strict") -> Tensor:
    """Peak signal-to-noise ratio in decibels: -10 log10(MSE), the peak being 1, MSE the mean over pixels.

        strict    MSE over C, H, W
        openstl   the same, predictions clipped to [0, 1]
        convtt    the same, predictions clipped to [0, 1] (scikit-image, which finds a data range of 1)
        predrnn   the same, frames cut off to 8 bits (there with a peak of 255, which is the same)
        svg       MSE over H, W; the mean of the channels' ratios (scikit-image, as for convtt)

    Equal frames have no noise and would get infinitely many decibels, which no mean survives: an MSE under
    1e-10 counts as 1e-10, so that 100 dB is the most a frame can get. Rounding to 8 bits alone makes an MSE
    of 1e-6. None of the projects has such a limit; it makes a difference only where frames are equal.

    Args:
        pred, target: (..., C, H, W) in [0, 1].
        convention: a name in `vidpred.metrics.conventions.CONVENTIONS`.

    Returns:
        (...) float64.

    Raises:
        ConfigError: an unknown convention.
    """
    rules = convention_named(convention)
    check_pair(pred, target)
    pred, target = comparable(pred, target, rules)
    errors = (pred - target).square()
    if rules.psnr_by_channel:
        return _decibels(errors.mean((-2, -1), dtype=torch.float64)).mean(-1)
    return _decibels(errors.mean(PIXELS, dtype=torch.float64))


def _decibels(mean_squared_error: Tensor) -> Tensor:
    return -10 * mean_squared_error.clamp(min=_LEAST_MSE).log10()
