"""Early activity recognition (seed 002, sec. 4, after Wang et al. 2019): which class a video is of, from its
front alone, by a network that learns to predict the next frames at the same time."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vidpred.errors import ConfigError, DataError
from vidpred.models.base import require_divisible
from vidpred.models.convttlstm import CellOptions
from vidpred.models.feedback import FeedbackModel
from vidpred.nn.frame_coder import FrameDecoder, FrameEncoder
from vidpred.nn.initialization import glorot
from vidpred.nn.recurrent_blocks import RecurrentBlocks

_Width = Annotated[int, Field(gt=0)]


class ActivityOptions(CellOptions):
    """Sizes of the layers. Section 4 gives their numbers, but not their channels and strides."""

    front: float = Field(0.5, gt=0, lt=1)
    """Share of a sequence that is seen. ``train.context`` follows from it."""
    horizon: int = Field(10, gt=0)
    """Frames after these whose prediction is learnt."""
    classes: int = Field(41, gt=0)
    """Classes to tell apart; a data file that names its classes decides."""
    prediction_weight: float = Field(1.0, ge=0)
    """The weighting factor λ."""
    widths: tuple[_Width, _Width] = (32, 64)
    """Channels of the encoder's convolutions, 3x3 of stride 2."""
    hidden: tuple[_Width, ...] = Field((32, 48, 48, 32), min_length=1)
    """Channels of each block of recurrent layers."""
    layers: int = Field(2, gt=0)
    """Of each block."""
    classifier: tuple[_Width, _Width] = (64, 128)
    """Channels of the classifier's convolutions, 3x3 of stride 2."""

    def context(self, frames: int) -> int:
        """How many of the frames of a sequence are seen, at least one."""
        return max(1, int(self.front * frames + 0.5))


class Said(NamedTuple):
    """What the network says after each of some frames."""

    frames: Tensor  # (last, N, C, H, W), the next ones
    hidden: Tensor  # (last, N, hidden, H / 4, W / 4), of the last recurrent layer


class Activity(FeedbackModel):
    """An encoder, recurrent layers, a decoder, and a classifier of the last layer after the last seen frame::

        h_t = Layers(Encoder(x_t)),   x_{t+1} = Decoder(h_t),   y = Classifier(h_context)

    Encoder and classifier are two convolutions with ReLU that halve the frame; the classifier ends with the
    mean over the frame and a fully connected layer; the decoder is the encoder backwards.
    """

    Options = ActivityOptions
    options: ActivityOptions
    recognises = True

    def __init__(self, channels: int, size: tuple[int, int], options: ActivityOptions) -> None:
        require_divisible(size, by=4)
        super().__init__(channels, size, options)
        self.encoder = FrameEncoder(channels, size, options.widths, _KERNELS)
        self.blocks = RecurrentBlocks(options.make_cell, options.widths[-1], options.hidden, options.layers)
        self.decoder = FrameDecoder(channels, size, (options.widths[0], self.blocks.channels), _KERNELS)
        inputs, (first, second) = options.hidden[-1], options.classifier
        self.convolutions = nn.Sequential(
            glorot(nn.Conv2d(inputs, first, 3, stride=2, padding=1)),
            nn.ReLU(),
            glorot(nn.Conv2d(first, second, 3, stride=2, padding=1)),
            nn.ReLU(),
        )
        self.connected = glorot(nn.Linear(second, options.classes))

    @classmethod
    def settings_for(cls, options: ActivityOptions, frames: int, classes: int | None) -> dict[str, Any]:
        """The context, which `front` gives, the horizon, and the number of classes that a file names."""
        context = options.context(frames)
        if context + options.horizon > frames:
            raise ConfigError(
                f"model.front = {options.front} of {frames} frames leaves {frames - context} to predict, "
                f"expected at least model.horizon = {options.horizon}"
            )
        known = {"train.context": context, "eval.context": context, "eval.horizon": options.horizon}
        return known | ({"model.classes": classes} if classes else {})

    def loss(
        self,
        frames: Tensor,
        context: int = 1,
        *,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Cross-entropy of the class, and λ times mean absolute and mean squared error of a pixel (sec. 4).

        Args:
            labels: (N, 1), the class of each sequence.
        """
        self.check_frames(frames, at_least=context + self.options.horizon)
        truth = self._classes(labels, len(frames))
        frames = frames[:, : context + self.options.horizon].transpose(0, 1)  # (T, N, C, H, W)
        first = self.first_learnt(context)
        said = self.outputs(frames, context, generator)
        predicted = torch.cat([one.frames for one in said])
        absolute, squared = F.l1_loss(predicted, frames[first:]), F.mse_loss(predicted, frames[first:])
        logits = self._classify(said[0].hidden[context - first])
        entropy = F.cross_entropy(logits, truth)
        return {
            "loss": self.options.prediction_weight * (absolute + squared) + entropy,
            "mae": absolute.detach(),
            "mse": squared.detach(),
            "cross_entropy": entropy.detach(),
            "accuracy": (logits.argmax(1) == truth).float().mean(),
        }

    @torch.no_grad()
    def classify(self, frames: Tensor) -> Tensor:
        """The logits of the classes, (N, classes), from the front of the sequences, (N, T, C, H, W)."""
        self.check_frames(frames, at_least=1)
        said, _ = self.observe(frames.transpose(0, 1), None)
        return self._classify(said.hidden[-1])

    @torch.no_grad()
    def predict(self, context: Tensor, horizon: int, **choices: Any) -> Tensor:
        """As `FeedbackModel.predict`. What is fed back is not clipped; what is returned is."""
        return super().predict(context, horizon, **choices).clamp(0, 1)

    def observe(self, frames: Tensor, memory: list[Any] | None, last: int = 1) -> tuple[Said, list[Any]]:
        """(T, N, C, H, W) -> what is said after each of the last of them, and the layers' states."""
        encoded = self.encoder(frames).unflatten(-1, self.encoder.grid)
        features, states = self.blocks.run(encoded, memory)
        features = features[-last:]  # (last, N, channels, H / 4, W / 4), the last layer's first
        return Said(self.decoder(features.flatten(-3)), features[:, :, : self.options.hidden[-1]]), states

    def image(self, output: Said) -> Tensor:
        """The last of the frames, not clipped."""
        return output.frames[-1]

    def _classify(self, hidden: Tensor) -> Tensor:
        """(N, hidden, H / 4, W / 4) -> (N, classes)."""
        logits: Tensor = self.connected(self.convolutions(hidden).mean(dim=(-2, -1)))
        return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits

    def _classes(self, labels: Tensor | None, batch: int) -> Tensor:
        """(N, 1) -> (N,), int64."""
        if labels is None:
            raise DataError("the model learns to tell classes, but the data has no labels")
        if tuple(labels.shape) != (batch, 1):
            raise DataError(
                f"the model learns one class a sequence: expected labels of shape ({batch}, 1), "
                f"got {tuple(labels.shape)}"
            )
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < self.options.classes:
            raise DataError(
                f"the model knows {self.options.classes} classes, but the data has labels from "
                f"{int(labels.min())} to {int(labels.max())}"
            )
        return labels[:, 0].long()


_KERNELS = (3, 3)
