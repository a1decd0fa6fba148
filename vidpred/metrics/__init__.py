"""How far predicted frames are from the true ones: pure functions, one value per frame.

All take two tensors (..., C, H, W) with values in [0, 1] and return (...) in float64. Those that published
projects define differently take the name of a convention, see `vidpred.metrics.conventions`.
"""

from vidpred.metrics.catalogue import METRICS, Metric, metrics_for
from vidpred.metrics.conventions import CONVENTIONS, Convention
from vidpred.metrics.perceptual import LPIPS, lpips
from vidpred.metrics.pixelwise import bce_frame, mae, mae_frame, mse, mse_frame
from vidpred.metrics.signal_to_noise import psnr
from vidpred.metrics.structural_similarity import ssim

__all__ = [
    "CONVENTIONS",
    "LPIPS",
    "METRICS",
    "Convention",
    "Metric",
    "bce_frame",
    "lpips",
    "mae",
    "mae_frame",
    "metrics_for",
    "mse",
    "mse_frame",
    "psnr",
    "ssim",
]
