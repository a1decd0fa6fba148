"""The two predictions that need no training and that every table needs for comparison."""

from __future__ import annotations

import torch
from torch import Tensor

from vidpred.models.base import ModelOptions, VideoModel


class Copy(VideoModel):
    """Repeats the last frame of the context. There is nothing to train, so there is no loss."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__(channels, size, ModelOptions())

    def predict(
        self,
        context: Tensor,
        horizon: int,
        *,
        sample: bool = True,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """(N, Tc, C, H, W) -> (N, horizon, C, H, W), views of the last frame."""
        self.check_frames(context, at_least=1)
        return context[:, -1:].expand(-1, horizon, -1, -1, -1)


class Mean(VideoModel):
    """Predicts the same frame always: the mean of each pixel. Nothing is trained, so there is no loss.

    Attributes:
        frame: (C, H, W) in [0, 1], the mean frame of the training data; None takes the mean over the
            context of each sequence instead.
    """

    frame: Tensor | None

    def __init__(self, channels: int, size: tuple[int, int], frame: Tensor | None = None) -> None:
        super().__init__(channels, size, ModelOptions())
        self.register_buffer("frame", frame)

    def predict(
        self,
        context: Tensor,
        horizon: int,
        *,
        sample: bool = True,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """(N, Tc, C, H, W) -> (N, horizon, C, H, W), views of the mean frame."""
        self.check_frames(context, at_least=1)
        mean = context.mean(dim=1, keepdim=True) if self.frame is None else self.frame
        return mean.expand(len(context), horizon, -1, -1, -1)
