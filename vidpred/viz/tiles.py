"""What animations and contact sheets are made of: framed pictures and words on a canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CONTEXT = (38, 103, 193)
PREDICTION = (226, 103, 16)
TRUTH = (120, 128, 138)
INK = (33, 37, 41)
PAPER = (255, 255, 255)

BORDER = 2
"""Width of the coloured frame around a picture, in pixels."""
FONT_SIZE = 12

Colour = tuple[int, int, int]


def magnification(size: tuple[int, int], target: int) -> int:
    """The whole number that brings the larger side of a frame closest to `target` pixels; at least 1."""
    return max(1, round(target / max(size)))


def tile(frame: NDArray[np.uint8], colour: Colour, scale: int) -> Image.Image:
    """A frame (C, H, W) uint8, C 1 or 3, every pixel `scale` times as large, with a border around it."""
    pixels = np.repeat(frame, 3, axis=0) if len(frame) == 1 else frame
    pixels = pixels.transpose(1, 2, 0).repeat(scale, axis=0).repeat(scale, axis=1)
    framed = np.empty((pixels.shape[0] + 2 * BORDER, pixels.shape[1] + 2 * BORDER, 3), np.uint8)
    framed[:] = colour
    framed[BORDER:-BORDER, BORDER:-BORDER] = pixels
    return Image.fromarray(framed)


def canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty page and the pen for it."""
    page = Image.new("RGB", (width, height), PAPER)
    return page, ImageDraw.Draw(page)


def font(size: int = FONT_SIZE) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that Pillow brings with it, the same on every machine."""
    return ImageFont.load_default(size)


def text_width(words: Sequence[str], size: int = FONT_SIZE) -> int:
    """Pixels that the longest of the texts takes."""
    return max(round(font(size).getlength(text)) for text in words)


def write(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    colour: Colour = INK,
    *,
    anchor: Literal["lm", "mm", "rm"] = "mm",
    size: int = FONT_SIZE,
) -> None:
    """Writes one line; `anchor` says which of its points lies at `place` (x, y): left, middle or right."""
    pen.text(place, text, fill=colour, font=font(size), anchor=anchor)


def sample_names(samples: int) -> list[str]:
    """What predictions are called where they have no names of their own."""
    return ["prediction"] if samples == 1 else [f"sample {sample}" for sample in range(1, samples + 1)]
