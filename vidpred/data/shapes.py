"""The coloured shapes of seed 000, section 4.2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHAPES = ("square", "circle", "triangle")
"""The shapes; the position in this tuple is the class label."""


def pictures(side: int) -> NDArray[np.uint8]:
    """(3, side, side): 255 inside the shape, 0 outside. Each shape touches all four edges.

    A pixel belongs to a shape if its centre does. The triangle stands on its base.
    """
    centres = (np.arange(side) + 0.5) / side
    x, y = centres[None, :], centres[:, None]
    inside = [
        np.ones((side, side), bool),
        (x - 0.5) ** 2 + (y - 0.5) ** 2 <= 0.25,
        np.abs(x - 0.5) <= y / 2,
    ]
    return 255 * np.stack(inside).astype(np.uint8)
