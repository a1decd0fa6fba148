"""The twin of `sample_pixels` in plain torch: the same steps, each with all its pixels at once."""

from __future__ import annotations

from math import isinf

import torch
from torch import Tensor
from torch.nn.functional import pad

from vidpred.ops.pixel_program import PANEL, Cache, Instruction, Operation, PixelProgram


@torch.no_grad()
def sample_pixels(
    program: PixelProgram, context: Tensor, noise: Tensor, inverse_temperature: float
) -> tuple[Tensor, Tensor]:
    """See `vidpred.ops.sample_pixels`; `inverse_temperature` is infinite for the most likely values."""
    batch, colors, height, width = noise.shape
    image = torch.zeros_like(noise)
    logits = noise.new_zeros(batch, colors, program.levels, height, width)
    caches = [_Cache(cache, noise) for cache in program.caches]
    rows = torch.arange(height, device=noise.device)
    for step in range(width + program.delay * (height - 1) if noise.numel() else 0):
        columns = step - program.delay * rows
        y = rows[(columns >= 0) & (columns < width)]
        if not len(y):
            continue
        x = columns[y]
        run = _Step(program, caches, context, batch, y, x)
        run.lines(program.own)
        for color in range(colors):
            run.lines(program.main)
            found = run.registers[:, program.logits :][:, color * program.levels :][:, : program.levels]
            value = draw(found, noise[:, color, y, x].flatten(), inverse_temperature)
            logits[:, color, :, y, x] = found.view(batch, len(y), -1).transpose(1, 2)
            image[:, color, y, x] = value.view(batch, len(y))
            run.registers[:, color] = value
            run.lines(program.own)
    return image, logits.flatten(1, 2)


def draw(logits: Tensor, noise: Tensor, inverse_temperature: float) -> Tensor:
    """Draws values from logits (pixels, levels) with noise (pixels,), uniform in [0, 1)."""
    levels = logits.shape[1]
    if levels == 1:
        bernoulli = logits[:, 0]
        above = (
            bernoulli > 0
            if isinf(inverse_temperature)
            else noise < (bernoulli * inverse_temperature).sigmoid()
        )
        return above.to(noise.dtype)
    if isinf(inverse_temperature):
        level = logits.argmax(1)
    else:
        cumulated = (logits * inverse_temperature).softmax(1).cumsum(1)
        level = (cumulated <= noise[:, None]).sum(1).clamp(max=levels - 1)
    return level.to(noise.dtype) / (levels - 1)


class _Cache:
    """The frame of one cache, with a border of zeros as wide as any convolution's."""

    def __init__(self, cache: Cache, noise: Tensor):
        batch, _, height, width = noise.shape
        self.radius = cache.radius
        frame = noise.new_zeros(batch, height, width, cache.channels)
        self.frame = pad(frame, (0, 0, cache.radius, cache.radius, cache.radius, 0))

    def store(self, y: Tensor, x: Tensor, values: Tensor) -> None:
        self.frame[:, y + self.radius, x + self.radius] = values.view(len(self.frame), len(y), -1)

    def taps(self, line: Instruction, y: Tensor, x: Tensor) -> Tensor:
        """What the live taps of a convolution see, (pixels, taps * channels)."""
        side = 2 * line.radius + 1
        seen = [
            self.frame[
                :, y + self.radius + tap // side - line.radius, x + self.radius + tap % side - line.radius
            ]
            for tap in range(line.taps)
        ]
        return torch.cat(seen, 2).flatten(0, 1) if seen else self.frame.new_zeros(len(self.frame) * len(y), 0)


class _Step:
    """The pixels (y, x) of all samples, in one step."""

    def __init__(
        self, program: PixelProgram, caches: list[_Cache], context: Tensor, batch: int, y: Tensor, x: Tensor
    ):
        self.program, self.caches, self.y, self.x = program, caches, y, x
        self.context = context[:, y, x].flatten(0, 1)
        self.registers = context.new_zeros(batch * len(y), program.registers)

    def lines(self, lines: tuple[Instruction, ...]) -> None:
        for line in lines:
            self._line(line)

    def _line(self, line: Instruction) -> None:
        if line.operation is Operation.STORE:
            self.caches[line.cache].store(self.y, self.x, self._read(line.source, line.channels))
            return
        a, b = self._read(line.source, line.channels), self._read(line.other, line.channels)
        match line.operation:
            case Operation.LOAD:
                result = self.context[:, line.parameters : line.parameters + line.channels]
            case Operation.COPY:
                result = a
            case Operation.RELU:
                result = a.relu()
            case Operation.SIGMOID:
                result = a.sigmoid()
            case Operation.TANH:
                result = a.tanh()
            case Operation.ADD:
                result = a + b
            case Operation.MULTIPLY:
                result = a * b
            case Operation.AFFINE:
                scale, shift = self.program.weights[line.parameters :][:2]
                result = scale * a + shift
            case _:
                result = self._convolve(line)
        self.registers[:, line.target : line.target + line.channels] = result

    def _read(self, register: int, channels: int) -> Tensor:
        return self.registers[:, register : register + channels]

    def _convolve(self, line: Instruction) -> Tensor:
        if line.cache < 0:
            inputs = self._read(line.source, line.in_channels)
        else:
            inputs = self.caches[line.cache].taps(line, self.y, self.x)
        panels = -(-line.channels // PANEL)
        bias = self.program.weights[line.parameters :][: panels * PANEL]
        start, count = line.parameters + panels * PANEL, inputs.shape[1]
        weights = self.program.weights[start : start + panels * count * PANEL].view(panels, count, PANEL)
        outputs = (inputs @ weights).transpose(0, 1).flatten(1)  # (pixels, panels * 32)
        return (outputs + bias)[:, : line.channels]
