"""The Video Pixel Network of seed 001, section 3.2.3, after Kalchbrenner et al. 2016."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from vidpred.losses import bernoulli_nll, levels_nll
from vidpred.models.feedback import FeedbackModel, FeedbackOptions
from vidpred.nn.blocks import BlockKind, make_block, same_conv
from vidpred.nn.conv_lstm import ConvLSTMCell, ConvState, Peephole
from vidpred.nn.masked_conv import PixelDecoder, PixelSampler


class VPNOptions(FeedbackOptions):
    """Sizes of the layers; the defaults are those of section 3.2.3."""

    width: int = Field(256, gt=0)
    """Between the blocks, and of the ConvLSTM. Under the masks the colors of a frame share channels evenly:
    this, `hidden` and `head` are rounded up to a multiple of their number."""
    hidden: int = Field(128, gt=0)
    """Channels within a block."""
    encoder_blocks: int = Field(16, ge=0)
    decoder_blocks: int = Field(24, ge=0)
    block: BlockKind = "residual"
    """With ReLU, as in the thesis, or the multiplicative blocks of the original."""
    head: int = Field(768, gt=0)
    kernel_size: int = Field(7, gt=0)
    """Of the first convolutions of encoder and decoder."""
    memory_kernel: int = Field(7, gt=0)
    """Of the ConvLSTM; section 4.1 found it to matter most."""
    peephole: Peephole = "channel"
    levels: int = Field(1, ge=1, le=256)
    """Values of a color: 1 for Bernoulli pixels, 256 for the softmax of the original."""
    seen_weight: float = Field(0.2, ge=0)
    """Weight of the pass that sees the frame it predicts (section 3.4.1); that of the blank pass is 1."""
    decoding: Literal["blank", "argmax", "sample"] = "blank"
    """How frames are predicted. ``blank``: in one pass over an image of zeros, the mean of every pixel (the
    thesis); ``argmax`` and ``sample``: pixel by pixel, each given those before it (the original), the most
    likely value or one drawn."""
    temperature: float = Field(1.0, ge=0)
    """Divides the logits of ``sample``."""


class Told(NamedTuple):
    """What the model says about the frame after each of some frames."""

    context: Tensor  # (last, N, width, H, W), after the decoder's first layer
    blank: Tensor  # (last, N, C * levels, H, W), logits from a blank image


class VPN(FeedbackModel):
    """A PixelCNN that is told what came before by a ConvLSTM.

        c_t = ConvLSTM(Encoder(x_t))                     what frames 1..t say about the next
        p(x_{t+1}) = product over pixels of p(pixel | pixels before it, c_t) = Decoder(x_{t+1}, c_t)

    The loss takes the decoder's word twice: on the frame itself, under the masks, and on a blank image, which
    is all there is in use (section 3.4.1). Both share encoder and memory, and what the decoder makes of c_t.
    """

    Options = VPNOptions
    options: VPNOptions
    usage = ("decoding", "temperature")

    def __init__(self, channels: int, size: tuple[int, int], options: VPNOptions) -> None:
        super().__init__(channels, size, options)
        self.stochastic = options.decoding == "sample" and options.temperature > 0
        width, hidden, head = (
            math.ceil(count / channels) * channels for count in (options.width, options.hidden, options.head)
        )
        blocks = (make_block(options.block, width, hidden) for _ in range(options.encoder_blocks))
        self.encoder = nn.Sequential(same_conv(channels, width, options.kernel_size), *blocks)
        self.memory = ConvLSTMCell(width, width, options.memory_kernel, peephole=options.peephole, size=size)
        self.decoder = PixelDecoder(
            width,
            colors=channels,
            levels=options.levels,
            channels=width,
            hidden=hidden,
            blocks=options.decoder_blocks,
            block=options.block,
            head=head,
            kernel_size=options.kernel_size,
        )

    def loss(
        self,
        frames: Tensor,
        context: int = 1,
        *,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Cross-entropy of the blank pass and, with its weight, of the pass that sees the frame.

        Each in nats a frame, mean over the predicted frames. ``bce_seen`` is a likelihood given the frames
        that the memory saw: with ``feed="frames"``, while training, all true ones before it, which is what
        Kalchbrenner et al. report (87.6 nats); otherwise, and when not training, the model's own.
        """
        self.check_frames(frames, at_least=context + 1)
        frames = frames.transpose(0, 1)  # (T, N, C, H, W)
        first = self.first_learnt(context)
        told = [
            (part.flatten(0, 1) for part in output) for output in self.outputs(frames, context, generator)
        ]
        seen_context, logits = map(torch.cat, zip(*told, strict=True))
        truth = frames[first:].flatten(0, 1)
        blank = self._nll(logits, truth)
        seen = self._nll(self.decoder.join(truth, seen_context), truth)
        loss = blank + self.options.seen_weight * seen
        return {"loss": loss, "bce": blank.detach(), "bce_seen": seen.detach()}

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
        """As `decoding` says; ``sample=False`` takes the most likely value where one would be drawn."""
        if self.options.decoding == "blank":
            return super().predict(context, horizon)
        self.check_frames(context, at_least=1)
        drawn = self.options.decoding == "sample" and sample
        temperature = self.options.temperature if drawn else 0.0
        draw = PixelSampler(self.decoder, self.channels)
        told, memory = self._remember(context.transpose(0, 1), None)
        future = [draw(told[-1].float(), temperature=temperature, generator=generator)]
        for _ in range(horizon - 1):
            told, memory = self._remember(future[-1][None].to(context), memory)
            future.append(draw(told[-1].float(), temperature=temperature, generator=generator))
        return torch.stack(future, dim=1).to(context)

    def observe(self, frames: Tensor, memory: ConvState | None, last: int = 1) -> tuple[Told, ConvState]:
        """(T, N, C, H, W) -> the decoder's word on the frames after the last of them; the memory's state."""
        told, state = self._remember(frames, memory)
        context = self.decoder.see_context(told[-last:].flatten(0, 1))
        blank = context.new_zeros(len(context), self.channels, *self.size)
        logits = self.decoder.join(blank, context)
        return Told(context.unflatten(0, (last, -1)), logits.unflatten(0, (last, -1))), state

    def image(self, output: Told) -> Tensor:
        """The mean of every pixel of the last frame, from a blank image."""
        logits = output.blank[-1]
        if self.options.levels == 1:
            return logits.sigmoid()
        shares = logits.unflatten(1, (self.channels, self.options.levels)).softmax(dim=2)
        values = torch.linspace(0, 1, self.options.levels, device=shares.device, dtype=shares.dtype)
        return (shares * values[:, None, None]).sum(dim=2)

    def _remember(self, frames: Tensor, memory: ConvState | None) -> tuple[Tensor, ConvState]:
        """(T, N, C, H, W) -> c_t, (T, N, width, H, W), and the memory's state."""
        features = self.encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return self.memory.run(features, memory or self.memory.initial(features))

    def _nll(self, logits: Tensor, frames: Tensor) -> Tensor:
        if self.options.levels == 1:
            return bernoulli_nll(logits, frames)
        return levels_nll(logits, frames)
