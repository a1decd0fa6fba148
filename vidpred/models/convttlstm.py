"""The twelve-layer network of seed 002 (Su et al. 2020): Conv-TT-LSTM, its rivals and its ablations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vidpred.errors import ConfigError
from vidpred.models.base import require_divisible
from vidpred.models.feedback import FeedbackModel, FeedbackOptions
from vidpred.nn.conv_cell import AnyConvCell
from vidpred.nn.conv_lstm import ConvLSTMCell
from vidpred.nn.conv_tt_lstm import ConvTTLSTMCell
from vidpred.nn.recurrent_blocks import RecurrentBlocks
from vidpred.nn.tensor_train_kernel import TensorTrainKernelConv2d

Cell = Literal["convttlstm", "convlstm", "convlstm_ttd"]
_SIZES: Mapping[Cell, set[str]] = {
    "convttlstm": {"order", "steps", "rank"},
    "convlstm": set(),
    "convlstm_ttd": {"order", "rank"},
}
"""The options beyond the kernel that a cell has."""


class CellOptions(FeedbackOptions):
    """Which layers a network of seed 002 has; `order`, `steps` and `rank` are absent where it has none."""

    cell: Cell = "convttlstm"
    """``convttlstm``; ``convlstm``, the baseline; ``convlstm_ttd``, the same with input kernels stored as
    classic tensor-trains (eq. 12, 13)."""
    kernel_size: int = Field(5, gt=0)
    order: int | None = Field(None, gt=0, le=100)
    """Factors N of the tensor-train."""
    steps: int | None = Field(None, gt=0)
    """Hidden states M that the gates see, at least `order`."""
    rank: int | None = Field(None, gt=0)
    """Channels, or classic ranks, of the tensor-train."""

    def make_cell(self, inputs: int, hidden: int) -> AnyConvCell:
        """One layer. Raises `ConfigError` for a size that the cell lacks or does not have."""
        given = {name: getattr(self, name) for name in ("order", "steps", "rank")}
        for name, value in given.items():
            if (value is not None) != (name in _SIZES[self.cell]):
                wrong = "has no" if value is not None else "needs"
                raise ConfigError(f"the cell {self.cell} {wrong} model.{name}")
        sizes = {name: value for name, value in given.items() if value is not None}
        if self.cell == "convttlstm":
            return ConvTTLSTMCell(inputs, hidden, self.kernel_size, **sizes)
        cell = ConvLSTMCell(inputs, hidden, self.kernel_size)
        if self.cell == "convlstm_ttd":
            cell.input = TensorTrainKernelConv2d(inputs, 4 * hidden, self.kernel_size, **sizes)
        return cell


class ConvTTLSTMOptions(CellOptions):
    """Sizes of the layers; the defaults are those of seed 002, sec. 4."""

    hidden: tuple[PositiveInt, ...] = Field((32, 48, 48, 32), min_length=1)
    """Channels of each block."""
    layers: int = Field(3, gt=0)
    """Of each block."""
    sigmoid: bool = False
    """Whether a sigmoid ends the network; the published recipe has one for KTH."""
    patch: int = Field(1, gt=0)
    """Side of the squares of pixels that become channels before the first layer and pixels after the last."""
    learn_context: bool = True
    """The published loss also covers the predictions of frames 2 to `context`."""


class ConvTTLSTM(FeedbackModel):
    """Twelve recurrent layers at full resolution in four blocks, and a 1x1 convolution::

        x_{t+1} = W * [block 4; block 2],   block 4 sees [block 3; block 1]

    The layers are those of `cell`; the other names of this network in the registry are presets of it.
    """

    Options = ConvTTLSTMOptions
    options: ConvTTLSTMOptions

    def __init__(self, channels: int, size: tuple[int, int], options: ConvTTLSTMOptions) -> None:
        require_divisible(size, by=options.patch)
        super().__init__(channels, size, options)
        pixels = channels * options.patch**2
        self.blocks = RecurrentBlocks(options.make_cell, pixels, options.hidden, options.layers)
        self.output = nn.Conv2d(self.blocks.channels, pixels, 1)

    def loss(
        self,
        frames: Tensor,
        context: int = 1,
        *,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Mean absolute and mean squared error of a pixel, added (sec. 4)."""
        self.check_frames(frames, at_least=context + 1)
        frames = frames.transpose(0, 1)  # (T, N, C, H, W)
        predicted = torch.cat(self.outputs(frames, context, generator))
        truth = frames[self.first_learnt(context) :]
        absolute, squared = F.l1_loss(predicted, truth), F.mse_loss(predicted, truth)
        return {"loss": absolute + squared, "mae": absolute.detach(), "mse": squared.detach()}

    @torch.no_grad()
    def predict(self, context: Tensor, horizon: int, **choices: Any) -> Tensor:
        """As `FeedbackModel.predict`: what is returned is clipped, what is fed back is not."""
        return super().predict(context, horizon, **choices).clamp(0, 1)

    def observe(self, frames: Tensor, memory: list[Any] | None, last: int = 1) -> tuple[Tensor, list[Any]]:
        """(T, N, C, H, W) -> the frames after the last of them, (last, N, C, H, W); the layers' states."""
        features, states = self.blocks.run(F.pixel_unshuffle(frames, self.options.patch), memory)
        pixels = self.output(features[-last:].flatten(0, 1))
        image = F.pixel_shuffle(pixels, self.options.patch).unflatten(0, (last, -1))
        return image.sigmoid() if self.options.sigmoid else image, states

    def image(self, output: Tensor) -> Tensor:
        """The last of the frames, not clipped."""
        return output[-1]
