"""Exact sampling from a stack of masked convolutions, every activation of every pixel computed once.

A PixelCNN (seed 001, eq. 3.10 to 3.13) draws a pixel from what it makes of the pixels before it, in reading
order. Drawn one by one with the whole network each time, a frame of 64x64 pixels takes 4096 passes. But a
pixel only needs the rows above up to a few columns to its right, so that all rows can advance together, each
`delay` columns behind the one above: pixel (y, x) is drawn in step x + delay * y, and with a 7x7 kernel the
frame takes 64 + 4 * 63 = 316 steps, each of which computes its pixels alone. The result is that of the
pixel-by-pixel loop.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from vidpred.errors import ConfigError
from vidpred.ops import _extension, reference
from vidpred.ops.checks import ShapeError, require_like, require_shape
from vidpred.ops.pixel_program import PixelProgram


def sample_pixels(
    program: PixelProgram, context: Tensor, noise: Tensor, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Draws images from a program.

    Not differentiable. Computed in float32.

    Args:
        program: what to draw from.
        context: (N, H, W, C), float32, what the program loads at each pixel.
        noise: (N, colors, H, W), float32, uniform in [0, 1). A Bernoulli pixel is 1 where the noise is
            below the probability; of several levels the first is drawn whose cumulated probability exceeds
            the noise.
        temperature: divides the logits; 0 draws the most likely value.

    Returns:
        image: (N, colors, H, W), values in [0, 1].
        logits: (N, colors * levels, H, W), what each pixel was drawn from.

    Raises:
        ConfigError: the temperature is negative.
        ShapeError, DtypeError, DeviceError: a tensor does not fit the program or the others.
    """
    if not temperature >= 0:
        raise ConfigError(f"sample_pixels: the temperature must be 0 or more, got {temperature}")
    if noise.dim() != 4 or noise.shape[1] != program.colors:
        expected = f"(N, {program.colors}, H, W)"
        raise ShapeError(f"sample_pixels: noise must have shape {expected}, got {tuple(noise.shape)}")
    batch, _, height, width = noise.shape
    require_shape("sample_pixels", "context", context, (batch, height, width, program.context_channels))
    require_like("sample_pixels", "noise", noise, "the program's weights", program.weights)
    require_like("sample_pixels", "context", context, "noise", noise)
    inverse_temperature = 1 / temperature if temperature else inf
    if not _extension.serves(noise.device.type):
        return reference.sample_pixels(program, context, noise, inverse_temperature)
    caches, cache_size = program.cache_table(batch * height)
    image, logits = torch.ops.vidpred.sample_pixels(
        *program.tables(noise.device),
        caches.to(noise.device),
        program.weights,
        context,
        noise,
        program.registers,
        program.logits,
        program.levels,
        program.delay,
        cache_size,
        max((line.taps * line.in_channels for line in program.main), default=0),
        inverse_temperature,
    )
    return image, logits


def _like_noise(
    own: Tensor, main: Tensor, caches: Tensor, weights: Tensor, context: Tensor, noise: Tensor,
    registers: int, logits: int, levels: int, *others: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """What the operator returns, for tensors without data."""
    batch, colors, height, width = noise.shape
    return noise.new_empty(noise.shape), noise.new_empty(batch, colors * levels, height, width)


if _extension.loaded():
    torch.library.register_fake("vidpred::sample_pixels", _like_noise)
