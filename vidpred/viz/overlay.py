"""Predictions laid over the truth, so that one sees what went astray (seed 001, figures 4.4-4.8)."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from vidpred.errors import ConfigError
from vidpred.files import replacing
from vidpred.viz import tiles
from vidpred.viz.columns import column_step
from vidpred.viz.contact_sheet import context_frames, predicted_frames

_SIDE = 64
_GAP = 4
_BLOCK_GAP = 18
"""Between the context and the truth."""
_HEADER = 50
_LEGEND = 38
"""Height of the words between predictions and overlaps."""
_MARGIN = 10
_COLUMNS = 12
"""Frames that a picture shows at most beside the context, where nobody says how many."""
_SWATCH = 11
_LUMA = np.array([0.299, 0.587, 0.114])
"""Share of red, green and blue in the brightness (ITU-R BT.601)."""
_MEANINGS = (
    ((255, 255, 255), "truth"),
    ((255, 0, 0), "predicted, but not there"),
)


def overlay(truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The truth in white over the prediction in red, so that red is what was predicted and is not there.

    The red channel is the brighter of both; the green and the blue one are the truth.

    Args:
        truth: (C, H, W) uint8, C 1 or 3; colours are turned to grey.
        prediction: (C, H, W) uint8, C 1 or 3.

    Returns:
        (3, H, W) uint8.
    """
    there, predicted = _grey(truth), _grey(prediction)
    return np.stack([np.maximum(there, predicted), there, there])


def write_overlays(
    path: str | os.PathLike[str],
    truth: NDArray[np.uint8],
    predictions: Mapping[str, NDArray[np.uint8]],
    context: NDArray[np.uint8] | None = None,
    every: int | None = None,
) -> None:
    """Writes a PNG: the truth, below it a row for each model, then for each model the `overlay` of both.

    Frames are numbered from 1. The context, where it is given, lies left of the truth with blue borders.

    Args:
        path: of the PNG.
        truth: (T, C, H, W) uint8, C 1 or 3.
        predictions: for each model, by what to call it, (T, C, H, W) uint8.
        context: (Tc, C, H, W) uint8, of which at most four frames are shown.
        every: shows frame 1 and the multiples of this number. None takes the smallest round number that gives
            at most 12.

    Raises:
        ConfigError: `every` is not positive, no model, no frame, or a prediction of another size or length.
        OutputError: the file cannot be written.
    """
    _check(truth, predictions)
    count, _, height, width = truth.shape
    step = column_step(count, every, _COLUMNS)
    shown = predicted_frames(count, step)
    past = truth[:0] if context is None else context
    given = context_frames(len(past), step) if len(past) else []

    scale = tiles.magnification((height, width), _SIDE)
    step_x = width * scale + 2 * tiles.BORDER + _GAP
    step_y = height * scale + 2 * tiles.BORDER + _GAP
    left = _MARGIN + tiles.text_width(["truth", *predictions]) + 2 * _GAP
    future = left + (len(given) * step_x + _BLOCK_GAP if given else 0)
    overlaps = _HEADER + (1 + len(predictions)) * step_y + _LEGEND
    right = max(future + len(shown) * step_x - _GAP, future + _legend_width())
    page, pen = tiles.canvas(right + _MARGIN, overlaps + len(predictions) * step_y - _GAP + _MARGIN)

    for start, numbers, title, colour in (
        (left, given, "context", tiles.CONTEXT),
        (future, shown, "predicted", tiles.PREDICTION),
    ):
        if numbers:
            tiles.write(pen, (start, 16), title, colour, anchor="lm")
        for column, number in enumerate(numbers):
            tiles.write(pen, (start + (column + 0.5) * step_x - _GAP / 2, 36), str(number), colour)
    for column, number in enumerate(given):
        picture = tiles.tile(past[number - 1], tiles.CONTEXT, scale)
        page.paste(picture, (left + column * step_x, _HEADER))

    _write_legend(pen, (future, overlaps - _LEGEND / 2 - _GAP / 2))
    tops = [_HEADER + row * step_y for row in range(1 + len(predictions))]
    tops += [overlaps + row * step_y for row in range(len(predictions))]
    for top, name in zip(tops, ["truth", *predictions, *predictions], strict=True):
        tiles.write(pen, (left - 2 * _GAP, top + (step_y - _GAP) / 2), name, anchor="rm")
    for column, number in enumerate(shown):
        there = truth[number - 1]
        predicted = [frames[number - 1] for frames in predictions.values()]
        pictures = [
            tiles.tile(there, tiles.TRUTH, scale),
            *(tiles.tile(frame, tiles.PREDICTION, scale) for frame in predicted),
            *(tiles.tile(overlay(there, frame), tiles.INK, scale) for frame in predicted),
        ]
        for top, picture in zip(tops, pictures, strict=True):
            page.paste(picture, (future + column * step_x, top))
    with replacing(path) as temporary:
        page.save(temporary, "PNG", optimize=True)


def _grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(C, H, W) -> (H, W), both uint8."""
    if len(frame) == 1:
        return frame[0]
    grey: NDArray[np.uint8] = np.rint(np.tensordot(_LUMA, frame, axes=1)).astype(np.uint8)
    return grey


def _check(truth: NDArray[np.uint8], predictions: Mapping[str, NDArray[np.uint8]]) -> None:
    if not len(truth):
        raise ConfigError("overlays need at least one frame of the truth, got none")
    if not predictions:
        raise ConfigError("overlays need the prediction of at least one model, got none")
    for name, frames in predictions.items():
        if (len(frames), *frames.shape[2:]) != (len(truth), *truth.shape[2:]):
            raise ConfigError(
                f"the prediction '{name}' must be as long and as large as the truth, "
                f"expected (T, C, H, W) like {truth.shape}, got {frames.shape}"
            )


def _legend_width() -> int:
    words = ["overlap:", *(text for _, text in _MEANINGS)]
    return sum(tiles.text_width([word]) for word in words) + len(_MEANINGS) * (_SWATCH + 18)


def _write_legend(pen: ImageDraw.ImageDraw, place: tuple[float, float]) -> None:
    x, y = place
    tiles.write(pen, (x, y), "overlap:", anchor="lm")
    x += tiles.text_width(["overlap:"]) + 12
    for colour, text in _MEANINGS:
        pen.rectangle(
            (x, y - _SWATCH // 2, x + _SWATCH - 1, y + _SWATCH // 2), fill=colour, outline=tiles.INK
        )
        tiles.write(pen, (x + _SWATCH + 5, y), text, anchor="lm")
        x += _SWATCH + 18 + tiles.text_width([text])
