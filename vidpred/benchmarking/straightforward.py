"""Conv-TT-LSTM as one would write it down from the paper (seed 002, algorithm 2), to measure ours against."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidpred.nn import ConvTTLSTMCell
from vidpred.nn.recurrent_blocks import RecurrentBlocks


class History(NamedTuple):
    """What one step hands to the next."""

    hidden: tuple[Tensor, ...]  # the last M states, newest first, each (N, hidden, H, W)
    cell: Tensor  # (N, hidden, H, W)


class StraightforwardCell(nn.Module):
    """A `ConvTTLSTMCell` that computes every window anew in every step, with its weights.

    One convolution for each window, one for each core, and one of [x; V] for the gates; the gates in torch.
    """

    def __init__(self, cell: ConvTTLSTMCell) -> None:
        super().__init__()
        self.hidden_channels = cell.hidden_channels
        source = cell.preprocessing
        self.window, self.steps = source.window, source.window + source.order - 1
        self.reduce: Sequence[nn.Module] = nn.ModuleList(  # type: ignore[assignment]
            _conv(weight, bias)
            for weight, bias in zip(
                source.weight.split(source.rank), source.bias.split(source.rank), strict=True
            )
        )
        self.cores = nn.ModuleList(
            _conv(weight, bias) for weight, bias in zip(cell.chain.cores, cell.chain.biases, strict=True)
        )
        assert isinstance(cell.input, nn.Conv2d)
        assert cell.input.bias is not None
        self.gates = _conv(torch.cat([cell.input.weight, cell.last_core.weight], 1), cell.input.bias)

    def initial(self, frames: Tensor) -> History:
        """Zeros."""
        batch, _, height, width = frames.shape[-4:]
        zeros = frames.new_zeros(batch, self.hidden_channels, height, width)
        return History((zeros,) * self.steps, zeros)

    def run(self, frames: Tensor, state: History) -> tuple[Tensor, History]:
        """(T, N, C, H, W) -> every hidden state, (T, N, hidden, H, W), and the last state."""
        outputs = []
        for frame in frames:
            state = self.step(frame, state)
            outputs.append(state.hidden[0])
        return torch.stack(outputs), state

    def step(self, frame: Tensor, state: History) -> History:
        """The next state."""
        reduced = [
            reduce(torch.cat(state.hidden[age : age + self.window], 1))
            for age, reduce in enumerate(self.reduce)
        ]
        value = reduced.pop()  # the oldest window
        for core in self.cores:
            value = reduced.pop() + core(value)
        i, f, g, o = self.gates(torch.cat([frame, value], 1)).chunk(4, 1)
        cell = f.sigmoid() * state.cell + i.sigmoid() * g.tanh()
        return History((o.sigmoid() * cell.tanh(), *state.hidden[:-1]), cell)


def straightforward(model: nn.Module) -> nn.Module:
    """The same network with the same weights, its Conv-TT-LSTM layers replaced."""
    copied = copy.deepcopy(model)
    for blocks in copied.modules():
        if isinstance(blocks, RecurrentBlocks):
            for number, cell in enumerate(blocks.cells):
                if isinstance(cell, ConvTTLSTMCell):
                    blocks.cells[number] = StraightforwardCell(cell)  # type: ignore[index]
    return copied


def _conv(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    outputs, inputs, kernel, _ = weight.shape
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        conv.weight.copy_(weight)
        assert conv.bias is not None
        conv.bias.copy_(bias)
    return conv
