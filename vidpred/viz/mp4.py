"""Rollouts as a video."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidpred.files import replacing
from vidpred.pyav import load_av
from vidpred.viz.animation import FRAME_MS, LAST_FRAME_MS, draw_pages


def write_mp4(
    path: str | os.PathLike[str],
    context: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    truth: NDArray[np.uint8] | None = None,
    *,
    names: Sequence[str] | None = None,
) -> None:
    """Writes a video of the pages of `draw_pages`, which says what the arguments are; the last one stays on.

    H.264 with half the resolution in colour, which every player and browser shows, at a high quality. Sides
    are made even, as that needs.

    Raises:
        ConfigError: PyAV is missing.
        OutputError: the file cannot be written.
    """
    av = load_av()
    with replacing(path) as temporary, temporary.open("wb") as file, av.open(file, "w", "mp4") as container:
        stream = None
        for page in draw_pages(context, predicted, truth, names):
            stream = stream or _stream(container, page)
            container.mux(stream.encode(_frame(av, page)))
        assert stream is not None
        for _ in range(LAST_FRAME_MS // FRAME_MS - 1):
            container.mux(stream.encode(_frame(av, page)))
        container.mux(stream.encode())


def _stream(container: Any, page: Image.Image) -> Any:
    # One thread: with several, the bytes depend on how many there are.
    stream = container.add_stream("libx264", rate=1000 // FRAME_MS, options={"crf": "16", "threads": "1"})
    stream.width, stream.height = (side + side % 2 for side in page.size)
    stream.pix_fmt = "yuv420p"
    return stream


def _frame(av: Any, page: Image.Image) -> Any:
    pixels = np.asarray(page.convert("RGB"))
    odd = [(0, side % 2) for side in pixels.shape[:2]]
    return av.VideoFrame.from_ndarray(np.pad(pixels, [*odd, (0, 0)], mode="edge"), format="rgb24")
