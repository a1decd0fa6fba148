"""The deterministic baseline of seed 000: encoder, LSTM, decoder."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor, nn

from vidpred.losses import bernoulli_nll
from vidpred.models.base import ModelOptions, VideoModel, require_divisible
from vidpred.nn import FrameDecoder, FrameEncoder, JointLinear
from vidpred.nn.initialization import glorot
from vidpred.ops import lstm_gates


class RNNOptions(ModelOptions):
    """Sizes of the layers; the defaults are those of seed 000, table 4.1."""

    widths: tuple[int, ...] = (16, 32, 48, 64)
    """Channels of the encoder's convolutions, each of stride 2; the decoder mirrors them."""
    kernels: tuple[int, ...] = (7, 5, 5, 3)
    hidden: int = Field(1024, gt=0)
    """Units of the LSTM."""
    forget_bias: float = 1.0
    imagined: int = Field(0, ge=0)
    """Frames at the end of a training sequence that are predicted as in use: each image the next input.
    0, as in the paper, trains on true frames alone."""
    imagined_after: int = Field(0, ge=0)
    """Training steps on true frames alone before any are imagined; from the start, they teach no motion."""


class RNN(VideoModel):
    """Seed 000, section 4.1: "the decoder of the RNN takes its input directly from the LSTM".

        h_t, c_t = LSTM(Encoder(x_t), h_{t-1}, c_{t-1})
        x_{t+1}  = Decoder(h_t)

    Where the LSTM and the decoder differ in size (not in the paper), a linear layer joins them.
    """

    Options = RNNOptions
    options: RNNOptions

    def __init__(self, channels: int, size: tuple[int, int], options: RNNOptions) -> None:
        require_divisible(size, by=2 ** len(options.widths))
        super().__init__(channels, size, options)
        self.encoder = FrameEncoder(channels, size, options.widths, options.kernels)
        self.decoder = FrameDecoder(channels, size, options.widths, options.kernels)
        self.gates = JointLinear(self.encoder.features, options.hidden, 4 * options.hidden)
        self.to_decoder = (
            nn.Identity()
            if options.hidden == self.decoder.features
            else glorot(nn.Linear(options.hidden, self.decoder.features))
        )
        forget = slice(options.hidden, 2 * options.hidden)
        nn.init.constant_(self.gates.bias[forget], options.forget_bias)

        self.imagined = options.imagined

    def begin_step(self, step: int) -> None:
        """Sets how many frames are imagined."""
        self.imagined = self.options.imagined if step >= self.options.imagined_after else 0

    def loss(
        self,
        frames: Tensor,
        context: int = 1,
        *,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Mean over the predicted frames of the cross-entropy, in nats a frame."""
        self.check_frames(frames, at_least=context + 1)
        frames = frames.transpose(0, 1)  # (T, N, C, H, W)
        imagined = self.imagined if self.training else self.options.imagined
        given = min(len(frames) - 1, max(context, len(frames) - imagined))
        hidden, state = self._run(frames[:given], self._start(frames))
        logits = self._decode(hidden[context - 1 :])
        future = self._imagine(logits[-1], state, steps=len(frames) - 1 - given)
        bce = bernoulli_nll(torch.cat([logits, *(image[None] for image in future)]), frames[context:])
        return {"loss": bce, "bce": bce.detach()}

    @torch.no_grad()
    def predict(
        self,
        context: Tensor,
        horizon: int,
        *,
        sample: bool = True,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Feeds every predicted frame back as the next input; nothing is random here."""
        self.check_frames(context, at_least=1)
        frames = context.transpose(0, 1)
        hidden, state = self._run(frames, self._start(frames))
        first = self._decode(hidden[-1])
        future = [first, *self._imagine(first, state, steps=horizon - 1)]
        return torch.stack(future, dim=1).sigmoid()  # (N, horizon, C, H, W)

    def _imagine(self, logits: Tensor, state: tuple[Tensor, Tensor], steps: int) -> Iterator[Tensor]:
        """Takes each image as the next input; `logits` is the first, yields those of `steps` more."""
        hidden, cell = state
        for _ in range(steps):
            hidden, cell = lstm_gates(self.gates(self.encoder(logits.sigmoid()), hidden), cell)
            logits = self._decode(hidden)
            yield logits

    def _run(self, frames: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Runs the LSTM over (T, N, C, H, W); returns h_1..h_T, (T, N, hidden), and the last (h, c)."""
        hidden, cell = state
        from_frames, weight = self.gates.split(self.encoder(frames))  # (T, N, 4 hidden)
        outputs = []
        for from_frame in from_frames.unbind():
            hidden, cell = lstm_gates(hidden @ weight.t(), cell, extra=from_frame)
            outputs.append(hidden)
        return torch.stack(outputs), (hidden, cell)

    def _start(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        zeros = frames.new_zeros(frames.shape[1], self.options.hidden)
        return zeros, zeros

    def _decode(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.to_decoder(hidden))
        return logits
