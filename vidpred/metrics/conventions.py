"""The named conventions under which the same predictions are scored.

Published projects disagree on clipping, summing, the data range, the window and the rounding, so a score
means something only together with the convention it was made by. Each convention is one entry of
`CONVENTIONS`, and the metrics read it.

Where scikit-image's SSIM is called on floating point without a ``data_range``, versions up to 0.19 took the
extent of the type, from -1 to 1, for the range of the data: 2. That makes the constants C1 and C2 four times
as large as for frames in [0, 1], and the scores higher. Its PSNR took 1 for frames without negative values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vidpred.errors import unknown_name


@dataclass(frozen=True)
class Convention:
    """What one project does to frames in [0, 1] before and after it compares them."""

    source: str
    """Project and file whose habit this is."""
    clip_errors: bool
    """Whether predictions are clipped to [0, 1] before MSE and MAE."""
    sum_errors: bool
    """Whether MSE and MAE are summed over C, H and W; else their mean."""
    clip_images: bool
    """Whether predictions are clipped to [0, 1] before PSNR, SSIM and LPIPS."""
    quantise: bool
    """Whether PSNR and SSIM compare frames cut off (not rounded) to 8 bits."""
    psnr_by_channel: bool
    """Whether PSNR is the mean of the channels' own; else that of all channels' error."""
    ssim_window: Literal["gaussian", "uniform"]
    """``gaussian``: 11x11 with sigma 1.5; ``uniform``: 7x7."""
    ssim_sample_covariance: bool
    """Whether variances in a window of n pixels are divided by n - 1; else by n."""
    ssim_data_range: float
    """L in C1 = (0.01 L)**2 and C2 = (0.03 L)**2, for frames in [0, 1]."""
    lpips_range: tuple[float, float]
    """The values that black and white have where they enter the LPIPS network."""


CONVENTIONS: Mapping[str, Convention] = {
    "strict": Convention(
        source="the papers that introduced the metrics, on floating point",
        clip_errors=False,
        sum_errors=False,
        clip_images=False,
        quantise=False,
        psnr_by_channel=False,
        ssim_window="gaussian",
        ssim_sample_covariance=False,
        ssim_data_range=1.0,
        lpips_range=(-1.0, 1.0),
    ),
    "openstl": Convention(
        source="OpenSTL, openstl/core/metrics.py",
        clip_errors=False,
        sum_errors=True,
        clip_images=True,
        quantise=False,
        psnr_by_channel=False,
        ssim_window="uniform",
        ssim_sample_covariance=True,
        ssim_data_range=2.0,
        lpips_range=(-1.0, 1.0),
    ),
    "convtt": Convention(
        source="NVlabs/conv-tt-lstm, code/model_test.py and eval_paper/test.py",
        clip_errors=True,
        sum_errors=False,
        clip_images=True,
        quantise=False,
        psnr_by_channel=False,
        ssim_window="uniform",
        ssim_sample_covariance=True,
        ssim_data_range=2.0,
        lpips_range=(0.0, 1.0),
    ),
    "predrnn": Convention(
        source="thuml/predrnn-pytorch, core/trainer.py and core/utils/metrics.py",
        clip_errors=True,
        sum_errors=True,
        clip_images=True,
        quantise=True,
        psnr_by_channel=False,
        ssim_window="uniform",
        ssim_sample_covariance=True,
        ssim_data_range=1.0,  # theirs is 255, of frames in 0 to 255
        lpips_range=(0.0, 1.0),
    ),
    "svg": Convention(
        source="edenton/svg, utils.py (eval_seq)",
        clip_errors=False,
        sum_errors=False,
        clip_images=False,
        quantise=False,
        psnr_by_channel=True,
        ssim_window="uniform",
        ssim_sample_covariance=True,
        ssim_data_range=2.0,
        lpips_range=(-1.0, 1.0),
    ),
}
"""``strict``, and the habits of four projects; the metrics' docstrings say what each comes to.

SVG clips nothing, since its decoders end in a sigmoid. Its tables give each sequence the best of 100 samples
by SSIM or PSNR: that is a way to read the scores of many samples (`vidpred.evaluation.reductions`) and no
part of the convention. Scores that a project does not compute are defined in its spirit: the MAE of convtt,
predrnn and svg is scaled like their MSE, and svg's LPIPS is the strict one.
"""


def convention_named(name: str) -> Convention:
    """The convention of that name; raises `ConfigError` with the choices for an unknown one."""
    if name not in CONVENTIONS:
        raise unknown_name("convention", name, CONVENTIONS)
    return CONVENTIONS[name]
