"""Transposed convolution with stride 2, computed as a plain convolution.

With stride 2 an output pixel meets only every second tap of the kernel, and which ones depends on
whether its row and column are even or odd. So the output falls into four interleaved phases, each an
ordinary convolution of the input with its share of the taps. Computing the four at once and
interleaving them (a pixel shuffle) gives exactly the transposed convolution, and runs at the speed of
`conv2d` where a CPU's transposed convolution to few channels is many times slower.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TransposedConv2d(nn.Module):
    """Doubles height and width; same result as `nn.ConvTranspose2d` of stride 2 and "same" padding.

    (N, in, H, W) -> (N, out, 2H, 2W). The weight has `nn.ConvTranspose2d`'s shape, (in, out, K, K), and
    the result is that of ``stride=2, padding=K // 2, output_padding=1``. K must be odd.
    """

    taps: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.xavier_uniform_(self.weight)
        # Output 2j + phase reads input j + offset through tap = phase + K//2 - 2 offset. A tap outside
        # the kernel is a zero, kept at index K of the padded weight.
        centre = kernel_size // 2
        first, self.last = -(centre // 2), (centre + 1) // 2
        offsets = torch.arange(first, self.last + 1)
        taps = torch.arange(2)[:, None] + centre - 2 * offsets  # (phase, offset)
        taps[(taps < 0) | (taps >= kernel_size)] = kernel_size
        self.register_buffer("taps", taps, persistent=False)
        # The kernel reaches one further to the right than to the left for some K; conv2d pads alike.
        self.extra = self.last + first

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, 2H, 2W)."""
        padded = F.pad(self.weight, (0, 1, 0, 1))
        phases = padded[:, :, self.taps[:, :, None, None], self.taps]  # (in, out, 2, k, 2, k)
        kernel = phases.permute(1, 2, 4, 0, 3, 5).flatten(0, 2)  # (out * 4, in, k, k)
        y = F.conv2d(x, kernel, self.bias.repeat_interleave(4), padding=self.last)
        return F.pixel_shuffle(y[..., self.extra :, self.extra :], 2)
