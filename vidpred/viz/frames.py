"""Frames as the bytes that pictures are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def as_uint8(frames: Tensor) -> NDArray[np.uint8]:
    """Frames in [0, 1] of any shape, on any device -> 0 to 255, rounded to the nearest."""
    as_bytes: NDArray[np.uint8] = (frames * 255).round().clamp(0, 255).byte().cpu().numpy()
    return as_bytes
