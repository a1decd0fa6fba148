"""What animations of rollouts show: one page for each frame of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidpred.viz import tiles

FRAME_MS = 100
"""How long a page is shown, in milliseconds."""
LAST_FRAME_MS = 1500
"""How long the last one is."""
_SIDE = 128
_GAP = 8
_HEADER = 46


def draw_pages(
    context: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    truth: NDArray[np.uint8] | None = None,
    names: Sequence[str] | None = None,
) -> Iterator[Image.Image]:
    """One picture for each frame of time: one row a sequence, the truth to the left, every sample beside it.

    All pictures have a blue border while the context plays and an orange one, grey for the truth, from the
    first predicted frame on.

    Args:
        context: (N, Tc, C, H, W) uint8, C 1 or 3.
        predicted: (S, N, horizon, C, H, W) uint8.
        truth: (N, Tt, C, H, W) uint8, what really followed; where Tt < horizon, its place then stays empty.
            None or Tt = 0: there is no such column.
        names: what to call the S samples.
    """
    samples, count, horizon, _, height, width = predicted.shape
    known = 0 if truth is None else truth.shape[1]
    heads = [*(["truth"] if known else []), *(names or tiles.sample_names(samples))]
    scale = tiles.magnification((height, width), _SIDE)
    step_x = width * scale + 2 * tiles.BORDER + _GAP
    step_y = height * scale + 2 * tiles.BORDER + _GAP
    page_width = max(_GAP + len(heads) * step_x, tiles.text_width([f"predicted frame {horizon}"]) + 2 * _GAP)

    def page(title: str, colour: tiles.Colour) -> Image.Image:
        image, pen = tiles.canvas(page_width, _HEADER + count * step_y)
        tiles.write(pen, (_GAP, 13), title, colour, anchor="lm")
        for column, head in enumerate(heads):
            tiles.write(pen, (_GAP + (column + 0.5) * step_x - _GAP / 2, 33), head)
        return image

    def put(
        image: Image.Image, row: int, column: int, frame: NDArray[np.uint8], colour: tiles.Colour
    ) -> None:
        image.paste(tiles.tile(frame, colour, scale), (_GAP + column * step_x, _HEADER + row * step_y))

    for t in range(context.shape[1]):
        image = page(f"context frame {t + 1}", tiles.CONTEXT)
        for row in range(count):
            for column in range(len(heads)):
                put(image, row, column, context[row, t], tiles.CONTEXT)
        yield image
    for t in range(horizon):
        image = page(f"predicted frame {t + 1}", tiles.PREDICTION)
        for row in range(count):
            if truth is not None and t < known:
                put(image, row, 0, truth[row, t], tiles.TRUTH)
            for sample in range(samples):
                put(image, row, sample + bool(known), predicted[sample, row, t], tiles.PREDICTION)
        yield image
