"""Frames in named rows and columns, for whatever is neither context nor prediction over time."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import ConfigError
from vidpred.files import replacing
from vidpred.viz import tiles

_SIDE = 64
_GAP = 4
_MARGIN = 10
_HEADER = 30


def write_grid(
    path: str | os.PathLike[str],
    rows: Sequence[tuple[str, NDArray[np.uint8]]],
    columns: Sequence[str],
    title: str = "",
) -> None:
    """Writes a PNG with a row of frames for each of `rows`.

    Args:
        rows: the name of each row and its frames, (columns, C, H, W) uint8, C 1 or 3. A row called
            ``truth`` has grey borders, the others orange ones.
        columns: what stands above the frames.
        title: above all, where there is one.

    Raises:
        ConfigError: no row, or a row of another number of frames than columns.
        OutputError: the file cannot be written.
    """
    for name, frames in rows:
        if len(frames) != len(columns):
            raise ConfigError(f"row '{name}' has {len(frames)} frames for {len(columns)} columns")
    if not rows:
        raise ConfigError("a grid needs at least one row, got none")
    height, width = rows[0][1].shape[-2:]
    scale = tiles.magnification((height, width), _SIDE)
    step_x = width * scale + 2 * tiles.BORDER + _GAP
    step_y = height * scale + 2 * tiles.BORDER + _GAP
    left = _MARGIN + tiles.text_width([name for name, _ in rows]) + 2 * _GAP
    top = _HEADER + 24 * bool(title)
    page, pen = tiles.canvas(
        max(left + len(columns) * step_x, tiles.text_width([title or " "])) + _MARGIN,
        top + len(rows) * step_y + _MARGIN,
    )
    if title:
        tiles.write(pen, (left, 16), title, anchor="lm")
    for number, head in enumerate(columns):
        tiles.write(pen, (left + (number + 0.5) * step_x - _GAP / 2, top - 12), head)
    for number, (name, frames) in enumerate(rows):
        y = top + number * step_y
        tiles.write(pen, (left - 2 * _GAP, y + (step_y - _GAP) / 2), name, anchor="rm")
        colour = tiles.TRUTH if name == "truth" else tiles.PREDICTION
        for column, frame in enumerate(frames):
            page.paste(tiles.tile(frame, colour, scale), (left + column * step_x, y))
    with replacing(path) as temporary:
        page.save(temporary, "PNG", optimize=True)
