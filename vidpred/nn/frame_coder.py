"""The convolutional encoder and decoder of single frames (seed 000, table 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred.errors import ConfigError
from vidpred.nn.initialization import glorot
from vidpred.nn.upsample import TransposedConv2d


class FrameEncoder(nn.Module):
    """Strided convolutions with ReLU: each halves height and width.

    (..., C, H, W) -> (..., features), features = widths[-1] * (H / 2^L) * (W / 2^L) for L layers.

    Raises:
        ConfigError: no width, or not a positive width and an odd kernel for every layer.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], widths: Sequence[int], kernels: Sequence[int]
    ) -> None:
        super().__init__()
        _check(widths, kernels)
        inputs = [channels, *widths[:-1]]
        self.layers = nn.ModuleList(
            glorot(nn.Conv2d(i, o, k, stride=2, padding=k // 2))
            for i, o, k in zip(inputs, widths, kernels, strict=True)
        )
        self.grid = (widths[-1], size[0] >> len(widths), size[1] >> len(widths))
        self.features = self.grid[0] * self.grid[1] * self.grid[2]

    def forward(self, frames: Tensor) -> Tensor:
        """(..., C, H, W) -> (..., features)."""
        x = frames.flatten(0, -4)
        for layer in self.layers:
            x = F.relu(layer(x))
        return x.reshape(*frames.shape[:-3], self.features)


class FrameDecoder(nn.Module):
    """The encoder backwards: transposed convolutions with ReLU; the last gives logits of the pixels.

    (..., features) -> (..., C, H, W). `widths` and `kernels` are the encoder's, in the encoder's order.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], widths: Sequence[int], kernels: Sequence[int]
    ) -> None:
        super().__init__()
        _check(widths, kernels)
        outputs = [channels, *widths[:-1]]
        layers = [TransposedConv2d(i, o, k) for i, o, k in zip(widths, outputs, kernels, strict=True)]
        self.layers = nn.ModuleList(reversed(layers))
        self.grid = (widths[-1], size[0] >> len(widths), size[1] >> len(widths))
        self.features = self.grid[0] * self.grid[1] * self.grid[2]

    def forward(self, features: Tensor) -> Tensor:
        """(..., features) -> logits (..., C, H, W)."""
        x = features.flatten(0, -2).unflatten(-1, self.grid)
        x = x.contiguous(memory_format=torch.channels_last)  # the faster layout for these on a CPU
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        logits: Tensor = self.layers[-1](x)
        return logits.reshape(*features.shape[:-1], *logits.shape[1:])


def _check(widths: Sequence[int], kernels: Sequence[int]) -> None:
    sizes_fit = min([*widths, *kernels], default=0) > 0 and all(kernel % 2 for kernel in kernels)
    if not sizes_fit or len(widths) != len(kernels):
        raise ConfigError(
            "model.widths and model.kernels need a positive width and an odd kernel for every layer of the "
            f"encoder, got {list(widths)} and {list(kernels)}"
        )
