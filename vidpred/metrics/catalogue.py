"""The metrics of every evaluation, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from vidpred.metrics.pixelwise import bce_frame, mae, mae_frame, mse, mse_frame
from vidpred.metrics.signal_to_noise import psnr
from vidpred.metrics.structural_similarity import ssim


@dataclass(frozen=True)
class Metric:
    """A metric and how to speak of it."""

    label: str
    """What axes and column heads say."""
    per_frame: Callable[[Tensor, Tensor], Tensor]
    """(prediction, truth), both (..., C, H, W) in [0, 1] -> (...)."""
    higher_is_better: bool = False


METRICS: Mapping[str, Metric] = {
    "mse": Metric("MSE / pixel", mse),
    "mse_frame": Metric("MSE / frame", mse_frame),
    "mae": Metric("MAE / pixel", mae),
    "mae_frame": Metric("MAE / frame", mae_frame),
    "bce_frame": Metric("BCE (nats / frame)", bce_frame),
    "psnr": Metric("PSNR (dB)", psnr, higher_is_better=True),
    "ssim": Metric("SSIM", ssim, higher_is_better=True),
}
