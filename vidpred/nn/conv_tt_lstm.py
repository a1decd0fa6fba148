"""The convolutional tensor-train LSTM of seed 002 (Su et al. 2020), as one cell and as a sequence module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidpred.errors import ConfigError
from vidpred.nn.conv_cell import ConvCell, require_sequence, zeros_like_frames
from vidpred.nn.tensor_train import TensorTrainConv2d, TensorTrainMemory, TensorTrainPreprocessing
from vidpred.ops import lstm_gates, tensor_train_conv
from vidpred.ops.checks import require_shape
from vidpred.ops.tensor_train_conv import link_is_faster


class ConvTTState(NamedTuple):
    """What one step hands to the next."""

    hidden: Tensor  # (N, hidden, H, W)
    cell: Tensor  # (N, hidden, H, W)
    memory: TensorTrainMemory  # of the hidden states before


class ConvTTLSTMCell(ConvCell[ConvTTState]):
    """One layer, one step (seed 002, eq. 9-11), with N the order and M the steps::

        H~(n) = P(n) * [h(t-n); ...; h(t-n-M+N)] + b(n)                       n = 1, ..., N
        V(N) = H~(N);  V(n) = H~(n) + G(n+1) * V(n+1) + b'(n)                 n = N-1, ..., 1
        i, f, g, o = σ, σ, tanh, σ of W * x(t) + G(1) * V(1) + b
        c' = f ∘ c + i ∘ g,  h' = o ∘ tanh(c')

    The oldest window of states passes all N cores, the newest one; there is no nonlinearity between cores,
    and before the first step all states are zero. Initialised as one convolution of [x; V(1)] would be.

    Attributes:
        input: the convolution W with the bias.
        preprocessing: P.
        chain: the cores G(N), ..., G(2).
        last_core: the convolution G(1), (4 * hidden, rank, K, K).

    Raises:
        ConfigError: an even kernel, an order less than 1, or fewer steps than that.
    """

    def __init__(
        self,
        input_channels: int,
        hidden_channels: int,
        kernel_size: int,
        *,
        order: int = 3,
        steps: int = 3,
        rank: int = 8,
    ) -> None:
        super().__init__(input_channels, hidden_channels)
        sizes = {"order": order, "rank": rank, "kernel_size": kernel_size}
        self.preprocessing = TensorTrainPreprocessing(hidden_channels, steps=steps, **sizes)
        self.chain = TensorTrainConv2d(**sizes)
        padding, gates = kernel_size // 2, 4 * hidden_channels
        self.input = nn.Conv2d(input_channels, gates, kernel_size, padding=padding)
        self.last_core = nn.Conv2d(rank, gates, kernel_size, padding=padding, bias=False)
        bound = ((input_channels + rank) * kernel_size**2) ** -0.5  # torch's own, for a single convolution
        for weights in (*self.input.parameters(), self.last_core.weight):
            nn.init.uniform_(weights, -bound, bound)

    def step(self, of_input: Tensor, state: ConvTTState) -> ConvTTState:
        """The next state (see `ConvCell.step`)."""
        windows, memory = self.preprocessing(state.hidden, state.memory)
        if link_is_faster(of_input):  # the gates are one more link, the input's share its younger state
            cores, biases = (*self.chain.cores, self.last_core.weight), (*self.chain.biases, None)
            gates = tensor_train_conv([*windows, of_input], cores, biases)
            return ConvTTState(*lstm_gates(gates, state.cell), memory)
        gates = self.last_core(self.chain(windows))
        return ConvTTState(*lstm_gates(gates, state.cell, extra=of_input), memory)

    def initial(self, frames: Tensor) -> ConvTTState:
        """The state before the first of frames (..., N, input, H, W): zeros, laid out as the frames are."""
        zeros = zeros_like_frames(frames, self.hidden_channels)
        return ConvTTState(zeros, zeros, self.preprocessing.initial(len(zeros), *zeros.shape[2:]))

    def after(self, history: Sequence[Tensor], cell: Tensor) -> ConvTTState:
        """The state after these hidden states, the last M, oldest first, each (N, hidden, H, W)."""
        memory = self.preprocessing.initial(len(cell), *cell.shape[2:])
        for hidden in history[:-1]:
            _, memory = self.preprocessing(hidden, memory)
        return ConvTTState(history[-1], cell, memory)


class ConvTTLSTM(nn.Module):
    """A Conv-TT-LSTM of one or more layers over sequences of frames, called as `torch.nn.LSTM` is::

        layer = ConvTTLSTM(1, 64, kernel_size=5, num_layers=2)
        output, (h, c) = layer(frames)                   # frames (N, T, 1, H, W)
        output, (h, c) = layer(more_frames, (h, c))      # goes on from there

    Unlike those of `vidpred.nn.ConvLSTM` its gates see the last `steps` hidden states, so h holds that many.

    Args:
        input_channels: C of the frames.
        hidden_channels: channels of the hidden state and of the cell, the same in every layer.
        kernel_size: of all convolutions, odd; "same" padding with zeros.
        num_layers: each layer sees the hidden states of the one before.
        order: factors N of the tensor-train.
        steps: hidden states M that the gates see, at least `order`.
        rank: channels R that they are reduced to.

    Raises:
        ConfigError: an even kernel, no layer, an order less than 1, or fewer steps than that.
    """

    def __init__(
        self,
        input_channels: int,
        hidden_channels: int,
        kernel_size: int = 5,
        num_layers: int = 1,
        *,
        order: int = 3,
        steps: int = 3,
        rank: int = 8,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ConfigError(f"a Conv-TT-LSTM needs at least 1 layer, got {num_layers}")
        self.steps = steps
        inputs = [input_channels] + [hidden_channels] * (num_layers - 1)
        self.layers: Sequence[ConvTTLSTMCell] = nn.ModuleList(  # type: ignore[assignment]
            ConvTTLSTMCell(channels, hidden_channels, kernel_size, order=order, steps=steps, rank=rank)
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
            (h, c): of every layer the last `steps` hidden states, oldest first,
                (layers, steps, N, hidden, H, W), and the last cell, (layers, N, hidden, H, W).

        Raises:
            ShapeError: frames or state of another shape.
        """
        self._check(frames, state)
        sequence = frames.transpose(0, 1)  # (T, N, C, H, W)
        histories, cells = [], []
        for number, layer in enumerate(self.layers):
            if state is None:
                start = layer.initial(sequence)
                past = start.hidden.expand(self.steps, *start.hidden.shape)
            else:
                past = state[0][number]
                start = layer.after(past.unbind(), state[1][number])
            sequence, last = layer.run(sequence, start)
            histories.append(torch.cat([past, sequence])[-self.steps :])
            cells.append(last.cell)
        return sequence.transpose(0, 1), (torch.stack(histories), torch.stack(cells))

    def _check(self, frames: Tensor, state: tuple[Tensor, Tensor] | None) -> None:
        first = self.layers[0]
        require_sequence("ConvTTLSTM", frames, first.input_channels)
        batch, _, _, *size = frames.shape
        expected = (batch, first.hidden_channels, *size)
        layers = len(self.layers)
        shapes = {"h": (layers, self.steps, *expected), "c": (layers, *expected)}
        for (name, shape), part in zip(shapes.items(), state or (), strict=False):
            require_shape("ConvTTLSTM", name, part, shape)
