"""Drawing many small pictures onto many frames at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Blend = Callable[[Pixels, Pixels, NDArray[np.bool_]], Pixels]
"""(what is on the frame, what is drawn over it, where the drawn object covers) -> the result."""


def brighter(under: Pixels, over: Pixels, cover: NDArray[np.bool_]) -> Pixels:
    """The brighter of the two, as in Srivastava et al. and OpenSTL."""
    return np.maximum(under, over)


def clipped_sum(under: Pixels, over: Pixels, cover: NDArray[np.bool_]) -> Pixels:
    """The sum, clipped to 255, as in Denton and Fergus.

    Razali's generator adds too, but converts to uint8 before it clips, so that overlaps wrap around to
    dark; that defect is not reproduced.
    """
    return under + np.minimum(over, 255 - under)


def painter(under: Pixels, over: Pixels, cover: NDArray[np.bool_]) -> Pixels:
    """The later object hides the earlier one."""
    return np.where(cover, over, under)


def draw(
    objects: Pixels, colours: Pixels, pixels: NDArray[np.int64], size: int, overhang: int, blend: Blend
) -> Pixels:
    """Frames with moving objects on black.

    Args:
        objects: (n, K, side, side) one brightness picture per sequence and object; 0 does not cover.
        colours: (n, K, C) multiplies the brightness in each channel, 255 standing for 1.
        pixels: (n, T, K, 2) where the top left corner (x, y) of each object is drawn.
        size: side of the frames, >= side.
        overhang: how far objects reach out of the frame at most; what is outside is cut off.

    Returns:
        (n, T, C, size, size).
    """
    n, frames, count, _ = pixels.shape
    channels = colours.shape[2]
    width = size + 2 * overhang
    canvas = np.zeros((n * frames, channels, width * width), np.uint8)
    # An object is laid out with the row length of the canvas, so that it covers one run of `length` pixels
    # there and every object is drawn by one copy out, one blend and one copy back.
    side = objects.shape[-1]
    length = (side - 1) * width + side
    runs = np.zeros((n, count, side, width), np.uint8)
    runs[..., :side] = objects
    runs = runs.reshape(n, count, side * width)[..., :length]
    windows = np.lib.stride_tricks.sliding_window_view(canvas, length, axis=2, writeable=True)
    starts = ((pixels[..., 1] + overhang) * width + pixels[..., 0] + overhang).reshape(n * frames, count)
    rows = np.arange(n * frames)
    for k in range(count):
        cover = runs[:, None, k] > 0  # (n, 1, length)
        for channel in range(channels):
            at = (rows, channel, starts[:, k])
            over = _tinted(runs[:, k], colours[:, k, channel])[:, None]
            under = windows[at].reshape(n, frames, length)
            windows[at] = blend(under, over, cover).reshape(n * frames, length)
    inside = slice(overhang, overhang + size)
    framed = canvas.reshape(n, frames, channels, width, width)[..., inside, inside]
    return np.ascontiguousarray(framed)


def _tinted(brightness: Pixels, colour: Pixels) -> Pixels:
    """(n, length) brightness times (n,) colour / 255, rounded."""
    product = brightness.astype(np.uint16) * colour[:, None].astype(np.uint16)
    return ((product + 127) // 255).astype(np.uint8)
