"""The metrics of every evaluation, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from vidpred.metrics import perceptual
from vidpred.metrics.conventions import convention_named
from vidpred.metrics.perceptual import LPIPS
from vidpred.metrics.pixelwise import bce_frame, mae, mae_frame, mse, mse_frame
from vidpred.metrics.signal_to_noise import psnr
from vidpred.metrics.structural_similarity import ssim, window_side


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
    least_side: int = 1
    """Pixels that both sides of a frame must have."""

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
    "ssim": Metric("SSIM", "", 3, ssim, higher_is_better=True, least_side=window_side()),
}
"""The metrics of the convention ``strict`` that need no network."""


def metrics_for(
    conventions: Sequence[str], lpips: LPIPS | None = None, size: tuple[int, int] | None = None
) -> Mapping[str, Metric]:
    """The metrics of several conventions, in their order.

    Args:
        conventions: names in `vidpred.metrics.conventions.CONVENTIONS`.
        lpips: the network for LPIPS, which is left out without one.
        size: (H, W) of the frames; SSIM is left out where they are smaller than its window, as piano rolls.

    Returns:
        For ``strict`` the entries of `METRICS` and "lpips"; for another one mse, mae, psnr, ssim and lpips
        under names like "openstl.ssim".

    Raises:
        ConfigError: an unknown convention.
    """
    chosen: dict[str, Metric] = {}
    for name in conventions:
        of_this = dict(METRICS) if name == "strict" else _published(name)
        if lpips is not None:
            distance = partial(perceptual.lpips, network=lpips, convention=name)
            of_this["lpips"] = Metric("LPIPS", "" if name == "strict" else name, 4, distance)
        prefix = "" if name == "strict" else f"{name}."
        chosen |= {
            f"{prefix}{key}": metric
            for key, metric in of_this.items()
            if size is None or min(size) >= metric.least_side
        }
    return chosen


def _published(name: str) -> dict[str, Metric]:
    """The metrics of a convention other than ``strict``."""
    summed = convention_named(name).sum_errors
    # Tables of means go down to 12.96e-3.
    unit, decimals = (f"per frame, {name}", 2) if summed else (f"per pixel, {name}", 5)
    return {
        "mse": Metric("MSE", unit, decimals, partial(mse, convention=name)),
        "mae": Metric("MAE", unit, decimals, partial(mae, convention=name)),
        "psnr": Metric("PSNR", f"dB, {name}", 2, partial(psnr, convention=name), higher_is_better=True),
        "ssim": Metric("SSIM", name, 4, partial(ssim, convention=name), True, window_side(name)),
    }
