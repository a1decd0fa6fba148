"""The recurrent network with fast dropout that seed 003 compares itself with."""

from __future__ import annotations

import torch
from torch import Tensor

from vidpred.models.sequence_model import (
    SequenceModel,
    SequenceOptions,
    StepOutput,
    before_each,
    count_valid,
    over_valid,
    valid_steps,
)
from vidpred.nn.fast_dropout import Moments


class FDRNN(SequenceModel):
    """One-step prediction without latent variables (section 2.1): the "FD" of table 1, and its "plain"
    where `dropout` is 0.

        h_t = FD-RNN(x_t, h_{t-1}),  x_{t+1} ~ p(x_{t+1} | h_t)
    """

    def __init__(self, channels: int, size: tuple[int, int], options: SequenceOptions) -> None:
        super().__init__(channels, size, options)
        self.memory = self.recurrent(self.features)
        self.output = StepOutput(options.hidden, channels, size, options)

    def loss(
        self,
        frames: Tensor,
        context: int = 0,
        *,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The negative log-likelihood of the steps after the context, in nats a step.

        Args:
            context: steps of a sequence that cost nothing.
            lengths: (N,) steps at the end that are the sequence; by default all.
        """
        self.check_frames(frames, at_least=1)
        likelihood, valid = self._log_likelihood(frames, lengths)
        if context:
            counted = likelihood.new_full((frames.shape[0],), frames.shape[1]) if lengths is None else lengths
            valid = valid_steps(frames.transpose(0, 1), (counted - context).clamp(min=0))
        nll = -over_valid(likelihood, valid).sum() / count_valid(frames.transpose(0, 1), valid)
        return {"loss": nll, "nll": nll.detach()}

    @torch.no_grad()
    def negative_log_likelihood(self, frames: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """That of every sequence (N, T, C, H, W), in nats: (N,)."""
        self.check_frames(frames, at_least=1)
        likelihood, valid = self._log_likelihood(frames, lengths)
        return -over_valid(likelihood, valid)

    @torch.no_grad()
    def one_step(self, frames: Tensor) -> Tensor:
        """What is expected of each step of (N, T, C, H, W) given the steps before: the same shape, [0, 1]."""
        self.check_frames(frames, at_least=1)
        frames = frames.transpose(0, 1)
        return self.output.expected(self._given(frames, valid_steps(frames, None))).transpose(0, 1)

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
        """Feeds every predicted step back as the next input."""
        self.check_frames(context, at_least=1)
        frames = context.transpose(0, 1)
        hidden: Moments = self.memory(self.encoder(frames), valid_steps(frames, None))
        return self._after(Moments(*(moment[-1] for moment in hidden)), horizon, sample, generator)

    @torch.no_grad()
    def synthesise(self, batch: int, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Sequences of the model's own: (N, steps, C, H, W) in [0, 1]."""
        return self._after(self.memory.initial(batch, next(self.parameters())), steps, True, generator)

    def _after(self, memory: Moments, steps: int, sample: bool, generator: torch.Generator | None) -> Tensor:
        predicted = []
        for _ in range(steps):
            step = self.emit(self.output(memory), sample, generator)
            memory = self.memory.step(self.encoder(step), memory)
            predicted.append(step)
        return torch.stack(predicted, dim=1)

    def _log_likelihood(self, frames: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Of every step, (T, N), and which steps are valid."""
        frames = frames.transpose(0, 1)
        valid = valid_steps(frames, lengths)
        return self.output.log_prob(self._given(frames, valid), frames), valid

    def _given(self, frames: Tensor, valid: Tensor | None) -> Moments:
        """What the steps follow, (T, N, C, H, W), given those before."""
        hidden: Moments = self.memory(self.encoder(frames), valid)
        start = self.memory.initial(frames.shape[1], hidden.mean)
        given: Moments = self.output(before_each(hidden, start))
        return given
