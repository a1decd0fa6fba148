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

    name: str
    unit: str
    """What the name leaves open; empty where there is nothing to say."""
    decimals: int
    """That a table shows."""
    per_frame: Callable[[Tensor, Tensor], Tensor]
    """(prediction, truth), both (..., C, H, W) in [0, 1] -> (...)."""
    higher_is_better: bool = False

    @property
    def label(self) -> str:
        """Name and unit in one line."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


METRICS: Mapping[str, Metric] = {
    "mse": Metric("MSE", "per pixel", 4, mse),
    "mse_frame": Metric("MSE", "per frame", 1, mse_frame),
    "mae": Metric("MAE", "per pixel", 4, mae),
    "mae_frame": Metric("MAE", "per frame", 1, mae_frame),
    "bce_frame": Metric("BCE", "nats per frame", 1, bce_frame),
    "psnr": Metric("PSNR", "dB", 2, psnr, higher_is_better=True),
    "ssim": Metric("SSIM", "", 3, ssim, higher_is_better=True),
}
