"""The spatio-temporal autoencoder of seed 001, section 3.2.2, after Patraucean et al. 2015."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vidpred.losses import bernoulli_nll, flow_roughness, squared_error
from vidpred.models.base import require_divisible
from vidpred.models.feedback import FeedbackModel, FeedbackOptions
from vidpred.nn.blocks import same_conv
from vidpred.nn.conv_lstm import ConvLSTMCell, ConvState, Peephole
from vidpred.ops import flow_warp


class FlowAutoencoderOptions(FeedbackOptions):
    """Sizes of the layers and weights of the loss; the defaults are those of section 3.2.2."""

    features: int = Field(16, gt=0)
    """Channels of the encoder."""
    kernel_size: int = Field(7, gt=0)
    """Of the encoder, the ConvLSTM and the decoder."""
    hidden: int = Field(64, gt=0)
    """Channels of the ConvLSTM."""
    peephole: Peephole = "channel"
    flow_kernel: int = Field(15, gt=0)
    """Of the two convolutions before the flow."""
    smoothness: float = Field(1e-2, ge=0)
    """Weight w_H of the flow's roughness (eq. 3.9)."""
    huber_delta: float = Field(1e-3, gt=0)


class Moved(NamedTuple):
    """What the model says about the frame after each of some frames."""

    logits: Tensor  # (last, N, C, H, W)
    flow: Tensor  # (last, N, 2, H / 2, W / 2), in pixels of the features, which are half as many


class FlowAutoencoder(FeedbackModel):
    """The next frame is this one, moved: a flow, learnt without being shown one, warps its features.

    u_t = maxpool(tanh(Encoder(x_t)))                 half the size
    θ_t = Flow(h_t),  h_t = ConvLSTM(u_t)             in pixels; zero at first
    x_{t+1} = σ(Decoder(upsample(warp(u_t, θ_t))))
    """

    Options = FlowAutoencoderOptions
    options: FlowAutoencoderOptions

    def __init__(self, channels: int, size: tuple[int, int], options: FlowAutoencoderOptions) -> None:
        require_divisible(size, by=2)
        super().__init__(channels, size, options)
        features, hidden, kernel = options.features, options.hidden, options.kernel_size
        grid = (size[0] // 2, size[1] // 2)
        self.encoder = same_conv(channels, features, kernel)
        self.memory = ConvLSTMCell(features, hidden, kernel, peephole=options.peephole, size=grid)
        last = same_conv(2, 2, 1)
        self.flow = nn.Sequential(
            same_conv(hidden, 2, options.flow_kernel), same_conv(2, 2, options.flow_kernel), last
        )
        self.decoder = same_conv(features, channels, kernel)
        # At first nothing moves, and the model is the autoencoder of single frames.
        for weights in last.parameters():
            nn.init.zeros_(weights)

    def loss(
        self,
        frames: Tensor,
        context: int = 1,
        *,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Squared error and roughness of the flow (eq. 3.9), summed over a frame, mean over the predicted."""
        self.check_frames(frames, at_least=context + 1)
        frames = frames.transpose(0, 1)  # (T, N, C, H, W)
        first = self.first_learnt(context)
        said = self.outputs(frames, context, generator)
        logits, flow = (torch.cat(parts) for parts in zip(*said, strict=True))
        error = squared_error(logits.sigmoid(), frames[first:])
        roughness = flow_roughness(flow, self.options.huber_delta)
        bce = bernoulli_nll(logits, frames[first:])
        return {
            "loss": error + self.options.smoothness * roughness,
            "squared_error": error.detach(),
            "roughness": roughness.detach(),
            "bce": bce.detach(),
        }

    @torch.no_grad()
    def predict_with_flow(self, context: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
        """Predicts the frames that follow, and the flow that moved each of them to its place.

        Args:
            context: (N, Tc, C, H, W) in [0, 1].

        Returns:
            The frames, (N, horizon, C, H, W), and the flow, (N, horizon, 2, H / 2, W / 2), in pixels of the
            features: a pixel p of the next frame was at ``p + 2 * flow(p / 2)`` in the frame before.
        """
        said = list(self.imagine(context, horizon))
        frames = torch.stack([self.image(moved) for moved in said], dim=1)
        return frames, torch.stack([moved.flow[-1] for moved in said], dim=1)

    def observe(self, frames: Tensor, memory: ConvState | None, last: int = 1) -> tuple[Moved, ConvState]:
        """(T, N, C, H, W) -> the frames after the last of them and the flow there; the memory's state."""
        features = F.max_pool2d(self.encoder(frames.flatten(0, 1)).tanh(), 2)
        sequence = features.unflatten(0, frames.shape[:2])  # (T, N, features, H / 2, W / 2)
        hidden, state = self.memory.run(sequence, memory or self.memory.initial(sequence))
        # Autocast must not round the flow: half a type knows 8 pixels only to a sixteenth of one.
        with torch.autocast(frames.device.type, enabled=False):
            exact = self.decoder.weight.dtype
            flow = self.flow(hidden[-last:].flatten(0, 1).to(exact))
            warped = flow_warp(sequence[-last:].flatten(0, 1).to(exact), flow)
        logits = self.decoder(F.interpolate(warped, scale_factor=2, mode="nearest"))
        return Moved(logits.unflatten(0, (last, -1)), flow.unflatten(0, (last, -1))), state

    def image(self, output: Moved) -> Tensor:
        """The last of the predicted frames."""
        return output.logits[-1].sigmoid()
