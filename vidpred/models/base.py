"""What every model is: a `torch.nn.Module` that gives a loss on known frames and predicts unknown ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidpred.config import Section
from vidpred.errors import ConfigError, DataError


class ModelOptions(Section):
    """The options of one model; each model subclasses it. Frozen, and unknown keys are errors."""


class VideoModel(nn.Module):
    """Base class of the models.

    Subclasses define `Options`, the layers, `loss` and `predict`. A new model needs nothing else but a
    line in `registry.MODELS` and a presets file.

    Attributes:
        channels: channels C of a frame.
        size: height and width (H, W) of a frame.
        options: the validated options the model was built with.
    """

    Options: ClassVar[type[ModelOptions]] = ModelOptions
    stochastic: bool = False
    """Whether two predictions from the same context can differ; if not, one sample says all."""
    recognises: ClassVar[bool] = False
    """Whether the classes of its options are what it learns to tell: it needs labels in training alone."""
    takes_lengths: ClassVar[bool] = False
    """Whether its loss covers sequences of different lengths, padded in front. It is then also given
    ``lengths``, int64 (N,) or None for whole sequences: the last ``lengths[n]`` frames are sequence n, and
    `context` counts from the first of these. Its terms are means over the frames that the loss covers, of all
    sequences together; over none, they are 0."""
    least_context: ClassVar[int] = 1
    """Fewest frames that must be given in training; 0 for a model that explains the first frame too."""
    usage: ClassVar[tuple[str, ...]] = ()
    """Options that change how a trained model predicts, not what it has learnt."""

    @classmethod
    def settings_for(cls, options: Any, frames: int, classes: int | None) -> dict[str, Any]:
        """Settings that follow from the data, besides channels and size, keyed like ``train.context``.

        Args:
            options: the model's own.
            frames: of a sequence.
            classes: how many there are, where the data names them.

        Raises:
            ConfigError: the options do not go with the data.
        """
        return {}

    def __init__(self, channels: int, size: tuple[int, int], options: ModelOptions) -> None:
        super().__init__()
        self.channels = channels
        self.size = size
        self.options = options

    def loss(
        self,
        frames: Tensor,
        context: int = 1,
        *,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The training loss on whole sequences.

        Args:
            frames: (N, T, C, H, W) in [0, 1].
            context: frames 1..context are given; the loss covers frames context+1..T. At least
                `least_context`.
            labels: (N, objects) class numbers, for models conditioned on them.
            generator: source of the noise, for models that draw any.

        Returns:
            ``{"loss": scalar to minimise, ...}`` and the terms it is made of, detached scalars.
        """
        raise NotImplementedError

    def predict(
        self,
        context: Tensor,
        horizon: int,
        *,
        sample: bool = True,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Predicts the frames that follow.

        Args:
            context: (N, Tc, C, H, W) in [0, 1], Tc >= 1.
            horizon: how many frames to predict, >= 1.
            sample: draw from the model's distribution; False takes its mean at every step.

        Returns:
            (N, horizon, C, H, W) in [0, 1].
        """
        raise NotImplementedError

    def begin_step(self, step: int) -> None:
        """Told before every step of training (the first is 0); for losses that change in its course."""

    def begin_epoch(self, epoch: int, validations: Sequence[tuple[int, float]]) -> None:
        """Told before every epoch of training (the first is 0), also one that is gone on with.

        Args:
            epoch: whole epochs that are over.
            validations: after how many epochs there was a validation, and its loss; in order.
        """

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Same as `loss`; wrappers such as DistributedDataParallel hook into this name."""
        return self.loss(*args, **kwargs)

    def check_frames(self, frames: Tensor, at_least: int) -> None:
        """Raises `DataError` unless `frames` is (N, T >= at_least, C, H, W) of this model's C, H and W."""
        if frames.dim() != 5 or tuple(frames.shape[2:]) != (self.channels, *self.size):
            expected = f"(N, T, {self.channels}, {self.size[0]}, {self.size[1]})"
            raise DataError(f"the model expects frames of shape {expected}, got {tuple(frames.shape)}")
        if frames.shape[1] < at_least:
            raise DataError(f"the model needs at least {at_least} frames, got {frames.shape[1]}")


def require_divisible(size: tuple[int, int], by: int) -> None:
    """Raises `ConfigError` unless both sides of a frame are multiples of `by` (a model's total stride)."""
    if size[0] % by or size[1] % by or min(size) < by:
        raise ConfigError(f"frame size must be a multiple of {by} on both sides, got {size[0]}x{size[1]}")
