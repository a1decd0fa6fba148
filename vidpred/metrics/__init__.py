"""How far predicted frames are from the true ones: pure functions, one value per frame.

All take two tensors (..., C, H, W) with values in [0, 1] and return (...) in float64.
"""

from vidpred.metrics.catalogue import METRICS, Metric
from vidpred.metrics.pixelwise import bce_frame, mae, mae_frame, mse, mse_frame
from vidpred.metrics.signal_to_noise import psnr
from vidpred.metrics.structural_similarity import ssim

__all__ = ["METRICS", "Metric", "bce_frame", "mae", "mae_frame", "mse", "mse_frame", "psnr", "ssim"]
