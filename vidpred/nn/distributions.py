"""The Gaussian with a diagonal covariance that latent variables follow."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred.nn.initialization import glorot


class Gaussian(NamedTuple):
    """Independent normal distributions: mean and standard deviation, each (..., D)."""

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """mean + std * noise, one draw for every element (the reparameterisation trick)."""
        return self.mean + self.std * standard_normal_like(self.mean, generator)

    def kl_from(self, prior: Gaussian) -> Tensor:
        """KL(self || prior) of every element, (..., D), in nats."""
        ratio = self.std / prior.std
        shift = (self.mean - prior.mean) / prior.std
        return 0.5 * (ratio**2 + shift**2 - 1) - ratio.log()

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the density of every element, (..., D)."""
        return -0.5 * ((x - self.mean) / self.std) ** 2 - self.std.log() - LOG_ROOT_TAU


LOG_ROOT_TAU = 0.5 * math.log(2 * math.pi)
"""The logarithm of what normalises a standard normal density."""


class GaussianHead(nn.Module):
    """Two linear layers that give a Gaussian's mean and, through softplus, its standard deviation."""

    def __init__(self, features: int, latent: int) -> None:
        super().__init__()
        self.mean = glorot(nn.Linear(features, latent))
        self.spread = glorot(nn.Linear(features, latent))

    def forward(self, x: Tensor) -> Gaussian:
        """(..., features) -> Gaussian of (..., latent)."""
        return Gaussian(at_least_single(self.mean(x)), positive_std(self.spread(x)))


def positive_std(spread: Tensor) -> Tensor:
    """What a layer says of the standard deviations, any number, -> softplus(spread) + `SMALLEST_STD`."""
    return F.softplus(at_least_single(spread)) + SMALLEST_STD


def at_least_single(x: Tensor) -> Tensor:
    """Under autocast layers answer in half precision, too coarse for a divergence: the same as float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


SMALLEST_STD = 1e-4
"""Added to every standard deviation: a softplus can underflow to zero, and the KL divides by it."""


def standard_normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal noise of the shape, type and device of `x`."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
