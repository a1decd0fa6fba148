"""Residual blocks of the Video Pixel Network (seed 001, sec. 3.2.3), with any kind of convolution in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from vidpred.errors import ConfigError

Conv = Callable[[int, int, int], nn.Module]
"""Makes a convolution of (input channels, output channels, kernel size) that keeps the frame's size."""
BlockKind = Literal["residual", "multiplicative"]


def same_conv(inputs: int, outputs: int, kernel_size: int) -> nn.Conv2d:
    """A convolution with "same" padding. Raises `ConfigError` for an even kernel."""
    if kernel_size % 2 == 0:
        raise ConfigError(f"a convolution that keeps the frame's size has an odd kernel, got {kernel_size}")
    return nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2)


def make_block(
    kind: BlockKind, channels: int, hidden: int, kernel_size: int = 3, conv: Conv = same_conv
) -> nn.Module:
    """The block of that name, on (N, channels, H, W)."""
    block = ResidualBlock if kind == "residual" else MultiplicativeBlock
    return block(channels, hidden, kernel_size, conv)


class ResidualBlock(nn.Module):
    """ReLU, 1x1 to `hidden` channels, ReLU, `kernel_size`, ReLU, 1x1 back, and the input added (fig. 3.4)."""

    def __init__(self, channels: int, hidden: int, kernel_size: int = 3, conv: Conv = same_conv) -> None:
        super().__init__()
        self.narrow = conv(channels, hidden, 1)
        self.look = conv(hidden, hidden, kernel_size)
        self.widen = conv(hidden, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) from the same."""
        hidden = self.narrow(features.relu())
        hidden = self.look(hidden.relu())
        return features + self.widen(hidden.relu())


class MultiplicativeBlock(nn.Module):
    """1x1 to `hidden` channels, two multiplicative units, 1x1 back, and the input added: the "residual
    multiplicative block" of Kalchbrenner et al., "Video Pixel Networks", 2016, sec. 4.2."""

    def __init__(self, channels: int, hidden: int, kernel_size: int = 3, conv: Conv = same_conv) -> None:
        super().__init__()
        self.narrow = conv(channels, hidden, 1)
        self.units = nn.Sequential(*(MultiplicativeUnit(hidden, kernel_size, conv) for _ in range(2)))
        self.widen = conv(hidden, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) from the same."""
        return features + self.widen(self.units(self.narrow(features)))


class MultiplicativeUnit(nn.Module):
    """A gated layer without a nonlinearity at its end (Kalchbrenner et al. 2016, eq. 6)::

    g1, g2, g3 = σ(W1 * h), σ(W2 * h), σ(W3 * h);  u = tanh(W4 * h)
    MU(h) = g1 ∘ tanh(g2 ∘ h + g3 ∘ u)
    """

    def __init__(self, channels: int, kernel_size: int, conv: Conv) -> None:
        super().__init__()
        # Four convolutions and not the quarters of one: under a mask by colors a quarter is not a color's.
        self.gates = nn.ModuleList(conv(channels, channels, kernel_size) for _ in range(3))
        self.update = conv(channels, channels, kernel_size)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) from the same."""
        out, keep, write = (gate(features).sigmoid() for gate in self.gates)
        return out * (keep * features + write * self.update(features).tanh()).tanh()
