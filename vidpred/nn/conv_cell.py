"""What the convolutional LSTMs have in common, whatever their gates make of the past."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from vidpred.ops import ShapeError


class HasHidden(Protocol):
    """What one step hands to the next."""

    @property
    def hidden(self) -> Tensor:
        """The hidden state, (N, hidden, H, W)."""


State = TypeVar("State", bound=HasHidden)


class ConvCell(nn.Module, Generic[State]):
    """One layer of a convolutional LSTM whose gates are a convolution of the input and something of the past.

    What the input contributes to the gates does not wait for the state, so it has a method of its own: for
    inputs known beforehand call `of_input` once on all of them, and `step` for each; `run` does both.

    Attributes:
        input: the convolution W_x with the bias, to the gates i, f, g, o, (N, 4 * hidden, H, W).
    """

    input: nn.Module

    def __init__(self, input_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.input_channels, self.hidden_channels = input_channels, hidden_channels

    def of_input(self, frames: Tensor) -> Tensor:
        """The gates' share of the input: (..., input, H, W) -> (..., 4 * hidden, H, W)."""
        gates: Tensor = self.input(frames.flatten(0, -4))
        return gates.unflatten(0, frames.shape[:-3])

    @abstractmethod
    def step(self, of_input: Tensor, state: State) -> State:
        """The next state, from what `of_input` gave for one frame, (N, 4 * hidden, H, W)."""

    @abstractmethod
    def initial(self, frames: Tensor) -> State:
        """The state before the first of frames (..., N, input, H, W)."""

    def forward(self, frame: Tensor, state: State | None = None) -> State:
        """The state after `frame`, (N, input, H, W); from the initial one where no state is given."""
        return self.step(self.of_input(frame), self.initial(frame) if state is None else state)

    def run(self, frames: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps over known inputs, time first.

        (T, N, input, H, W) -> every hidden state, (T, N, hidden, H, W), and the last state.
        """
        outputs = []
        for of_input in self.of_input(frames).unbind():
            state = self.step(of_input, state)
            outputs.append(state.hidden)
        return torch.stack(outputs), state


def zeros_like_frames(frames: Tensor, channels: int) -> Tensor:
    """(N, channels, H, W) of zeros, laid out in memory as frames (..., N, C, H, W) are."""
    batch, _, height, width = frames.shape[-4:]
    zeros = frames.new_zeros(batch, height, width, channels).movedim(-1, 1)
    if frames.flatten(0, -4).is_contiguous(memory_format=torch.channels_last):
        return zeros
    return zeros.contiguous()


def require_sequence(module: str, frames: Tensor, channels: int) -> None:
    """Raises `ShapeError` unless frames are (N, T, channels, H, W) with T >= 1."""
    if frames.dim() != 5 or frames.shape[1] < 1 or frames.shape[2] != channels:
        raise ShapeError(
            f"{module}: frames must have shape (N, T, {channels}, H, W) with T >= 1, "
            f"got {tuple(frames.shape)}"
        )


AnyConvCell = ConvCell[Any]
