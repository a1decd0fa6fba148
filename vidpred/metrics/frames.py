"""What all metrics ask of their arguments, and what a convention makes of them."""

from __future__ import annotations

from torch import Tensor

from vidpred.errors import DataError
from vidpred.metrics.conventions import Convention


def check_pair(pred: Tensor, target: Tensor) -> None:
    """Raises `DataError` unless both are frames (..., C, H, W) of one shape.

    Broadcasting would turn a mistake in the shape into a wrong number.
    """
    if pred.dim() < 3 or pred.shape != target.shape:
        raise DataError(
            f"a metric compares frames (..., C, H, W) of one shape, "
            f"got {tuple(pred.shape)} and {tuple(target.shape)}"
        )


def comparable(pred: Tensor, target: Tensor, rules: Convention) -> tuple[Tensor, Tensor]:
    """The two as PSNR and SSIM compare them: clipped and cut off to 8 bits where the convention does so."""
    if rules.clip_images:
        pred = pred.clamp(0, 1)
    return (to_eight_bits(pred), to_eight_bits(target)) if rules.quantise else (pred, target)


def to_eight_bits(frames: Tensor) -> Tensor:
    """Frames in [0, 1] cut off to multiples of 1/255 as by ``np.uint8(frames * 255)``, in float64.

    The product is made in the frames' own precision, as theirs is. In float32, frames that were stored in
    8 bits stay what they are.
    """
    return (frames * 255).floor().double() / 255
