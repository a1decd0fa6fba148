"""A stack of masked convolutions as straight-line code for one pixel, which `sample_pixels` runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import torch
from torch import Tensor

PANEL = 32
"""Convolutions compute so many channels together; their targets have room for whole panels."""

MOST_TAPS = 128
"""Live taps of a convolution: enough for 15x15."""


class Operation(IntEnum):
    """What a line of a program does; csrc/kernels/sample_pixels/sample_pixels.h says it exactly."""

    LOAD = 0
    COPY = 1
    RELU = 2
    SIGMOID = 3
    TANH = 4
    ADD = 5
    MULTIPLY = 6
    AFFINE = 7
    STORE = 8
    CONVOLVE = 9


@dataclass(frozen=True)
class Instruction:
    """A line of a program, for one pixel. Registers are counted in numbers."""

    operation: Operation
    target: int = 0
    source: int = 0
    other: int = 0
    channels: int = 0
    in_channels: int = 0
    radius: int = 0
    """Of the kernel: 1 for 3x3."""
    sees_itself: bool = False
    """Whether the pixel's own place in the cache is a live tap, the last one."""
    cache: int = -1
    """-1: a convolution of the pixel itself alone, from `source`."""
    parameters: int = 0
    """Where the line's numbers are in the weights, or in the context."""

    @property
    def taps(self) -> int:
        """Live taps of a convolution."""
        if self.cache < 0:
            return 1
        return self.radius * (2 * self.radius + 1) + self.radius + self.sees_itself


@dataclass(frozen=True)
class Cache:
    """What convolutions of up to `radius` see of a value with so many `channels`."""

    channels: int
    radius: int


@dataclass(frozen=True)
class PixelProgram:
    """A stack of masked convolutions as straight-line code for one pixel.

    `vidpred.nn.masked_conv.PixelSampler` makes one of a module.
    """

    own: tuple[Instruction, ...]
    """What depends on the pixel's own value, seen by other pixels alone: run again when that changes."""
    main: tuple[Instruction, ...]
    """From caches and context to logits."""
    caches: tuple[Cache, ...]
    weights: Tensor
    """All numbers of all lines, float32. A convolution has its bias, (panels, 32), then its weights,
    (panels, live taps * in_channels, 32): the channels of the target fill the panels in order."""
    registers: int
    """How many numbers a pixel needs. The first `colors` are its value."""
    logits: int
    """The register of (colors, levels)."""
    colors: int
    levels: int
    """Values to choose from, evenly spaced in [0, 1]; 1 for a Bernoulli logit, with the values 0 and 1."""
    context_channels: int
    _tables: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False)

    @property
    def delay(self) -> int:
        """How many columns a row must be behind the one above."""
        return 1 + max((cache.radius for cache in self.caches), default=0)

    def tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The lines of `own` and `main` as the kernels read them, each (lines, 10) int64."""
        if device not in self._tables:
            self._tables[device] = _table(self.own, device), _table(self.main, device)
        return self._tables[device]

    def cache_table(self, rows: int) -> tuple[Tensor, int]:
        """Where the kernels keep what was computed, for so many rows of pixels in all samples.

        A row is read until the row `radius` below has passed, delay * radius columns later, and from
        `radius` columns to the left. The number of columns is a power of two, which makes the remainder
        cheap.

        Returns:
            (caches, 3): channels, columns and offset of each; and the size of all, in numbers.
        """
        lines = []
        offset = max((cache.channels for cache in self.caches), default=0)  # of zeros, for what is outside
        for cache in self.caches:
            needed = (self.delay + 1) * cache.radius + 1
            columns = 1 << (needed - 1).bit_length()
            lines.append((cache.channels, columns, offset))
            offset += rows * columns * cache.channels
        return torch.tensor(lines, dtype=torch.int64).view(len(lines), 3), offset


def _table(lines: tuple[Instruction, ...], device: torch.device) -> Tensor:
    numbers = [[int(number) for number in vars(line).values()] for line in lines]
    return torch.tensor(numbers, dtype=torch.int64, device=device).view(len(lines), -1)
