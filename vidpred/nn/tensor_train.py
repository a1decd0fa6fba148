"""What precedes the gates of a Conv-TT-LSTM: preprocessing, convolutional tensor-train (seed 002, sec. 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidpred.errors import ConfigError
from vidpred.ops import tensor_train_conv
from vidpred.ops.checks import require_shape
from vidpred.ops.tensor_train_conv import convolve_to_few_channels


class TensorTrainMemory(NamedTuple):
    """What `TensorTrainPreprocessing` keeps from one time step to the next; oldest first."""

    states: tuple[Tensor, ...]
    """The last ``window - 1`` states, each (N, C, H, W)."""
    windows: tuple[tuple[Tensor, ...], ...]
    """The last ``order - 1`` windows, preprocessed for each of the `order` positions, (N, rank, H, W)."""


class TensorTrainPreprocessing(nn.Module):
    """Reduces the last hidden states to the few channels that a tensor-train takes (seed 002, eq. 10).

    With M `steps`, N the `order` and D = M - N + 1 the size of the sliding window::

        H~(i) = P(i) * [H(t-i); H(t-i-1); ...; H(t-i-D+1)]          i = 1, ..., N

    where P(i) is a convolution with a bias. A window that is at position i now will be at position i + 1
    in the next step. So when its newest state appears it is convolved with all of P(1), ..., P(N) at once,
    and each later step picks the result that its age calls for: the same numbers as N convolutions in
    every step.

    States before the first one are zero, so what they are reduced to is the bias.

    Attributes:
        weight: (order * rank, window * channels, K, K), those of P(1), ..., P(N) one after the other. Input
            channels are those of the newest state of the window first.
        bias: (order * rank,).

    Raises:
        ConfigError: `order` is less than 1, `steps` is less than `order`, or `kernel_size` is even.
    """

    def __init__(self, channels: int, *, order: int, steps: int, rank: int, kernel_size: int) -> None:
        super().__init__()
        _require_order(order)
        if steps < order:
            raise ConfigError(f"a tensor-train of order {order} needs at least as many steps, got {steps}")
        _require_odd(kernel_size)
        self.channels, self.order, self.rank = channels, order, rank
        self.window = steps - order + 1
        self.weight, self.bias = nn.Conv2d(self.window * channels, order * rank, kernel_size).parameters()

    def initial(self, batch: int, height: int, width: int) -> TensorTrainMemory:
        """The memory before the first state."""
        zeros = self.weight.new_zeros(batch, self.channels, height, width)
        reduced = self.bias.view(-1, 1, 1) + zeros[:, :1]
        windows = (reduced.split(self.rank, dim=1),) * (self.order - 1)
        return TensorTrainMemory((zeros,) * (self.window - 1), windows)

    def forward(self, newest: Tensor, memory: TensorTrainMemory) -> tuple[list[Tensor], TensorTrainMemory]:
        """Takes the state of the last time step.

        Args:
            newest: H(t-1), (N, C, H, W).
            memory: from `initial` or from the step before; left as it is.

        Returns:
            H~(N), ..., H~(1), each (N, rank, H, W), the oldest first, as `vidpred.ops.tensor_train_conv`
            takes them, and the memory for the next step.

        Raises:
            ShapeError: `newest` does not have the channels of this module.
        """
        require_shape(
            "TensorTrainPreprocessing", "newest", newest, (newest.shape[0], self.channels, *newest.shape[2:])
        )
        states = (*memory.states, newest)
        window = newest if self.window == 1 else torch.cat(states[::-1], dim=1)
        reduced = convolve_to_few_channels(window, self.weight, self.bias)
        windows = (*memory.windows, reduced.split(self.rank, dim=1))
        positions = range(self.order, 0, -1)
        return [windows[-n][n - 1] for n in positions], TensorTrainMemory(states[1:], windows[1:])


class TensorTrainConv2d(nn.Module):
    """The convolutional tensor-train but for its last core, which gates share with their input (eq. 9, 11).

    Attributes:
        cores: order - 1 weights (rank, rank, K, K).
        biases: order - 1 biases (rank,).

    Raises:
        ConfigError: `order` is less than 1, or `kernel_size` is even.
    """

    def __init__(self, *, order: int, rank: int, kernel_size: int) -> None:
        super().__init__()
        _require_order(order)
        _require_odd(kernel_size)
        links = [nn.Conv2d(rank, rank, kernel_size) for _ in range(order - 1)]
        self.cores = nn.ParameterList(link.weight for link in links)
        self.biases = nn.ParameterList(link.bias for link in links)

    def forward(self, states: list[Tensor]) -> Tensor:
        """States from `TensorTrainPreprocessing`, oldest first, to V, (N, rank, H, W)."""
        return tensor_train_conv(states, tuple(self.cores), tuple(self.biases))


def _require_order(order: int) -> None:
    if order < 1:
        raise ConfigError(f"a tensor-train has an order of at least 1, got {order}")


def _require_odd(kernel_size: int) -> None:
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ConfigError(f"the kernel of a tensor-train must have an odd size, got {kernel_size}")
