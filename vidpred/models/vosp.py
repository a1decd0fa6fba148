"""The variational one-step predictor of seed 003, section 3.2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vidpred.models.latent_sequence import (
    LatentSequenceModel,
    LatentSequenceOptions,
    Posterior,
    PosteriorHead,
    check_gap,
)
from vidpred.models.sequence_model import StepOutput, before_each, valid_steps
from vidpred.nn.distributions import Gaussian
from vidpred.nn.fast_dropout import TRANSFERS, FastDropoutLinear, Moments

EXPLAINED = 16
"""Steps after a gap that tell which of the ways through it are likely."""
LEAST_STD = 0.8
"""Of what z_t is drawn from there: below 1/√2 the weights, with N(z_{t-1}, 1) above, have no variance."""


class VOSP(LatentSequenceModel):
    """A recurrent network over the past; the next step depends on it and on a latent variable of its own.

        memory        h_t = FD-RNN(x_t, h_{t-1})
        recognition   z_t ~ N(mu_t, sigma_t^2),  [mu_t, sigma_t] = F_z(h_t)
        generation    x_t ~ p(x_t | F_x(h_{t-1}, z_t)), F_x with one hidden layer

    The posterior of z_t has seen x_t, as the bound wants it, but nothing later: online, z_t comes from the
    prior and the z before (`one_step`), and a noisy x_t is cleaned as soon as it is there (`reconstruct`).
    """

    def __init__(self, channels: int, size: tuple[int, int], options: LatentSequenceOptions) -> None:
        super().__init__(channels, size, options)
        self.memory = self.recurrent(self.features, trainable=options.learn_dropout)
        self.posterior = PosteriorHead(options.hidden, options)
        self.of_memory = FastDropoutLinear(options.hidden, options.hidden, rate=options.dropout)
        self.of_latent = FastDropoutLinear(
            options.latent, options.hidden, rate=self.latent_dropout, bias=False
        )
        for layer in (self.of_memory, self.of_latent):
            nn.init.normal_(layer.weight, std=options.weight_std_in)
        self.transfer = TRANSFERS[options.transfer]
        self.output = StepOutput(options.hidden, channels, size, options)

    def recognise(self, frames: Tensor, valid: Tensor | None) -> tuple[Posterior, Moments]:
        """The posterior, and h_0, ..., h_{T-1}, what is known before every step."""
        hidden: Moments = self.memory(self.encoder(frames), valid)
        start = self.memory.initial(frames.shape[1], hidden.mean)
        return self.posterior_of(self.posterior(hidden), valid), before_each(hidden, start)

    def generate(self, latents: Tensor, seen: Moments, valid: Tensor | None = None) -> Moments:
        """What the steps follow, (..., N, C, H, W), given z, (..., N, latent), and the memory before."""
        memory, latent = self.of_memory(seen), self.of_latent(latents)
        given: Moments = self.output(self.transfer(Moments(*map(torch.add, memory, latent))))
        return given

    @torch.no_grad()
    def one_step(self, frames: Tensor) -> Tensor:
        """What is expected of each step of (N, T, C, H, W) given the steps before: the same shape, [0, 1].

        z_t is the mean of its prior given the posterior means of z_1, ..., z_{t-1}.
        """
        self.check_frames(frames, at_least=1)
        frames = frames.transpose(0, 1)
        valid = valid_steps(frames, None)
        posterior, before = self.recognise(frames, valid)
        latents = [self.prior.continue_from(posterior.mean[:t], 1, sample=False) for t in range(len(frames))]
        return self.output.expected(self.generate(torch.cat(latents), before)).transpose(0, 1)

    @torch.no_grad()
    def filter(
        self,
        noisy: Tensor,
        correct: Callable[[Tensor, Tensor], Tensor],
        *,
        lengths: Tensor | None = None,
        samples: int = 8,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Cleans noisy frames (N, T, C, H, W) step by step: Bayes' rule with the prediction for a prior.

        The network never sees a noisy frame, only those that it has cleaned before.

        Args:
            correct: what is expected of a step, the mean over `samples` of z_t from its prior, and the noisy
                step -> what is expected given both, each (N, C, H, W) in [0, 1].
            lengths: (N,) steps at the end that are the sequence; by default all.

        Returns:
            (N, T, C, H, W) in [0, 1].

        Raises:
            ConfigError: the prior is none whose next step depends on the last one alone.
        """
        prior = self.walk("cleaning step by step")
        self.check_frames(noisy, at_least=1)
        frames = noisy.transpose(0, 1)
        valid = valid_steps(frames, lengths)
        memory = self.memory.initial(frames.shape[1], frames)
        z = frames.new_zeros(frames.shape[1], self.options.latent)
        cleaned = []
        for t, frame in enumerate(frames):
            expected = torch.zeros_like(frame)
            for _ in range(samples):
                [z_next] = prior.continue_from(z[None], 1, generator)
                expected += self.output.expected(self.generate(z_next, memory)) / samples
            cleaned.append(correct(expected, frame))
            memory_next = self.memory.step(self.encoder(cleaned[-1]), memory)
            z_next = self.follow(z, self.posterior(memory_next)).mean
            if valid is not None:  # before a sequence begins nothing is known
                begun = valid[t][:, None]
                memory_next = Moments(*(part * begun for part in memory_next))
                z_next = z_next * begun
            memory, z = memory_next, z_next
        return torch.stack(cleaned, dim=1)

    @torch.no_grad()
    def fill(
        self, frames: Tensor, gap: slice, samples: int, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """See `LatentSequenceModel.fill`.

        Importance sampling: ways through the gap are drawn as the model predicts them, and each is weighted
        with how well it explains up to `EXPLAINED` steps after the gap, whose z_t come from the posterior,
        widened to `LEAST_STD`. The weights are tempered (`tempered_weights`): with many values in a step this
        is Bayes' rule with part of the evidence only. What was predicted counts as one more draw, so that no
        value is certain.
        """
        check_gap(gap, len(frames))
        prior = self.walk("filling a gap")
        hidden: Moments = self.memory(self.encoder(frames[: gap.start].unsqueeze(1)))
        posterior = self.posterior_of(self.posterior(hidden), None)
        z = torch.cat([posterior.sample(generator)[-1] for _ in range(samples)])  # (samples, latent)
        memory = Moments(*(moment[-1].expand(samples, -1) for moment in hidden))
        predicted, drawn = [], []
        for _ in range(gap.start, gap.stop):
            [z] = prior.continue_from(z[None], 1, generator)
            given = self.generate(z, memory)
            predicted.append(self.output.expected(given))
            drawn.append(self.output.draw(given, generator))
            memory = self.memory.step(self.encoder(drawn[-1]), memory)
        weights = tempered_weights(self._evidence(frames[gap.stop :][:EXPLAINED], z, memory, generator))
        share = 1 / (1 + effective_number(weights))
        mixed = torch.lerp(torch.stack(drawn), torch.stack(predicted), share)  # (gap, samples, C, H, W)
        return torch.einsum("n,tn...->t...", weights, mixed)

    def _evidence(
        self, frames: Tensor, z: Tensor, memory: Moments, generator: torch.Generator | None
    ) -> Tensor:
        """How well frames (T, C, H, W) follow on ways that came to z and the memory, (samples, ...) each.

        Returns:
            (samples,), log p(frames, z) - log q(z) at one draw of z from q on each way.
        """
        prior, evidence = self.walk("weighting"), z.new_zeros(len(z))
        for frame in frames:
            frame = frame.expand(len(z), *frame.shape)
            memory_next = self.memory.step(self.encoder(frame), memory)
            mean, std = self.follow(z, self.posterior(memory_next))
            of_step = Gaussian(mean, std.clamp(min=LEAST_STD))
            z_next = of_step.sample(generator)
            step = prior.log_prob((z_next - z)[None]) - of_step.log_prob(z_next)  # (samples, latent)
            evidence += self.output.log_prob(self.generate(z_next, memory), frame) + step.sum(dim=-1)
            memory, z = memory_next, z_next
        return evidence

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
        """Infers z of the context, continues it as the prior does; each step is the next input."""
        self.check_frames(context, at_least=1)
        frames = context.transpose(0, 1)
        valid = valid_steps(frames, None)
        hidden: Moments = self.memory(self.encoder(frames), valid)
        posterior = self.posterior_of(self.posterior(hidden), valid)
        past = posterior.sample(generator) if sample else posterior.mean
        last = Moments(*(moment[-1] for moment in hidden))
        return self._after(past, last, horizon, sample, generator)

    @torch.no_grad()
    def synthesise(self, batch: int, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Sequences of the model's own, by ancestral sampling: (N, steps, C, H, W) in [0, 1]."""
        nothing = next(self.parameters()).new_zeros(0, batch, self.options.latent)
        return self._after(nothing, self.memory.initial(batch, nothing), steps, True, generator)

    def _after(
        self, past: Tensor, memory: Moments, steps: int, sample: bool, generator: torch.Generator | None
    ) -> Tensor:
        """The steps that follow those of z, (T, N, latent), and of the memory, (N, hidden)."""
        predicted = []
        for z in self.prior.continue_from(past, steps, generator=generator, sample=sample):
            step = self.emit(self.generate(z, memory), sample, generator)
            memory = self.memory.step(self.encoder(step), memory)
            predicted.append(step)
        return torch.stack(predicted, dim=1)


def tempered_weights(evidence: Tensor, share: float = 0.1) -> Tensor:
    """Weights of draws, (samples,), proportional to exp(evidence)^b with the largest b <= 1 (to 1 %) at which
    the effective number of draws is at least that share of all; with b = 1 few draws often decide alone.
    """
    exponents = 0.99 ** torch.arange(2000, device=evidence.device, dtype=evidence.dtype)
    weights = torch.softmax(exponents[:, None] * evidence, dim=1)
    enough = effective_number(weights) >= share * len(evidence)
    return weights[int(enough.int().argmax())]


def effective_number(weights: Tensor) -> Tensor:
    """Of draws with these weights, (..., samples) -> (...): as many alike have the same Σ w²."""
    return weights.square().sum(dim=-1).reciprocal()
