"""What all metrics ask of their arguments."""

from __future__ import annotations

from torch import Tensor

from vidpred.errors import DataError


def check_pair(pred: Tensor, target: Tensor) -> None:
    """Raises `DataError` unless both are frames (..., C, H, W) of one shape.

    Broadcasting would turn a mistake in the shape into a wrong number.
    """
    if pred.dim() < 3 or pred.shape != target.shape:
        raise DataError(
            f"a metric compares frames (..., C, H, W) of one shape, "
            f"got {tuple(pred.shape)} and {tuple(target.shape)}"
        )
