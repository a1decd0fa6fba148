"""Rollouts as one picture: time runs to the right."""

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
_BLOCK_GAP = 18
"""Between the context and the predictions, and between two sequences."""
_HEADER = 50
_MARGIN = 10
_COLUMNS = 16
"""Columns that a sheet has at most, where nobody says how many."""


def write_contact_sheet(
    path: str | os.PathLike[str],
    context: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    truth: NDArray[np.uint8] | None = None,
    *,
    every: int | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Writes a PNG: for each sequence a row of the truth, where it is known, and a row for every sample.

    To the left, with blue borders, is the context, which all rows share and only the first one shows; to
    the right, with orange borders, what was predicted. Frames of both are numbered from 1.

    Args:
        context: (N, Tc, C, H, W) uint8, C 1 or 3.
        predicted: (S, N, horizon, C, H, W) uint8.
        truth: (N, Tt, C, H, W) uint8, what really followed, Tt <= horizon, or None.
        every: shows predicted frame 1 and the multiples of this number. None takes the smallest round
            number that gives at most 16 columns. Of the context at most four frames are shown.
        names: what to call the S samples.

    Raises:
        ConfigError: `every` is not positive.
        OutputError: the file cannot be written.
    """
    samples, count, horizon, _, height, width = predicted.shape
    every = _round_step(context.shape[1], horizon) if every is None else every
    if every < 1:
        raise ConfigError(f"every must be at least 1, got {every}")
    given = context_frames(context.shape[1], every)
    shown = predicted_frames(horizon, every)

    known = 0 if truth is None else truth.shape[1]
    rows = [*(["truth"] if known else []), *(names or tiles.sample_names(samples))]
    scale = tiles.magnification((height, width), _SIDE)
    step_x = width * scale + 2 * tiles.BORDER + _GAP
    step_y = height * scale + 2 * tiles.BORDER + _GAP
    left = _MARGIN + tiles.text_width(rows) + 2 * _GAP
    future = left + len(given) * step_x + _BLOCK_GAP
    block = len(rows) * step_y + _BLOCK_GAP
    page, pen = tiles.canvas(
        future + len(shown) * step_x - _GAP + _MARGIN, _HEADER + count * block - _BLOCK_GAP + _MARGIN
    )

    for start, numbers, title, colour in (
        (left, given, "context", tiles.CONTEXT),
        (future, shown, "predicted", tiles.PREDICTION),
    ):
        tiles.write(pen, (start, 16), title, colour, anchor="lm")
        for column, number in enumerate(numbers):
            tiles.write(pen, (start + (column + 0.5) * step_x - _GAP / 2, 36), str(number), colour)
    for sequence in range(count):
        top = _HEADER + sequence * block
        for row, name in enumerate(rows):
            middle = top + (row + 0.5) * step_y - _GAP / 2
            tiles.write(pen, (left - 2 * _GAP, middle), name, anchor="rm")
        for column, number in enumerate(given):
            picture = tiles.tile(context[sequence, number - 1], tiles.CONTEXT, scale)
            page.paste(picture, (left + column * step_x, top))
        for column, number in enumerate(shown):
            x = future + column * step_x
            if truth is not None and number <= known:
                page.paste(tiles.tile(truth[sequence, number - 1], tiles.TRUTH, scale), (x, top))
            for sample in range(samples):
                picture = tiles.tile(predicted[sample, sequence, number - 1], tiles.PREDICTION, scale)
                page.paste(picture, (x, top + (sample + bool(known)) * step_y))
    with replacing(path) as temporary:
        page.save(temporary, "PNG", optimize=True)


def context_frames(length: int, every: int) -> list[int]:
    """Numbers, from 1, of the context frames that a sheet shows: the last and others before it, at most four.

    They stand as far apart as the predicted ones, but not so far that the context's motion is lost.
    """
    return list(range(length, 0, -min(every, -(-length // 4))))[:4][::-1]


def predicted_frames(horizon: int, every: int) -> list[int]:
    """Numbers, from 1, of the predicted frames that a sheet shows: the first, and multiples of `every`."""
    return sorted({1, *range(every, horizon + 1, every)})


def _round_step(context: int, horizon: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... with which all columns fit."""
    steps = (digit * 10**power for power in range(10) for digit in (1, 2, 5))
    return next(
        step
        for step in steps
        if len(context_frames(context, step)) + len(predicted_frames(horizon, step)) <= _COLUMNS
    )
