"""The peak signal-to-noise ratio."""

from __future__ import annotations

from torch import Tensor

from vidpred.metrics.conventions import check_convention
from vidpred.metrics.pixelwise import mse

_LEAST_MSE = 1e-10


def psnr(pred: Tensor, target: Tensor, convention: str = "strict") -> Tensor:
    """Peak signal-to-noise ratio in decibels: -10 log10(MSE), the peak being 1.

    Equal frames have no noise and would get infinitely many decibels, which no mean survives: an MSE under
    1e-10 counts as 1e-10, so that 100 dB is the most a frame can get. Rounding to 8 bits alone makes an MSE
    of 1e-6.

    Args:
        pred, target: (..., C, H, W) in [0, 1].
        convention: a name in `vidpred.metrics.conventions.CONVENTIONS`.

    Returns:
        (...) float64.

    Raises:
        ConfigError: an unknown convention.
    """
    check_convention(convention)
    return -10 * mse(pred, target).clamp(min=_LEAST_MSE).log10()
