"""The variational bound that `vrae` and `vosp` of seed 003 share."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from vidpred.errors import ConfigError, DataError
from vidpred.models.sequence_model import (
    SequenceModel,
    SequenceOptions,
    count_valid,
    over_valid,
    valid_steps,
)
from vidpred.nn.distributions import SMALLEST_STD, Gaussian, positive_std
from vidpred.nn.fast_dropout import FastDropoutLinear, Moments
from vidpred.nn.sequence_priors import (
    GaussianProcessPrior,
    IndependentPosterior,
    SequencePrior,
    WienerPosterior,
    WienerPrior,
)


class LatentSequenceOptions(SequenceOptions):
    """Adds the latent sequence."""

    latent: int = Field(50, gt=0)
    """Dimensions of z_t."""
    latent_dropout: float | None = Field(None, ge=0, lt=1)
    """Rate at which fast dropout drops z where it enters the generating network; absent: `dropout`."""
    prior: Literal["wiener", "white", "rbf", "ornstein-uhlenbeck"] = "wiener"
    """What z_1, ..., z_T follow, every dimension by itself (section 3.3)."""
    prior_length: float | None = Field(None, gt=0)
    """Of the correlation in steps, for ``rbf`` and ``ornstein-uhlenbeck``; absent: 10."""
    prior_jitter: float | None = Field(None, ge=0)
    """White noise that is part of the process, for all but ``wiener``; absent: 1e-4 for ``rbf``, else 0."""
    posterior: Literal["independent", "chain"] = "independent"
    """Whether the posterior of z is independent over time, as in the paper, or a Markov chain that leans on
    the Wiener prior where a step tells little (`WienerPosterior`; ours)."""
    spread: Literal["dropout", "head"] = "dropout"
    """Where its variance comes from: the moments of fast dropout, as in the paper, or a linear layer and
    softplus of its own, as in the VRNN."""
    posterior_std: float | None = Field(None, gt=0, le=100)
    """What that layer says in a fresh model; by default softplus(0) = 0.69. As in the VRNN, little noise at
    first keeps the latents alive."""
    learn_dropout: bool = True
    """Whether the recognition model learns its dropout rates (appendix)."""
    kl_warmup: int = Field(0, ge=0)
    """Training steps over which the weight of the KL term rises from 0 to 1; 0 in the paper."""


Posterior = IndependentPosterior | WienerPosterior


class Bound(NamedTuple):
    """Upper bounds on the negative log-likelihood of whole sequences, each (N,), in nats."""

    one: Tensor
    """KL and expected reconstruction, eq. 6, mean over the samples."""
    weighted: Tensor
    """Importance-weighted with all samples together (Burda et al. 2016), which is tighter."""


class LatentSequenceModel(SequenceModel):
    """Base class: x_1..x_T from z_1..z_T, whose posterior is a Gaussian.

        -log p(x) <= KL(q(z | x) || p(z)) - E_q[log p(x | z)]

    Subclasses say what the posterior sees and what the steps are generated from.
    """

    Options = LatentSequenceOptions
    options: LatentSequenceOptions
    stochastic = True

    def __init__(self, channels: int, size: tuple[int, int], options: LatentSequenceOptions) -> None:
        super().__init__(channels, size, options)
        self.prior = _prior(options)
        self.kl_weight = 1.0
        self.stochastic = True

    @classmethod
    def settings_for(cls, options: Any, frames: int, classes: int | None) -> dict[str, Any]:
        """The bound covers every step."""
        return {"train.context": 0}

    @abstractmethod
    def recognise(self, frames: Tensor, valid: Tensor | None) -> tuple[Posterior, Any]:
        """What is told from frames (T, N, C, H, W): q(z), of (T, N, latent), and what else is seen."""

    @abstractmethod
    def generate(self, latents: Tensor, seen: Any, valid: Tensor | None) -> Moments:
        """What the steps follow, (T, N, C, H, W), given z, (T, N, latent), and what else is seen."""

    @property
    def latent_dropout(self) -> float:
        """The rate for z, the input of the generating network."""
        own = self.options.latent_dropout
        return self.options.dropout if own is None else own

    def posterior_of(self, of_steps: Gaussian, valid: Tensor | None) -> Posterior:
        """q(z) as the options have it, from what the recognition model says of every step."""
        if self.options.posterior == "chain":
            return WienerPosterior(of_steps, valid)
        return IndependentPosterior(of_steps, self.prior, valid)

    def follow(self, before: Tensor, of_step: Gaussian) -> Gaussian:
        """q(z_t | z_{t-1}), (N, latent), from z_{t-1} and what step t alone tells."""
        return WienerPosterior.after(before, of_step) if self.options.posterior == "chain" else of_step

    def walk(self, purpose: str) -> WienerPrior:
        """The prior. Raises `ConfigError` where it is none whose next step depends on the last one alone."""
        if not isinstance(self.prior, WienerPrior):
            raise ConfigError(f"{purpose} needs the prior 'wiener', got '{self.options.prior}'")
        return self.prior

    def begin_step(self, step: int) -> None:
        """Sets the weight of the KL term."""
        warmup = self.options.kl_warmup
        self.kl_weight = min(1.0, step / warmup) if warmup else 1.0

    def loss(
        self,
        frames: Tensor,
        context: int = 0,
        *,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The bound in nats a step, with one sample of z.

        Args:
            context: 0, for the bound covers every step.
            lengths: (N,) steps at the end that are the sequence; by default all.

        Raises:
            DataError: another context, or frames of another shape.
        """
        self.check_frames(frames, at_least=1)
        if context:
            raise DataError(f"the bound covers whole sequences, expected a context of 0, got {context}")
        frames = frames.transpose(0, 1)  # (T, N, C, H, W)
        valid = valid_steps(frames, lengths)
        posterior, seen = self.recognise(frames, valid)
        given = self.generate(posterior.sample(generator), seen, valid)
        steps = count_valid(frames, valid)
        nll = -over_valid(self.output.log_prob(given, frames), valid).sum() / steps
        kl = posterior.kl().sum() / steps
        weight = self.kl_weight if self.training else 1.0
        return {"loss": nll + weight * kl, "nll": nll.detach(), "kl": kl.detach()}

    @torch.no_grad()
    def bound(
        self,
        frames: Tensor,
        samples: int = 1,
        *,
        lengths: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Bound:
        """Bounds on -log p of each sequence (N, T, C, H, W), as `loss` takes them, from `samples` of z."""
        self.check_frames(frames, at_least=1)
        frames = frames.transpose(0, 1)
        valid = valid_steps(frames, lengths)
        posterior, seen = self.recognise(frames, valid)
        kl = posterior.kl().sum(dim=-1)
        likelihoods, weights = [], []
        for _ in range(samples):
            z = posterior.sample(generator)
            given = self.generate(z, seen, valid)
            likelihood = over_valid(self.output.log_prob(given, frames), valid)
            ratio = self.prior.log_prob(z, valid) - posterior.log_prob(z)
            likelihoods.append(likelihood)
            weights.append(likelihood + ratio.sum(dim=-1))
        weighted = math.log(samples) - torch.logsumexp(torch.stack(weights), dim=0)
        return Bound(kl - torch.stack(likelihoods).mean(dim=0), weighted)

    @torch.no_grad()
    def reconstruct(self, frames: Tensor, *, lengths: Tensor | None = None) -> Tensor:
        """What frames (N, T, C, H, W) are at the mode of the posterior (sections 4.2 and 4.3): the mean of
        every value, (N, T, C, H, W) in [0, 1].
        """
        self.check_frames(frames, at_least=1)
        frames = frames.transpose(0, 1)
        valid = valid_steps(frames, lengths)
        posterior, seen = self.recognise(frames, valid)
        return self.output.expected(self.generate(posterior.mean, seen, valid)).transpose(0, 1)

    @abstractmethod
    def fill(
        self, frames: Tensor, gap: slice, samples: int, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """What is expected in a gap of one sequence, from what is known before and after it.

        Args:
            frames: (T, C, H, W); what stands in the gap is not looked at.
            gap: the steps that are missing; at least one before and one after them is known.
            samples: how many draws are averaged.

        Returns:
            (steps of the gap, C, H, W) in [0, 1].

        Raises:
            ConfigError: the prior is none whose next step depends on the last one alone.
            DataError: nothing is known before or after the gap.
        """


def check_gap(gap: slice, steps: int) -> None:
    """Raises `DataError` unless the gap is one inside a sequence of so many steps."""
    if not 0 < gap.start < gap.stop < steps:
        raise DataError(
            f"a gap needs a known step before and after it, got steps {gap.start} to {gap.stop - 1} "
            f"of 0 to {steps - 1}"
        )


def _prior(options: LatentSequenceOptions) -> SequencePrior:
    """The prior that the options ask for. Raises `ConfigError` where they contradict each other."""
    wiener = options.prior == "wiener"
    if options.posterior == "chain" and not wiener:
        raise ConfigError(f"a posterior 'chain' needs the prior 'wiener', got '{options.prior}'")
    if options.prior_length is not None and options.prior not in ("rbf", "ornstein-uhlenbeck"):
        raise ConfigError(
            f"the prior '{options.prior}' has no length, got model.prior_length={options.prior_length:g}"
        )
    if wiener:
        if options.prior_jitter is not None:
            raise ConfigError(
                f"the prior 'wiener' has no jitter, got model.prior_jitter={options.prior_jitter:g}"
            )
        return WienerPrior()
    length = 10.0 if options.prior_length is None else options.prior_length
    return GaussianProcessPrior(options.prior, length=length, jitter=options.prior_jitter)


class PosteriorHead(nn.Module):
    """Hidden moments (..., inputs) -> what they tell of z, a Gaussian of (..., latent)."""

    def __init__(self, inputs: int, options: LatentSequenceOptions) -> None:
        super().__init__()
        rate, trainable = options.dropout, options.learn_dropout
        if options.spread == "dropout" and rate == 0 and not trainable:
            raise ConfigError("without dropout the posterior needs a spread of its own: model.spread=head")
        self.linear = FastDropoutLinear(inputs, options.latent, rate=rate, trainable=trainable)
        self.spread = nn.Linear(inputs, options.latent) if options.spread == "head" else None
        if options.posterior_std is not None:
            if self.spread is None:
                raise ConfigError("model.posterior_std needs a layer for it: model.spread=head")
            nn.init.constant_(self.spread.bias, math.log(math.expm1(options.posterior_std)))

    def forward(self, hidden: Moments) -> Gaussian:
        """The mean, and the standard deviation that `LatentSequenceOptions.spread` asks for."""
        given = self.linear(hidden)
        if self.spread is None:
            return Gaussian(given.mean, (given.var + SMALLEST_STD**2).sqrt())
        return Gaussian(given.mean, positive_std(self.spread(hidden.mean)))
