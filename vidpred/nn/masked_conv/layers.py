"""Layers that see of an image what comes before a pixel in reading order."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from vidpred import ops
from vidpred.nn.blocks import Conv, ResidualBlock


class MaskedConv2d(nn.Conv2d):
    """A convolution under a mask (seed 001, eq. 3.11 and 3.12), from (N, in, H, W) to (N, out, H, W).

    The weight has its full shape, as in checkpoints; what the mask hides is never used and never changes.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd.
        mask: ``"A"`` hides the pixel itself, ``"B"`` lets it through.
        colors: how many colors the channels stand for, in equal groups; a color sees those before it of the
            pixel itself, and with mask B itself.
        bias: whether to add one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        mask: Literal["A", "B"],
        *,
        colors: int = 1,
        bias: bool = True,
    ):
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)
        self.mask = mask
        self.colors = colors

    def forward(self, frames: Tensor) -> Tensor:
        """(N, out, H, W) from (N, in, H, W)."""
        return ops.masked_conv2d(frames, self.weight, self.bias, mask=self.mask, colors=self.colors)

    def masked_weight(self) -> Tensor:
        """The weight (out, in, K, K), with zeros where the mask hides it."""
        mask = ops.reference.conv_mask(self.weight.shape, self.mask, self.colors).to(self.weight)
        return torch.where(mask.bool(), self.weight, 0)


class MaskedResidualBlock(ResidualBlock):
    """The residual block of the PixelCNN (seed 001, fig. 3.4), on (N, channels, H, W). All masks are B."""

    def __init__(self, channels: int, hidden: int, kernel_size: int = 3, *, colors: int = 1):
        super().__init__(channels, hidden, kernel_size, masked_conv(colors))


def masked_conv(colors: int) -> Conv:
    """Makes convolutions under mask B for blocks."""
    return lambda inputs, outputs, kernel_size: MaskedConv2d(inputs, outputs, kernel_size, "B", colors=colors)
