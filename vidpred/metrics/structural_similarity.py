"""The structural similarity index of Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from
error visibility to structural similarity", IEEE Transactions on Image Processing 13(4), 2004."""

from __future__ import annotations

import torch
from torch import Tensor

from vidpred.errors import DataError
from vidpred.metrics.conventions import convention_named
from vidpred.metrics.frames import check_pair, comparable
from vidpred.metrics.pixelwise import PIXELS

_K1 = 0.01
_K2 = 0.03


def ssim(pred: Tensor, target: Tensor, convention: str = "strict") -> Tensor:
    """Structural similarity, 1 for equal frames (Wang et al. 2004, eq. 13).

    ``strict`` is the paper's own: a Gaussian window of 11x11 with sigma 1.5, K1 = 0.01, K2 = 0.03, data
    range 1, population variances, the mean over the positions where the window lies wholly inside the frame
    and over channels. So does scikit-image's ``structural_similarity(..., gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=1)``.

    The others call scikit-image with its defaults, a uniform window of 7x7 and sample covariances:

        openstl   predictions clipped to [0, 1]; floating point, for which old versions take data range 2
        convtt    the same
        predrnn   frames cut off to 8 bits, with data range 255
        svg       as openstl, not clipped (`finn_ssim` in the same file is the strict one)

    Args:
        pred, target: (..., C, H, W) in [0, 1], H and W at least the window's.
        convention: a name in `vidpred.metrics.conventions.CONVENTIONS`.

    Returns:
        (...) float64.

    Raises:
        ConfigError: an unknown convention.
        DataError: frames smaller than the window.
    """
    rules = convention_named(convention)
    check_pair(pred, target)
    size = window_side(convention)
    window = _gaussian(size, sigma=1.5) if rules.ssim_window == "gaussian" else _uniform(size)
    height, width = pred.shape[-2:]
    if min(height, width) < size:
        raise DataError(f"SSIM needs frames of at least {size}x{size} pixels, got {height}x{width}")
    rows, columns = _band(window, height).to(pred.device), _band(window, width).to(pred.device).t()

    def local_mean(values: Tensor) -> Tensor:
        return rows @ values @ columns  # (..., C, H - size + 1, W - size + 1)

    # Variances as differences of means lose too many digits in float32.
    x, y = (frames.double() for frames in comparable(pred, target, rules))
    mean_x, mean_y = local_mean(x), local_mean(y)
    bias = size**2 / (size**2 - 1) if rules.ssim_sample_covariance else 1.0
    variance_x = bias * (local_mean(x * x) - mean_x**2)
    variance_y = bias * (local_mean(y * y) - mean_y**2)
    covariance = bias * (local_mean(x * y) - mean_x * mean_y)
    c1, c2 = (_K1 * rules.ssim_data_range) ** 2, (_K2 * rules.ssim_data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean(PIXELS)


def window_side(convention: str = "strict") -> int:
    """Pixels of the window's side; smaller frames have no SSIM."""
    return 11 if convention_named(convention).ssim_window == "gaussian" else 7


def _gaussian(size: int, sigma: float) -> Tensor:
    """(size,), the weights of one dimension; they sum to 1."""
    distance = torch.arange(size, dtype=torch.float64) - size // 2
    weights = torch.exp(-(distance**2) / (2 * sigma**2))
    return weights / weights.sum()


def _uniform(size: int) -> Tensor:
    return torch.full((size,), 1 / size, dtype=torch.float64)


def _band(window: Tensor, length: int) -> Tensor:
    """(length - size + 1, length): row i holds the window's weights from position i on, zero elsewhere.

    As a matrix product with such a band, filtering a frame is several times faster than as a convolution in
    double precision.
    """
    size = len(window)
    band = torch.zeros(length - size + 1, length, dtype=torch.float64)
    for offset in range(size):
        band.diagonal(offset).fill_(window[offset])
    return band
