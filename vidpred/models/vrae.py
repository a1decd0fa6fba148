"""The variational recurrent autoencoder of seed 003, section 3.1."""

from __future__ import annotations

import torch
from torch import Tensor

from vidpred.models.latent_sequence import (
    LatentSequenceModel,
    LatentSequenceOptions,
    Posterior,
    PosteriorHead,
    check_gap,
)
from vidpred.models.sequence_model import StepOutput, joined, valid_steps
from vidpred.nn.fast_dropout import Moments


class VRAE(LatentSequenceModel):
    """Two networks that run over the sequence in both directions: one infers z, one generates x from it.

        recognition   z_t ~ N(mu_t, sigma_t^2),  [mu, sigma] = FD-RNN(x_1, ..., x_T)
        generation    x_t ~ p(x_t | FD-RNN(z_1, ..., z_T))

    So every z_t has seen the whole sequence, and every x_t depends on all of z.
    """

    def __init__(self, channels: int, size: tuple[int, int], options: LatentSequenceOptions) -> None:
        super().__init__(channels, size, options)
        learnt = options.learn_dropout
        self.recognise_forwards = self.recurrent(self.features, trainable=learnt)
        self.recognise_backwards = self.recurrent(self.features, trainable=learnt, backwards=True)
        self.posterior = PosteriorHead(2 * options.hidden, options)
        self.generate_forwards = self.recurrent(options.latent, rate_in=self.latent_dropout)
        self.generate_backwards = self.recurrent(options.latent, rate_in=self.latent_dropout, backwards=True)
        self.output = StepOutput(2 * options.hidden, channels, size, options)

    def recognise(self, frames: Tensor, valid: Tensor | None) -> tuple[Posterior, None]:
        """The posterior, which is all that the steps are generated from."""
        x = self.encoder(frames)
        hidden = joined(self.recognise_forwards(x, valid), self.recognise_backwards(x, valid))
        return self.posterior_of(self.posterior(hidden), valid), None

    def generate(self, latents: Tensor, seen: None, valid: Tensor | None) -> Moments:
        """What the steps follow, (T, N, C, H, W), given all of z."""
        given: Moments = self.output(self._hidden(latents, valid))
        return given

    def _hidden(self, latents: Tensor, valid: Tensor | None) -> Moments:
        """The states of both generating networks, (T, N, 2 hidden)."""
        return joined(self.generate_forwards(latents, valid), self.generate_backwards(latents, valid))

    @torch.no_grad()
    def fill(
        self, frames: Tensor, gap: slice, samples: int, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """See `LatentSequenceModel.fill`.

        The steps before the gap and those after it are recognised each by themselves; from the one to the
        other z goes as the prior does, and the lost steps are generated from all of z.
        """
        check_gap(gap, len(frames))
        prior = self.walk("filling a gap")
        before, after = (
            self._latents(part, samples, generator) for part in (frames[: gap.start], frames[gap.stop :])
        )
        between = prior.between(before[-1], after[0], gap.stop - gap.start, generator)
        hidden = self._hidden(torch.cat([before, between, after]), None)
        given = self.output(Moments(*(moment[gap] for moment in hidden)))
        return self.output.expected(given).mean(dim=1)

    def _latents(self, frames: Tensor, samples: int, generator: torch.Generator | None) -> Tensor:
        """Draws of z for one sequence (T, C, H, W): (T, samples, latent)."""
        posterior, _ = self.recognise(frames.unsqueeze(1), None)
        return torch.cat([posterior.sample(generator) for _ in range(samples)], dim=1)

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
        """Infers z of the context, continues it as the prior does, and generates all steps together."""
        self.check_frames(context, at_least=1)
        frames = context.transpose(0, 1)
        posterior, _ = self.recognise(frames, valid_steps(frames, None))
        past = posterior.sample(generator) if sample else posterior.mean
        return self._after(past, horizon, sample, generator)

    @torch.no_grad()
    def synthesise(self, batch: int, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Sequences of the model's own, by ancestral sampling: (N, steps, C, H, W) in [0, 1]."""
        nothing = next(self.parameters()).new_zeros(0, batch, self.options.latent)
        return self._after(nothing, steps, True, generator)

    def _after(self, past: Tensor, steps: int, sample: bool, generator: torch.Generator | None) -> Tensor:
        """The steps that follow those of z, (T, N, latent)."""
        future = self.prior.continue_from(past, steps, generator=generator, sample=sample)
        latents = torch.cat([past, future])
        given = self.generate(latents, None, None)
        last = Moments(*(moment[-steps:] for moment in given))
        return self.emit(last, sample, generator).transpose(0, 1)
