"""Drawing images from a decoder of masked convolutions, exactly, and computing every pixel once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidpred.nn.masked_conv.tracing import TracedDecoder
from vidpred.ops.sample_pixels import PixelProgram, sample_pixels


def sample(
    decoder: nn.Module,
    context: Tensor,
    *,
    colors: int = 1,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draws an image from ``decoder(image, context)``; see `PixelSampler`.

    Args:
        decoder: the module, as `PixelSampler` takes it.
        context: (N, C, H, W): what the decoder is given, and the size and device of what it draws.
        colors: channels of the image.
        temperature: divides the logits; 0 draws the most likely value of every pixel.
        generator: draws the noise; by default torch's own.

    Returns:
        (N, colors, H, W), values in [0, 1].

    Raises:
        ConfigError: see `PixelSampler`; or the temperature is negative.
    """
    return PixelSampler(decoder, colors)(context, temperature=temperature, generator=generator)


class PixelSampler:
    """Draws image after image from a decoder, with the weights it has when the first is drawn.

    The decoder is called as ``decoder(image, context)``, with image (N, colors, H, W) and context
    (N, C, H, W), and returns logits (N, colors * levels, H, W): one level is a Bernoulli logit, several are
    values evenly spaced in [0, 1]. On the way from image to logits there may be `MaskedConv2d`, convolutions
    1x1, ReLU, sigmoid, tanh, sums, products, differences, `torch.cat` and `chunk` over channels, in any
    arrangement that does not depend on values; the first convolution needs mask A. What depends on the
    context alone may be anything.

    Drawing is exact: the same noise gives what the pixel-by-pixel loop gives. It is computed in float32 and
    is not differentiable.

    Args:
        decoder: the module.
        colors: channels of the image. More than one are drawn one after the other, and all convolutions
            need masks for as many.

    Raises:
        ConfigError: the decoder has something else on that way, or lets a pixel see itself.
    """

    def __init__(self, decoder: nn.Module, colors: int = 1):
        self._decoder = TracedDecoder(decoder)
        self._colors = colors
        self.program: PixelProgram | None = None
        """What is run for every pixel, once the first image has been drawn."""

    @torch.no_grad()
    def __call__(
        self, context: Tensor, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draws an image; see `sample`."""
        batch, _, height, width = context.shape
        noise = torch.rand(batch, self._colors, height, width, generator=generator, device=context.device)
        image, _ = self.with_logits(context, noise, temperature=temperature)
        return image

    @torch.no_grad()
    def with_logits(
        self, context: Tensor, noise: Tensor, *, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Draws an image with given noise, uniform in [0, 1).

        Args:
            context: (N, C, H, W).
            noise: (N, colors, H, W).
            temperature: see `sample`.

        Returns:
            The image, (N, colors, H, W), and the logits it was drawn from, (N, colors * levels, H, W).
        """
        known = self._decoder.context_values(context)
        if self.program is None:
            self.program = self._decoder.program(known, self._colors)
        batch, _, height, width = context.shape
        values = [value.float() for value in known.values()] or [noise.new_zeros(batch, 0, height, width)]
        pixels = torch.cat(values, 1).permute(0, 2, 3, 1).contiguous()
        return sample_pixels(self.program, pixels, noise, temperature=temperature)
