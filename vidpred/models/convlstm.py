"""The ConvLSTM network of seed 001, section 3.2.1, after Shi et al. 2015."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vidpred.losses import bernoulli_nll
from vidpred.models.base import require_divisible
from vidpred.models.feedback import FeedbackModel, FeedbackOptions
from vidpred.nn.conv_lstm import ConvLSTMCell, ConvState, Peephole


class ConvLSTMOptions(FeedbackOptions):
    """Sizes of the layers; the defaults are those of section 3.2.1."""

    hidden: tuple[Annotated[int, Field(gt=0)], ...] = Field((128, 64, 64), min_length=1)
    """Channels of the layers."""
    kernel_size: int = Field(5, gt=0)
    peephole: Peephole = "channel"
    patch: int = Field(1, gt=0)
    """Side of the squares of pixels that become the channels of one position, as Shi et al. do (sec. 4.1
    there: 4 x 4 pixels); 1: none, as in the thesis."""


class ConvLSTM(FeedbackModel):
    """Three ConvLSTM layers, all of whose hidden states together give the next frame through a 1x1 kernel.

    h1_t = ConvLSTM1(x_t),   h2_t = ConvLSTM2(h1_t),   h3_t = ConvLSTM3(h2_t)
    x_{t+1} = σ(W * [h1_t; h2_t; h3_t] + b)
    """

    Options = ConvLSTMOptions
    options: ConvLSTMOptions

    def __init__(self, channels: int, size: tuple[int, int], options: ConvLSTMOptions) -> None:
        require_divisible(size, by=options.patch)
        super().__init__(channels, size, options)
        pixels = channels * options.patch**2
        grid = (size[0] // options.patch, size[1] // options.patch)
        self.layers: Sequence[ConvLSTMCell] = nn.ModuleList(  # type: ignore[assignment]
            ConvLSTMCell(inputs, outputs, options.kernel_size, peephole=options.peephole, size=grid)
            for inputs, outputs in zip((pixels, *options.hidden), options.hidden, strict=False)
        )
        self.output = nn.Conv2d(sum(options.hidden), pixels, 1)

    def loss(
        self,
        frames: Tensor,
        context: int = 1,
        *,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Mean over the predicted frames of the cross-entropy, in nats a frame (footnote 1)."""
        self.check_frames(frames, at_least=context + 1)
        frames = frames.transpose(0, 1)  # (T, N, C, H, W)
        first = self.first_learnt(context)
        logits = torch.cat(self.outputs(frames, context, generator))
        bce = bernoulli_nll(logits, frames[first:])
        return {"loss": bce, "bce": bce.detach()}

    def observe(
        self, frames: Tensor, memory: list[ConvState] | None, last: int = 1
    ) -> tuple[Tensor, list[ConvState]]:
        """(T, N, C, H, W) -> logits of the frames after the last of them, and the layers' states."""
        features = F.pixel_unshuffle(frames, self.options.patch)
        memory = memory or [layer.initial(features) for layer in self.layers]
        hidden, states = [], []
        for layer, state in zip(self.layers, memory, strict=True):
            features, state = layer.run(features, state)
            hidden.append(features[-last:])
            states.append(state)
        logits: Tensor = self.output(torch.cat(hidden, dim=2).flatten(0, 1))
        return F.pixel_shuffle(logits, self.options.patch).unflatten(0, (last, -1)), states

    def image(self, output: Tensor) -> Tensor:
        """The last of the logits as a frame."""
        return output[-1].sigmoid()
