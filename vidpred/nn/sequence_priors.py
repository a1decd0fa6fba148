"""Priors over sequences of latent variables, (T, N, D), with independent components (seed 003, sec. 3.3).

Sequences of a batch may differ in length: `valid`, (T, N), is False where one is padded, which is before its
first step only. The process starts with that first valid step.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vidpred.errors import ConfigError, DataError, unknown_name
from vidpred.nn.distributions import LOG_ROOT_TAU, Gaussian, standard_normal_like
from vidpred.ops import ShapeError


class SequencePrior(ABC):
    """A process with mean 0 that a latent variable follows over time."""

    @abstractmethod
    def kl(self, posterior: Gaussian, valid: Tensor | None = None) -> Tensor:
        """KL(posterior || prior) of whole sequences, in nats.

        Args:
            posterior: of (T, N, D), independent over time.
            valid: (T, N), False at padding.

        Returns:
            (N, D).

        Raises:
            ShapeError: tensors of other shapes.
            DataError: padding after the first valid step.
        """

    @abstractmethod
    def log_prob(self, z: Tensor, valid: Tensor | None = None) -> Tensor:
        """The logarithm of the density at sequences (T, N, D), (N, D) in nats. Raises as `kl` does."""

    @abstractmethod
    def sample(
        self,
        steps: int,
        batch: int,
        dims: int,
        *,
        like: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Sequences drawn from the prior, (steps, batch, dims), of the dtype and device of `like`."""

    @abstractmethod
    def continue_from(
        self, z_past: Tensor, steps: int, generator: torch.Generator | None = None, sample: bool = True
    ) -> Tensor:
        """How the prior goes on: (T0, N, D), no padding, -> (steps, N, D).

        Drawn from the distribution that z_past leaves, or with ``sample=False`` the mean of that.
        """


class WienerPrior(SequencePrior):
    """z_1 ~ N(0, scale²) and z_t - z_{t-1} ~ N(0, scale²): covariance scale² min(t, r).

    The KL takes O(T). The map g(z) = (z_1, z_2 - z_1, ...) has determinant 1, and a KL does not change under
    an invertible map, so that of the sequences is that of their increments; those are white under the prior.
    They are *not* independent under the posterior, where neighbouring increments share a z_t, but the KL from
    a white Gaussian needs only their means and variances, and the determinant::

        KL = Σ_t ½ [((μ_t - μ_{t-1})² + s_t² + s_{t-1}²) / scale² - 1] - log (s_t / scale),   μ_0 = s_0 = 0

    To treat the increments as independent too (a way to read the seed's "transforming that Gaussian") would
    put log √(s_t² + s_{t-1}²) for log s_t, which is smaller and no bound.

    Raises:
        ConfigError: the scale is not positive.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = _positive("scale", scale)

    def kl(self, posterior: Gaussian, valid: Tensor | None = None) -> Tensor:
        """See `SequencePrior.kl`."""
        _check(posterior.mean, valid)
        mean, std = posterior
        var = std.square()
        moved = (mean - _before(mean, valid)).square() + var + _before(var, valid)
        terms = 0.5 * (moved / self.scale**2 - 1) - (std / self.scale).log()
        return _sum_over(terms, valid)

    def log_prob(self, z: Tensor, valid: Tensor | None = None) -> Tensor:
        """See `SequencePrior.log_prob`."""
        _check(z, valid)
        increments = (z - _before(z, valid)) / self.scale
        return _sum_over(-0.5 * increments.square() - math.log(self.scale) - LOG_ROOT_TAU, valid)

    def sample(
        self,
        steps: int,
        batch: int,
        dims: int,
        *,
        like: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """See `SequencePrior.sample`."""
        return self.scale * _noise(steps, batch, dims, like, generator).cumsum(0)

    def continue_from(
        self, z_past: Tensor, steps: int, generator: torch.Generator | None = None, sample: bool = True
    ) -> Tensor:
        """See `SequencePrior.continue_from`."""
        _check(z_past, None)
        last = z_past[-1] if len(z_past) else z_past.new_zeros(z_past.shape[1:])
        walk = last.expand(steps, *last.shape)
        if not sample:
            return walk
        batch, dims = last.shape
        return walk + self.sample(steps, batch, dims, like=last, generator=generator)

    def between(
        self, before: Tensor, after: Tensor, steps: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """How the process went from one value to another: a Brownian bridge.

        Args:
            before, after: (N, D), z_t and z_{t + steps + 1}.

        Returns:
            (steps, N, D), drawn from the distribution that the two leave to what is between.
        """
        z, walk = before, []
        batch, dims = before.shape
        every = _noise(steps, batch, dims, before, generator)
        for noise, left in zip(every, range(steps, 0, -1), strict=True):
            z = z + (after - z) / (left + 1) + self.scale * math.sqrt(left / (left + 1)) * noise
            walk.append(z)
        return torch.stack(walk)


class IndependentPosterior:
    """A Gaussian that is independent over time, (T, N, D), and the prior it is measured by; seed 003.

    Attributes:
        mean: (T, N, D), of z under q, also its mode.
    """

    def __init__(self, of_steps: Gaussian, prior: SequencePrior, valid: Tensor | None = None) -> None:
        self.mean = of_steps.mean
        self._of_steps, self._prior, self._valid = of_steps, prior, valid

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw, (T, N, D), by the reparameterisation trick."""
        return self._of_steps.sample(generator)

    def kl(self) -> Tensor:
        """KL(q || prior) of whole sequences, (N, D) nats."""
        return self._prior.kl(self._of_steps, self._valid)

    def log_prob(self, z: Tensor) -> Tensor:
        """The logarithm of the density at sequences (T, N, D), (N, D) in nats."""
        return _sum_over(self._of_steps.log_prob(z), self._valid)


class WienerPosterior:
    """A Markov chain whose every step is that of the Wiener process (scale 1), weighed with what that step
    alone tells, a look at z_t through Gaussian noise; later steps are not looked at::

        q(z_t | z_{t-1}) ∝ N(z_t; z_{t-1}, 1) N(z_t; m_t, r_t²),   z_0 = 0
        z_t = v_t z_{t-1} + (1 - v_t) m_t + √v_t ε,                v_t = r_t² / (1 + r_t²)

    Where a step tells nothing (v = 1) it is the prior and costs nothing, where it tells all (v = 0), m_t.
    A posterior that is independent over time has to pay for every z_t but the last at least log √2 nats,
    however little it tells, because the prior's are not: that is its divergence at the best standard
    deviation, 1/√2. (Ours; seed 003 has the independent one.)

    Args:
        seen: m and r, of (T, N, D).
        valid: (T, N), False at padding, which is before the first step only.

    Attributes:
        mean: (T, N, D), of z under q, also its mode; 0 at padding.

    Raises:
        ShapeError, DataError: as `SequencePrior.kl`.
    """

    def __init__(self, seen: Gaussian, valid: Tensor | None = None) -> None:
        _check(seen.mean, valid)
        ratio = seen.std.square()
        self._valid = valid
        self._keep = ratio / (1 + ratio)  # v
        self._pull = seen.mean / (1 + ratio)  # (1 - v) m
        if valid is not None:
            self._keep = self._keep.masked_fill(~valid.unsqueeze(-1), 0)
            self._pull = self._pull.masked_fill(~valid.unsqueeze(-1), 0)
        self._toward = seen.mean
        self.mean = _recur(self._keep, self._pull)

    @staticmethod
    def after(before: Tensor, seen: Gaussian) -> Gaussian:
        """q(z_t | z_{t-1}), (N, D), from z_{t-1} and what step t alone tells, each (N, D)."""
        keep = seen.std.square() / (1 + seen.std.square())
        return Gaussian(keep * before + (1 - keep) * seen.mean, keep.sqrt())

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw, (T, N, D), by the reparameterisation trick; 0 at padding."""
        noise = standard_normal_like(self._pull, generator)
        return _recur(self._keep, self._pull + self._root() * noise)

    def kl(self) -> Tensor:
        """KL(q || Wiener process) of whole sequences in closed form, (N, D) nats, O(T)::

            Σ_t ½ [v_t - 1 - log v_t + (1 - v_t)² ((m_t - M_{t-1})² + S_{t-1})]

        with M_t and S_t the mean and variance of z_t: S_t = v_t² S_{t-1} + v_t.
        """
        variance = _recur(self._keep.square(), self._keep)
        away = (self._toward - _before(self.mean, self._valid)).square() + _before(variance, self._valid)
        moved = (1 - self._keep).square() * away
        terms = 0.5 * (self._keep - 1 - self._log_keep() + moved)
        return _sum_over(terms, self._valid)

    def log_prob(self, z: Tensor) -> Tensor:
        """The logarithm of the density at sequences (T, N, D), (N, D) in nats."""
        away = z - self._keep * _before(z, self._valid) - self._pull
        safe = self._log_keep()
        terms = -0.5 * away.square() * (-safe).exp() - 0.5 * safe - LOG_ROOT_TAU
        return _sum_over(terms, self._valid)

    def _root(self) -> Tensor:
        """√v, 0 at padding."""
        return (0.5 * self._log_keep()).exp() * (1 if self._valid is None else self._valid.unsqueeze(-1))

    def _log_keep(self) -> Tensor:
        """log v, 0 at padding."""
        keep = self._keep if self._valid is None else self._keep.masked_fill(~self._valid.unsqueeze(-1), 1)
        return keep.log()


class GaussianProcessPrior(SequencePrior):
    """A Gaussian process with a kernel k(t, r) over the steps t, r = 1, 2, ... (seed 003, sec. 3.3).

    The Cholesky factor is computed once for the longest sequence, O(T³), in float64; a sequence then costs
    O(T²). That suits some hundred steps.

    Args:
        kernel: a name in `KERNELS`.
        scale: standard deviation of a component at a step (after the first step for ``wiener``).
        length: of the correlation in steps, for ``rbf`` and ``ornstein-uhlenbeck``.
        jitter: variance of a white noise that is part of the process, in units of scale²; absent: the
            kernel's own. The ``rbf`` needs some: without it the covariance cannot be factored.

    Raises:
        ConfigError: an unknown kernel, a scale or length that is not positive, or a negative jitter.
    """

    def __init__(
        self, kernel: str, *, scale: float = 1.0, length: float = 10.0, jitter: float | None = None
    ) -> None:
        if kernel not in KERNELS:
            raise unknown_name("kernel", kernel, KERNELS)
        self.kernel = kernel
        self.scale = _positive("scale", scale)
        self.length = _positive("length", length)
        self.jitter = KERNELS[kernel].jitter if jitter is None else jitter
        if self.jitter < 0:
            raise ConfigError(f"the jitter of a prior must be >= 0, got {jitter}")
        self._factors: dict[torch.device, _Factor] = {}

    def covariance(self, steps: int) -> Tensor:
        """Of a component over the steps 1..steps, (steps, steps), float64."""
        t = torch.arange(1, steps + 1, dtype=torch.float64, device="cpu")
        correlation = KERNELS[self.kernel].function(t[:, None], t, self.length)
        return self.scale**2 * (correlation + self.jitter * torch.eye(steps, dtype=t.dtype, device="cpu"))

    def kl(self, posterior: Gaussian, valid: Tensor | None = None) -> Tensor:
        """See `SequencePrior.kl`."""
        _check(posterior.mean, valid)
        mean, std = (_from_first(part.double(), valid) for part in posterior)
        factor = self._factor(len(mean), mean.device)
        distance = _along_time(factor.whitening, mean).square()
        distance = distance + _along_time(factor.whitening.square(), std.square())
        terms = 0.5 * (distance - 1) + factor.log_diagonal - std.log()
        return _sum_over(terms, _first_steps(valid)).to(posterior.mean.dtype)

    def log_prob(self, z: Tensor, valid: Tensor | None = None) -> Tensor:
        """See `SequencePrior.log_prob`."""
        _check(z, valid)
        factor = self._factor(len(z), z.device)
        white = _along_time(factor.whitening, _from_first(z.double(), valid))
        terms = -0.5 * white.square() - factor.log_diagonal - LOG_ROOT_TAU
        return _sum_over(terms, _first_steps(valid)).to(z.dtype)

    def sample(
        self,
        steps: int,
        batch: int,
        dims: int,
        *,
        like: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """See `SequencePrior.sample`."""
        noise = _noise(steps, batch, dims, like, generator)
        return _along_time(self._factor(steps, noise.device).lower, noise.double()).to(noise.dtype)

    def continue_from(
        self, z_past: Tensor, steps: int, generator: torch.Generator | None = None, sample: bool = True
    ) -> Tensor:
        """See `SequencePrior.continue_from`."""
        _check(z_past, None)
        past = len(z_past)
        factor = self._factor(past + steps, z_past.device)
        # z = L e with white e; what of e belongs to the past is known, the rest is new.
        white = _along_time(factor.whitening[:past, :past], z_past.double())
        future = _along_time(factor.lower[past:, :past], white)
        if sample:
            batch, dims = z_past.shape[1:]
            noise = _noise(steps, batch, dims, z_past, generator).double()
            future = future + _along_time(factor.lower[past:, past:], noise)
        return future.to(z_past.dtype)

    def _factor(self, steps: int, device: torch.device) -> _Factor:
        known = self._factors.get(device)
        if known is None or len(known.lower) < steps:
            lower, failed = torch.linalg.cholesky_ex(self.covariance(steps))
            if failed:
                raise ConfigError(
                    f"the covariance of the kernel '{self.kernel}' over {steps} steps is singular: "
                    f"it needs a larger jitter or a smaller length, got {self.jitter} and {self.length}"
                )
            whitening = torch.linalg.solve_triangular(lower, torch.eye(steps).to(lower), upper=False)
            log_diagonal = lower.diagonal().log().view(-1, 1, 1)
            known = _Factor(*(part.to(device) for part in (lower, whitening, log_diagonal)))
            self._factors[device] = known
        return _Factor(
            known.lower[:steps, :steps], known.whitening[:steps, :steps], known.log_diagonal[:steps]
        )


class _Factor(NamedTuple):
    """What a Gaussian process needs for T steps. The leading n rows and columns are those for n steps."""

    lower: Tensor  # (T, T), L with L L^T the covariance
    whitening: Tensor  # (T, T), the inverse of L
    log_diagonal: Tensor  # (T, 1, 1), of L


class Kernel(NamedTuple):
    """k(t, r) for a scale of 1."""

    function: Callable[[Tensor, Tensor, float], Tensor]
    """(t, r, length) -> the covariance of the steps t and r."""
    jitter: float
    """Variance of the noise that is added where nothing else is said."""


KERNELS = {
    "wiener": Kernel(lambda t, r, _: torch.minimum(t, r), 0.0),
    "rbf": Kernel(lambda t, r, length: (-0.5 * ((t - r) / length) ** 2).exp(), 1e-4),
    "ornstein-uhlenbeck": Kernel(lambda t, r, length: (-(t - r).abs() / length).exp(), 0.0),
    "white": Kernel(lambda t, r, _: (t == r).to(t.dtype), 0.0),
}
"""The kernels by name: a random walk, a smooth process, a mean-reverting one, independent steps."""


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ConfigError(f"the {name} of a prior must be positive, got {value}")
    return value


def _check(z: Tensor, valid: Tensor | None) -> None:
    if z.dim() != 3:
        raise ShapeError(f"prior: sequences must have shape (T, N, D), got {tuple(z.shape)}")
    if valid is None:
        return
    if valid.shape != z.shape[:2]:
        raise ShapeError(f"prior: valid must have shape {tuple(z.shape[:2])}, got {tuple(valid.shape)}")
    if (valid[:-1] & ~valid[1:]).any():
        raise DataError("prior: a sequence may be padded before its first step only, found padding after one")


def _before(x: Tensor, valid: Tensor | None) -> Tensor:
    """x_{t-1} for every t, and 0 before the first valid step."""
    before = torch.cat([torch.zeros_like(x[:1]), x[:-1]])
    if valid is None:
        return before
    first = valid & ~torch.cat([torch.zeros_like(valid[:1]), valid[:-1]])
    return before.masked_fill(first.unsqueeze(-1), 0)


def _recur(keep: Tensor, given: Tensor) -> Tensor:
    """x_t = keep_t x_{t-1} + given_t from x_0 = 0, for (T, N, D)."""
    x, steps = torch.zeros_like(given[0]), []
    for factor, term in zip(keep.unbind(), given.unbind(), strict=True):
        x = torch.addcmul(term, factor, x)
        steps.append(x)
    return torch.stack(steps)


def _sum_over(terms: Tensor, valid: Tensor | None) -> Tensor:
    """(T, N, D) -> (N, D), over the valid steps."""
    return (terms if valid is None else terms.masked_fill(~valid.unsqueeze(-1), 0)).sum(0)


def _first_steps(valid: Tensor | None) -> Tensor | None:
    """`valid` when the padding has moved behind the sequences."""
    return None if valid is None else valid.flip(0)


def _from_first(x: Tensor, valid: Tensor | None) -> Tensor:
    """Moves sequences (T, N, D) to the front, padding behind them; what stands there no longer matters."""
    if valid is None:
        return x
    time = torch.arange(len(x), device=x.device).unsqueeze(1) + (~valid).sum(0)
    return x.gather(0, (time % max(len(x), 1)).unsqueeze(-1).expand_as(x))


def _along_time(matrix: Tensor, x: Tensor) -> Tensor:
    """(S, T) and (T, N, D) -> (S, N, D)."""
    return (matrix @ x.flatten(1)).unflatten(1, x.shape[1:])


def _noise(
    steps: int, batch: int, dims: int, like: Tensor | None, generator: torch.Generator | None
) -> Tensor:
    if like is None:
        return torch.randn(steps, batch, dims, generator=generator)
    return standard_normal_like(like.new_empty(steps, batch, dims), generator)
