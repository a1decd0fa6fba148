"""Motion that a model estimates, as arrows and as colours (seed 001, sec. 3.3)."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from vidpred.errors import ConfigError
from vidpred.files import replacing
from vidpred.viz import tiles
from vidpred.viz.columns import column_step
from vidpred.viz.contact_sheet import predicted_frames

_WHEEL = (0, 15, 21, 25, 36, 49, 55)
"""Where red, yellow, green, cyan, blue, magenta and red again lie on the wheel of Baker et al.; they gave the
hues between two of them as many places as the eye tells apart."""
_WHEEL_RGB = ((1, 1, 0, 0, 0, 1, 1), (0, 1, 1, 1, 0, 0, 0), (0, 0, 0, 1, 1, 1, 0))
_TOO_LONG = 0.75
"""Brightness of what is longer than the wheel's rim."""

_SIDE = 192
_GAP = 4
_HEADER = 32
_MARGIN = 10
_COLUMNS = 6
"""Frames that a picture shows at most, where nobody says how many."""
_ARROWS = 8
"""Along each side of a picture, where the flow has that many pixels."""
_SHORTEST = 2.5
"""Length in drawn pixels below which an arrow says nothing."""
_HEAD = 6
"""Length and width of an arrow's head in drawn pixels, where the arrow is long enough for it."""
_FINE = 4
"""Arrows and the key are drawn this many times as large and then made smaller, for smooth edges."""
_KEY = 52


def flow_colours(flow: NDArray[np.floating], largest: float | None = None) -> NDArray[np.uint8]:
    """A flow in the colours of Baker et al.: the direction is the hue, the length the saturation.

    Source: Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011. To the right is
    red, down yellow, to the left a light blue, up violet. Between the places of the wheel, which here is
    closed, hues are interpolated.

    Args:
        flow: (2, H, W), channel 0 along x, to the right, channel 1 along y, down.
        largest: length that has the full colour, above 0; what is longer is darker by a quarter. None takes
            the longest finite one.

    Returns:
        (3, H, W) uint8: white where nothing moves, black where the flow is not finite.

    Raises:
        ConfigError: `largest` is not a positive number.
    """
    if largest is not None and not 0 < largest < np.inf:
        raise ConfigError(f"largest must be a positive number, got {largest}")
    known = np.isfinite(flow).all(axis=0)
    x, y = np.where(known, flow, 0).astype(np.float64)
    length = np.hypot(x, y)
    length /= largest or length.max(initial=0) or 1
    place = np.arctan2(y, x) / (2 * np.pi) * _WHEEL[-1]
    hue = np.stack([np.interp(place, _WHEEL, channel, period=_WHEEL[-1]) for channel in _WHEEL_RGB])
    colour = np.where(length <= 1, 1 - length * (1 - hue), _TOO_LONG * hue)
    return np.rint(255 * np.where(known, colour, 0)).astype(np.uint8)


def write_flow(
    path: str | os.PathLike[str],
    frames: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    flow: NDArray[np.floating],
    truth: NDArray[np.uint8] | None = None,
    *,
    every: int | None = None,
) -> None:
    """Writes a PNG: the frames that are moved, the motion in colours, what was predicted and what followed.

    A model takes the pixel p of its prediction from `features(p + flow(p))`, so what one sees move has the
    direction of -flow. That is what is drawn: each arrow goes from p + flow(p), where features are taken, to
    p, where they arrive, and the colours are `flow_colours` of -flow, all on one scale that the key names.
    Arrows that are too short to have a direction are left out.

    Args:
        path: of the PNG.
        frames: (T, C, H, W) uint8, C 1 or 3, the frame that each prediction starts from.
        predicted: (T, C, H, W) uint8.
        flow: (T, 2, h, w), in pixels of its own grid, which may be coarser than that of the frames; channel 0
            along x, to the right, channel 1 along y, down. What is not finite is black and has no arrow.
        truth: (T, C, H, W) uint8, what really followed, or None.
        every: shows prediction 1 and the multiples of this number. None takes the smallest round number that
            gives at most 6.

    Raises:
        ConfigError: `every` is not positive, or the shapes do not fit each other.
        OutputError: the file cannot be written.
    """
    _check(frames, predicted, flow, truth)
    count, _, height, width = frames.shape
    shown = predicted_frames(count, column_step(count, every, _COLUMNS))
    frame_pixels = np.array([width / flow.shape[3], height / flow.shape[2]])[:, None, None]
    motion = -flow.astype(np.float64) * frame_pixels  # (T, 2, h, w)
    lengths = np.hypot(*motion[np.subtract(shown, 1)].swapaxes(0, 1))
    largest = float(lengths[np.isfinite(lengths)].max(initial=0))

    scale = tiles.magnification((height, width), _SIDE)
    step_x = width * scale + 2 * tiles.BORDER + _GAP
    step_y = height * scale + 2 * tiles.BORDER + _GAP
    names = ["moved frame", "motion", "predicted", *([] if truth is None else ["truth"])]
    unit = f"rim: {largest:.3g} pixels"
    left = _MARGIN + max(tiles.text_width([*names, unit]), _KEY) + 2 * _GAP
    page, pen = tiles.canvas(
        left + len(shown) * step_x - _GAP + _MARGIN, _HEADER + len(names) * step_y - _GAP + _MARGIN
    )
    for row, name in enumerate(names):
        middle = _HEADER + (row + 0.5) * step_y - _GAP / 2
        if name == "motion":
            middle -= _KEY / 2 + 8
            page.paste(_key(), (left - 2 * _GAP - _KEY, round(middle) + 10))
            tiles.write(pen, (left - 2 * _GAP, middle + _KEY + 20), unit, anchor="rm")
        tiles.write(pen, (left - 2 * _GAP, middle), name, anchor="rm")
    for column, number in enumerate(shown):
        x, t = left + column * step_x, number - 1
        tiles.write(pen, (x + (step_x - _GAP) / 2, _HEADER / 2), str(number))
        colours = _enlarge(flow_colours(motion[t], largest or None), (height * scale, width * scale))
        moved = tiles.tile(frames[t], tiles.CONTEXT, scale)
        _draw_arrows(moved, motion[t], scale)
        pictures = [
            moved,
            tiles.tile(colours, tiles.PREDICTION, 1),
            tiles.tile(predicted[t], tiles.PREDICTION, scale),
            *([] if truth is None else [tiles.tile(truth[t], tiles.TRUTH, scale)]),
        ]
        for row, picture in enumerate(pictures):
            page.paste(picture, (x, _HEADER + row * step_y))
    with replacing(path) as temporary:
        page.save(temporary, "PNG", optimize=True)


def _check(
    frames: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    flow: NDArray[np.floating],
    truth: NDArray[np.uint8] | None,
) -> None:
    for name, others in (("predicted", predicted), ("truth", truth)):
        if others is not None and (len(others), *others.shape[2:]) != (len(frames), *frames.shape[2:]):
            raise ConfigError(
                f"{name} must be as many and as large as the frames, "
                f"expected (T, C, H, W) like {frames.shape}, got {others.shape}"
            )
    if not len(frames):
        raise ConfigError("a picture of the flow needs at least one frame, got none")
    if flow.ndim != 4 or flow.shape[:2] != (len(frames), 2) or not flow.size:
        raise ConfigError(f"flow must have the shape ({len(frames)}, 2, h, w), got {flow.shape}")


def _enlarge(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(C, h, w) -> (C, *size): every pixel of the result has the colour of the one that it lies in."""
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, picture.shape[1:], strict=True))
    return picture[:, rows[:, None], columns]


def _draw_arrows(picture: Image.Image, motion: NDArray[np.float64], scale: int) -> None:
    """Draws on a framed picture where things go; motion (2, h, w) in pixels of the frame."""
    size = np.array(picture.size) - 2 * tiles.BORDER
    coarse = np.array(motion.shape[:0:-1])  # w, h
    mask = Image.new("L", tuple((size * _FINE).tolist()))
    pen = ImageDraw.Draw(mask)
    columns, rows = (np.unique((np.arange(_ARROWS) + 0.5) * side // _ARROWS).astype(int) for side in coarse)
    for row in rows:
        for column in columns:
            shift = motion[:, row, column] * scale
            if np.isfinite(shift).all() and np.hypot(*shift) >= _SHORTEST:
                end = (np.array([column, row]) + 0.5) / coarse * size
                _draw_arrow(pen, (end - shift) * _FINE, end * _FINE)
    small = mask.resize(tuple(size.tolist()), Image.Resampling.BOX)
    corner = (tiles.BORDER, tiles.BORDER)
    # A dark rim tells arrows from frames of their own colour.
    picture.paste(tiles.INK, corner, small.filter(ImageFilter.MaxFilter(3)))
    picture.paste(tiles.PREDICTION, corner, small)


def _draw_arrow(pen: ImageDraw.ImageDraw, start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    length = float(np.hypot(*(end - start)))
    along = (end - start) / length
    head = min(_HEAD * _FINE, 0.6 * length)
    neck = end - head * along
    half = head / 2 * np.array([-along[1], along[0]])
    pen.line([*start, *neck], fill=255, width=round(1.5 * _FINE))
    pen.polygon([*end, *(neck + half), *(neck - half)], fill=255)


def _key() -> Image.Image:
    """The colour wheel: every direction leads from the middle to its colour, and the rim is the largest."""
    side = _KEY * _FINE
    y, x = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    wheel = flow_colours(np.stack([x, y]), 1.0)
    wheel[:, np.hypot(x, y) > 1] = 255
    return Image.fromarray(wheel.transpose(1, 2, 0)).resize((_KEY, _KEY), Image.Resampling.BOX)
