"""The convolutional LSTM of Shi et al. 2015 (seed 001, sec. 3.2.1), as one cell and as a sequence module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from vidpred.errors import ConfigError, unknown_name
from vidpred.nn.conv_cell import ConvCell, require_sequence, zeros_like_frames
from vidpred.ops import lstm_gates
from vidpred.ops.checks import require_shape

Peephole = Literal["none", "channel", "pixel"]
"""Whether the gates see the cell, through one weight for each channel or one for each channel and pixel."""


class ConvState(NamedTuple):
    """What one step hands to the next."""

    hidden: Tensor  # (N, hidden, H, W)
    cell: Tensor  # (N, hidden, H, W)


class ConvLSTMCell(ConvCell[ConvState]):
    """One layer, one step (seed 001, eq. 3.1)::

        i = σ(W_xi * x + W_hi * h + w_ci ∘ c + b_i)
        f = σ(W_xf * x + W_hf * h + w_cf ∘ c + b_f)
        c' = f ∘ c + i ∘ tanh(W_xc * x + W_hc * h + b_c)
        o = σ(W_xo * x + W_ho * h + w_co ∘ c' + b_o)
        h' = o ∘ tanh(c')

    Attributes:
        input: the convolution W_x with the bias, to the gates i, f, g, o, (4 * hidden, input, K, K).
        hidden: the convolution W_h, (4 * hidden, hidden, K, K).
        peephole: w_c of the gates i, f, o, (3, hidden) or (3, hidden, H, W), zero at first; None without.

    Raises:
        ConfigError: an even kernel, an unknown kind of peephole, or peepholes for each pixel without the
            `size` (H, W) of the frames.
    """

    def __init__(
        self,
        input_channels: int,
        hidden_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        peephole: Peephole = "none",
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(input_channels, hidden_channels)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"the kernel of a ConvLSTM must have an odd size, got {kernel_size}")
        padding, gates = kernel_size // 2, 4 * hidden_channels
        self.input = nn.Conv2d(input_channels, gates, kernel_size, padding=padding, bias=bias)
        self.hidden = nn.Conv2d(hidden_channels, gates, kernel_size, padding=padding, bias=False)
        self.peephole: nn.Parameter | None = None
        if peephole not in get_args(Peephole):
            raise unknown_name("peephole", peephole, get_args(Peephole))
        if peephole == "pixel" and size is None:
            raise ConfigError("peephole weights for each pixel need the size (H, W) of the frames")
        if peephole != "none":
            pixels = size if peephole == "pixel" and size else ()
            self.peephole = nn.Parameter(torch.zeros(3, hidden_channels, *pixels))

    def step(self, of_input: Tensor, state: ConvState) -> ConvState:
        """The next state (see `ConvCell.step`)."""
        gates = self.hidden(state.hidden)
        if self.peephole is None:
            return ConvState(*lstm_gates(gates, state.cell, extra=of_input))
        w_i, w_f, w_o = self.peephole.unbind()
        return ConvState(*lstm_gates(gates, state.cell, extra=of_input, peephole=(w_i, w_f, w_o)))

    def initial(self, frames: Tensor) -> ConvState:
        """The state before the first of frames (..., N, input, H, W): zeros, laid out as the frames are."""
        zeros = zeros_like_frames(frames, self.hidden_channels)
        return ConvState(zeros, zeros)


class ConvLSTM(nn.Module):
    """A convolutional LSTM of one or more layers over sequences of frames, called as `torch.nn.LSTM` is::

        layer = ConvLSTM(1, 64, kernel_size=5, num_layers=2)
        output, (h, c) = layer(frames)                   # frames (N, T, 1, H, W)
        output, (h, c) = layer(more_frames, (h, c))      # goes on from there

    Each layer's convolution of its input runs once on all frames, so only what truly recurs is computed
    step by step, and the rest of a step is one pass over memory (`vidpred.ops.lstm_gates`).

    Args:
        input_channels: C of the frames.
        hidden_channels: channels of the hidden state and of the cell, the same in every layer.
        kernel_size: of all convolutions, odd; "same" padding with zeros.
        num_layers: each layer sees the hidden states of the one before.
        bias: whether the gates have one.
        peephole: ``"none"``; ``"channel"``: gates see the cell through one weight for each channel;
            ``"pixel"``: through one for each channel and pixel, as Shi et al. print it. Zero at first.
        size: (H, W) of the frames, needed for ``peephole="pixel"`` alone.

    Raises:
        ConfigError: an even kernel, no layer, an unknown `peephole`, or ``"pixel"`` without `size`.
    """

    def __init__(
        self,
        input_channels: int,
        hidden_channels: int,
        kernel_size: int = 3,
        num_layers: int = 1,
        *,
        bias: bool = True,
        peephole: Peephole = "none",
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ConfigError(f"a ConvLSTM needs at least 1 layer, got {num_layers}")
        inputs = [input_channels] + [hidden_channels] * (num_layers - 1)
        self.layers: Sequence[ConvLSTMCell] = nn.ModuleList(  # type: ignore[assignment]
            ConvLSTMCell(channels, hidden_channels, kernel_size, bias=bias, peephole=peephole, size=size)
            for channels in inputs
        )

    def forward(
        self, frames: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Runs over a sequence.

        Args:
            frames: (N, T, C, H, W), T >= 1.
            state: (h, c) as a call before returned it; zeros by default.

        Returns:
            output: (N, T, hidden, H, W), the hidden states of the last layer at every step.
            (h, c): the last hidden state and cell of every layer, each (layers, N, hidden, H, W).

        Raises:
            ShapeError: frames or state of another shape.
        """
        self._check(frames, state)
        states = []
        sequence = frames.transpose(0, 1)  # (T, N, C, H, W)
        for number, layer in enumerate(self.layers):
            start = (
                layer.initial(sequence) if state is None else ConvState(state[0][number], state[1][number])
            )
            sequence, last = layer.run(sequence, start)
            states.append(last)
        hidden, cell = (torch.stack(of_layers) for of_layers in zip(*states, strict=True))
        return sequence.transpose(0, 1), (hidden, cell)

    def _check(self, frames: Tensor, state: tuple[Tensor, Tensor] | None) -> None:
        first = self.layers[0]
        require_sequence("ConvLSTM", frames, first.input_channels)
        batch, _, _, *size = frames.shape
        expected = (len(self.layers), batch, first.hidden_channels, *size)
        for name, part in zip(("h", "c"), state or (), strict=False):
            require_shape("ConvLSTM", name, part, expected)
