"""The structural similarity index of Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from
error visibility to structural similarity", IEEE Transactions on Image Processing 13(4), 2004."""

from __future__ import annotations

import torch
from torch import Tensor

from vidpred.errors import DataError
from vidpred.metrics.conventions import check_convention
from vidpred.metrics.frames import check_pair
from vidpred.metrics.pixelwise import PIXELS

WINDOW = 11
_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2


def ssim(pred: Tensor, target: Tensor, convention: str = "strict") -> Tensor:
    """Structural similarity, 1 for equal frames (Wang et al. 2004, eq. 13).

    ``strict`` is the paper's own: a Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, data
    range 1, population variances, the mean over the positions where the window lies wholly inside the frame
    and over channels. So does scikit-image's ``structural_similarity(..., gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=1)``.

    Args:
        pred, target: (..., C, H, W) in [0, 1], H and W at least 11.
        convention: a name in `vidpred.metrics.conventions.CONVENTIONS`.

    Returns:
        (...) float64.

    Raises:
        ConfigError: an unknown convention.
        DataError: frames smaller than the window.
    """
    check_convention(convention)
    check_pair(pred, target)
    height, width = pred.shape[-2:]
    if min(height, width) < WINDOW:
        raise DataError(f"SSIM needs frames of at least {WINDOW}x{WINDOW} pixels, got {height}x{width}")
    rows, columns = _gaussian_window(height, pred.device), _gaussian_window(width, pred.device).t()

    def local_mean(values: Tensor) -> Tensor:
        return rows @ values @ columns  # (..., C, H - 10, W - 10)

    # Variances as differences of means lose too many digits in float32.
    x, y = pred.double(), target.double()
    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x = local_mean(x * x) - mean_x**2
    variance_y = local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return (luminance * structure).mean(PIXELS)


def _gaussian_window(length: int, device: torch.device) -> Tensor:
    """(length - 10, length): row i holds the window's weights at positions i to i + 10, zero elsewhere.

    As a matrix product with such a band, filtering a frame is several times faster than as a convolution in
    double precision.
    """
    distance = torch.arange(WINDOW, dtype=torch.float64, device=device) - WINDOW // 2
    weights = torch.exp(-(distance**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    band = torch.zeros(length - WINDOW + 1, length, dtype=torch.float64, device=device)
    for offset in range(WINDOW):
        band.diagonal(offset).fill_(weights[offset])
    return band
