"""What models have in common that see a frame, predict the next one, and take it for their next input."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vidpred import schedules
from vidpred.models.base import ModelOptions, VideoModel


class FeedbackOptions(ModelOptions):
    """What a model sees of the frames after the context while it is trained."""

    feed: Literal["predictions", "frames", "scheduled"] = "predictions"
    """``predictions``: its own, as in use (ten-frame training, seed 001, sec. 4.2); ``frames``: the true
    ones, so that it only ever predicts one frame ahead; ``scheduled``: of each sequence and frame the true
    one with a probability that falls from 1 to 0 (scheduled sampling, Bengio et al. 2015)."""
    scheduled_steps: int = Field(50_000, gt=0)
    """Training steps in which that probability falls to 0, linearly, unless `scheduled_fall` is set."""
    scheduled_fall: float | None = Field(None, gt=0, le=1)
    """What it falls by in an epoch, once the validation loss has stalled for `stall_epochs` (seed 002)."""
    stall_epochs: int = Field(20, gt=0)
    """Epochs without a new lowest validation loss."""
    learn_context: bool = False
    """Whether the training loss also covers the predictions of frames 2 to `context`."""
    checkpoint: bool = False
    """Whether a training step keeps only the memory between frames that are predicted one by one and computes
    the rest again for the gradient: a third more time, for memory that hardly grows with the horizon."""


class FeedbackModel(VideoModel):
    """A model with a memory: `observe` runs it over known frames, `image` makes of its output a frame.

    Inside, time comes first: (T, N, ...).
    """

    options: FeedbackOptions

    def __init__(self, channels: int, size: tuple[int, int], options: FeedbackOptions) -> None:
        super().__init__(channels, size, options)
        self.true_share = 1.0

    def begin_step(self, step: int) -> None:
        """Sets the share of true frames that scheduled sampling gives."""
        if self.options.scheduled_fall is None:
            self.true_share = 1 - schedules.ramp(step, self.options.scheduled_steps)

    def begin_epoch(self, epoch: int, validations: Sequence[tuple[int, float]]) -> None:
        """The same, where it depends on the validation loss."""
        if self.options.scheduled_fall is not None:
            stalled = schedules.stalled(validations, self.options.stall_epochs)
            self.true_share = schedules.fall(epoch, stalled, self.options.scheduled_fall)

    @abstractmethod
    def observe(self, frames: Tensor, memory: Any, last: int = 1) -> tuple[Any, Any]:
        """Sees frames, (T, N, C, H, W).

        Args:
            memory: from the call before; None before the first.
            last: after how many of the frames, the last ones, the model is to predict the next.

        Returns:
            What the model has to say about the frame after each of the `last`, a tensor or a named tuple of
            tensors (last, N, ...), and the memory after the last.
        """

    @abstractmethod
    def image(self, output: Any) -> Tensor:
        """The last of the frames that `output` is about, (N, C, H, W)."""

    def outputs(self, frames: Tensor, context: int, generator: torch.Generator | None) -> list[Any]:
        """What `observe` says about the frames of (T, N, C, H, W) that the loss is about, in order.

        While training, what it sees after the context is what `feed` says; otherwise its own predictions.
        """
        feed = self.options.feed if self.training else "predictions"
        if feed == "scheduled" and self.true_share >= 1:
            feed = "frames"  # the same, with all frames known beforehand
        known = len(frames) - 1 if feed == "frames" else context
        output, memory = self.observe(frames[:known], None, last=known - self.first_learnt(context) + 1)
        collected = [output]
        for truth in frames[known:-1].unbind():
            is_true = None
            if feed == "scheduled":
                draw = torch.rand(len(truth), 1, 1, 1, generator=generator, device=truth.device)
                is_true = draw < self.true_share
            if self.options.checkpoint and torch.is_grad_enabled():
                output, memory = checkpoint(self._go_on, output, memory, truth, is_true, use_reentrant=False)
            else:
                output, memory = self._go_on(output, memory, truth, is_true)
            collected.append(output)
        return collected

    def _go_on(self, output: Any, memory: Any, truth: Tensor, is_true: Tensor | None) -> tuple[Any, Any]:
        """Sees what it predicted last, or of some sequences the truth."""
        seen = self.image(output)
        return self.observe((seen if is_true is None else torch.where(is_true, truth, seen))[None], memory)

    def first_learnt(self, context: int) -> int:
        """How many of the first frames the loss leaves out."""
        return 1 if self.training and self.options.learn_context else context

    def imagine(self, context: Tensor, horizon: int) -> Iterator[Any]:
        """What `observe` says about each of the `horizon` frames after (N, Tc, C, H, W)."""
        self.check_frames(context, at_least=1)
        output, memory = self.observe(context.transpose(0, 1), None)
        yield output
        for _ in range(horizon - 1):
            output, memory = self.observe(self.image(output)[None], memory)
            yield output

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
        return torch.stack([self.image(output) for output in self.imagine(context, horizon)], dim=1)
