"""Rollouts as an animation."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidpred.files import replacing
from vidpred.viz.animation import FRAME_MS, LAST_FRAME_MS, draw_pages


def write_gif(
    path: str | os.PathLike[str],
    context: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    truth: NDArray[np.uint8] | None = None,
    *,
    names: Sequence[str] | None = None,
) -> None:
    """Writes an animated GIF of the pages of `draw_pages`, which says what the arguments are.

    Raises:
        OutputError: the file cannot be written.
    """
    pages = [_palette(page) for page in draw_pages(context, predicted, truth, names)]
    durations = [FRAME_MS] * (len(pages) - 1) + [LAST_FRAME_MS]
    with replacing(path) as temporary:
        pages[0].save(
            temporary,
            "GIF",
            save_all=True,
            append_images=pages[1:],
            duration=durations,
            loop=0,
            optimize=False,
        )


def _palette(page: Image.Image) -> Image.Image:
    """A page in at most 256 colours of its own, which is exact for a grey video up to a few shades."""
    return page.quantize(256, dither=Image.Dither.NONE)
