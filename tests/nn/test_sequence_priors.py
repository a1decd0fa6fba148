"""Priors over sequences against the full multivariate Gaussians of torch.distributions, in float64."""

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from vidpred.errors import ConfigError, DataError
from vidpred.nn.distributions import Gaussian
from vidpred.nn.sequence_priors import (
    KERNELS,
    GaussianProcessPrior,
    SequencePrior,
    WienerPosterior,
    WienerPrior,
)
from vidpred.ops import ShapeError

SCALE = 0.7


def correlation(name: str, steps: int, length: float = 3.0) -> torch.Tensor:
    """The covariance written out element by element, for a scale of 1."""
    kernel = {
        "wiener": lambda t, r: min(t, r),
        "rbf": lambda t, r: 2.718281828459045 ** (-((t - r) ** 2) / (2 * length**2)) + 1e-4 * (t == r),
        "ornstein-uhlenbeck": lambda t, r: 2.718281828459045 ** (-abs(t - r) / length),
        "white": lambda t, r: float(t == r),
    }[name]
    times = range(1, steps + 1)
    return torch.tensor([[float(kernel(t, r)) for r in times] for t in times], dtype=torch.float64)


def full(name: str, steps: int) -> MultivariateNormal:
    return MultivariateNormal(torch.zeros(steps, dtype=torch.float64), SCALE**2 * correlation(name, steps))


def priors() -> list[tuple[str, SequencePrior]]:
    by_kernel = [(name, GaussianProcessPrior(name, scale=SCALE, length=3.0)) for name in KERNELS]
    return [("wiener", WienerPrior(SCALE)), *by_kernel]


each_prior = pytest.mark.parametrize(
    ("name", "prior"), priors(), ids=lambda value: value if isinstance(value, str) else type(value).__name__
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def posterior(steps: int, batch: int = 3, dims: int = 2) -> Gaussian:
    return Gaussian(normal(steps, batch, dims), normal(steps, batch, dims, seed=1).abs() + 0.05)


def padded_by(*lengths: int, steps: int) -> torch.Tensor:
    return torch.arange(steps)[:, None] >= steps - torch.tensor(lengths)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_walk_between_two_values_is_what_the_full_gaussian_leaves(steps: int) -> None:
    """Mean and covariance of z_2, ..., z_{T-1} given z_1 and z_T, by the rules for Gaussians."""
    covariance = SCALE**2 * correlation("wiener", steps + 2)
    known, lost = [0, steps + 1], list(range(1, steps + 1))
    gain = covariance[lost][:, known] @ torch.linalg.inv(covariance[known][:, known])
    mean = gain @ torch.tensor([0.5, -2.0]).double()
    left = covariance[lost][:, lost] - gain @ covariance[known][:, lost]
    ends = (torch.full((200_000, 1), end, dtype=torch.float64) for end in (0.5, -2.0))
    walks = WienerPrior(SCALE).between(*ends, steps, torch.Generator().manual_seed(0))[..., 0]
    torch.testing.assert_close(walks.mean(1), mean, rtol=0, atol=0.01)
    torch.testing.assert_close(walks.cov().view(steps, steps), left, rtol=0, atol=0.01)


@each_prior
@pytest.mark.parametrize("steps", [1, 2, 13, 50])
def test_the_divergence_is_that_of_the_two_full_gaussians(
    name: str, prior: SequencePrior, steps: int
) -> None:
    q = posterior(steps)
    of_sequences = MultivariateNormal(q.mean.permute(1, 2, 0), torch.diag_embed(q.std.permute(1, 2, 0) ** 2))
    torch.testing.assert_close(prior.kl(q), kl_divergence(of_sequences, full(name, steps)))


@each_prior
@pytest.mark.parametrize("steps", [9, 50])
def test_sequences_of_different_length_count_from_their_first_step(
    name: str, prior: SequencePrior, steps: int
) -> None:
    q, z, lengths = posterior(steps), normal(steps, 3, 2, seed=5), (steps, steps // 2, 1)
    valid = padded_by(*lengths, steps=steps)
    # Whatever stands in the padding is of no consequence.
    q = Gaussian(*(part.masked_fill(~valid.unsqueeze(-1), 7.0) for part in q))
    divergence, density = prior.kl(q, valid), prior.log_prob(z, valid)
    for n, length in enumerate(lengths):
        mean, std = (part[steps - length :, n].T for part in q)
        alone = MultivariateNormal(mean, torch.diag_embed(std**2))
        torch.testing.assert_close(divergence[n], kl_divergence(alone, full(name, length)))
        torch.testing.assert_close(density[n], full(name, length).log_prob(z[steps - length :, n].T))


@each_prior
def test_the_density_is_that_of_the_full_gaussian(name: str, prior: SequencePrior) -> None:
    z = normal(20, 3, 2)
    torch.testing.assert_close(prior.log_prob(z), full(name, 20).log_prob(z.permute(1, 2, 0)))


@each_prior
def test_samples_have_the_covariance(name: str, prior: SequencePrior) -> None:
    like = torch.zeros(1, dtype=torch.float64)
    draws = prior.sample(6, 50_000, 2, like=like, generator=torch.Generator().manual_seed(0))
    assert draws.shape == (6, 50_000, 2)
    assert draws.dtype == torch.float64
    expected = SCALE**2 * correlation(name, 6)
    spread = expected.diagonal().max()
    torch.testing.assert_close(draws.flatten(1).cov() / spread, expected / spread, rtol=0, atol=0.02)
    assert draws.mean().abs() < 0.02


@each_prior
@pytest.mark.parametrize("past", [0, 1, 5])
def test_it_goes_on_as_the_conditional_gaussian(name: str, prior: SequencePrior, past: int) -> None:
    z, steps = normal(past, 40_000, 1, seed=3), 4
    z[:] = z[:, :1]  # one past, continued many times
    covariance = SCALE**2 * correlation(name, past + steps)
    seen, cross, rest = covariance[:past, :past], covariance[past:, :past], covariance[past:, past:]
    gain = torch.linalg.solve(seen, cross.T).T
    mean, spread = gain @ z[:, 0], rest - gain @ cross.T
    likely = prior.continue_from(z, steps, sample=False)
    torch.testing.assert_close(likely[:, 0], mean, rtol=1e-6, atol=1e-6)
    draws = prior.continue_from(z, steps, torch.Generator().manual_seed(1)).squeeze(-1)
    largest = spread.diagonal().max()
    torch.testing.assert_close(draws.mean(1, keepdim=True), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(draws.cov() / largest, spread / largest, rtol=0, atol=0.04)


def test_a_seed_gives_the_same_sequences_again() -> None:
    for _, prior in priors():
        one, two = (prior.sample(3, 2, 2, generator=torch.Generator().manual_seed(4)) for _ in range(2))
        assert torch.equal(one, two)


@each_prior
def test_gradients_are_right_and_finite_at_tiny_deviations(name: str, prior: SequencePrior) -> None:
    valid = padded_by(4, 2, steps=4)
    mean, std = (part.requires_grad_() for part in posterior(4, 2, 1))
    assert torch.autograd.gradcheck(lambda m, s: prior.kl(Gaussian(m, s), valid), (mean, std))
    tiny = torch.full((100, 1, 1), 1e-6, requires_grad=True)
    divergence = prior.kl(Gaussian(torch.zeros(100, 1, 1), tiny))
    divergence.sum().backward()
    assert divergence.dtype == torch.float32
    assert divergence.isfinite().all()
    assert tiny.grad is not None
    assert tiny.grad.isfinite().all()


def test_long_walks_are_exact_in_single_precision() -> None:
    steps = 10_000
    q = posterior(steps, 1, 1)
    exact = WienerPrior().kl(q)
    single = WienerPrior().kl(Gaussian(q.mean.float(), q.std.float()))
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=0)


def test_a_longer_sequence_before_changes_nothing() -> None:
    """What is computed for the longest sequence serves the shorter ones."""
    q, fresh, used = posterior(7, 2, 3), GaussianProcessPrior("rbf"), GaussianProcessPrior("rbf")
    used.sample(30, 1, 1)
    torch.testing.assert_close(used.kl(q), fresh.kl(q), rtol=1e-9, atol=0)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'wiener'"):
        GaussianProcessPrior("winer")
    with pytest.raises(ConfigError, match="scale of a prior must be positive, got 0"):
        WienerPrior(0)
    with pytest.raises(ConfigError, match="length of a prior must be positive, got -1"):
        GaussianProcessPrior("rbf", length=-1)
    with pytest.raises(ConfigError, match=r"jitter .* got -1"):
        GaussianProcessPrior("rbf", jitter=-1)
    with pytest.raises(ConfigError, match=r"'rbf' over 40 steps is singular.*got 0.0 and 10"):
        GaussianProcessPrior("rbf", jitter=0.0, length=10).sample(40, 1, 1)
    with pytest.raises(ShapeError, match=r"\(T, N, D\), got \(2, 3\)"):
        WienerPrior().log_prob(torch.zeros(2, 3))
    with pytest.raises(ShapeError, match=r"valid must have shape \(2, 3\), got \(3, 2\)"):
        WienerPrior().log_prob(torch.zeros(2, 3, 4), torch.ones(3, 2, dtype=torch.bool))
    hole = torch.tensor([[True], [False], [True]])
    for _, prior in priors():
        with pytest.raises(DataError, match="padding after one"):
            prior.kl(posterior(3, 1, 1), hole)


def chain(m: torch.Tensor, r: torch.Tensor) -> MultivariateNormal:
    """One component, (T,) each: step t comes from the one before and from what is seen of it."""
    steps = len(m)
    v = r**2 / (1 + r**2)
    factor = torch.eye(steps, dtype=torch.float64)
    for t in range(1, steps):
        factor[t, t - 1] = -v[t]
    inverse = torch.linalg.inv(factor)  # z = inverse ((1 - v) m + sqrt(v) noise)
    return MultivariateNormal(inverse @ ((1 - v) * m), inverse @ torch.diag(v) @ inverse.T)


@pytest.mark.parametrize("steps", [1, 2, 13, 50])
def test_the_chain_is_a_full_gaussian(steps: int) -> None:
    seen = posterior(steps)
    q = WienerPosterior(seen)
    z = normal(steps, 3, 2, seed=4)
    wiener = MultivariateNormal(torch.zeros(steps).double(), correlation("wiener", steps))
    for n in range(3):
        for d in range(2):
            expected = chain(seen.mean[:, n, d], seen.std[:, n, d])
            torch.testing.assert_close(q.kl()[n, d], kl_divergence(expected, wiener))
            torch.testing.assert_close(q.log_prob(z)[n, d], expected.log_prob(z[:, n, d]))
            torch.testing.assert_close(q.mean[:, n, d], expected.mean)


def test_samples_of_the_chain_have_its_covariance() -> None:
    seen = Gaussian(*(part.expand(5, 40_000, 1) for part in posterior(5, batch=1, dims=1)))
    drawn = WienerPosterior(seen).sample(torch.Generator().manual_seed(0))[..., 0]
    expected = chain(seen.mean[:, 0, 0], seen.std[:, 0, 0])
    torch.testing.assert_close(drawn.mean(dim=1), expected.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(drawn), expected.covariance_matrix, atol=0.03, rtol=0)


def test_a_chain_that_sees_nothing_is_the_prior_and_costs_nothing() -> None:
    blind = Gaussian(normal(9, 3, 2), torch.full((9, 3, 2), 1e9, dtype=torch.float64))
    assert WienerPosterior(blind).kl().abs().max() < 1e-9
    cheapest = Gaussian(torch.zeros(9, 3, 2).double(), torch.full((9, 3, 2), 0.5**0.5).double())
    independent = WienerPrior().kl(cheapest)
    torch.testing.assert_close(independent, torch.full((3, 2), 9 * 0.5 * 0.6931471805599453 - 0.25).double())


def test_a_padded_chain_begins_at_its_first_step() -> None:
    seen, z = posterior(9), normal(9, 3, 2, seed=5)
    valid = padded_by(9, 4, 1, steps=9)
    q = WienerPosterior(seen, valid)
    drawn = q.sample(torch.Generator().manual_seed(0))
    assert (drawn[~valid] == 0).all()
    for n, length in enumerate((9, 4, 1)):
        alone = WienerPosterior(Gaussian(*(part[9 - length :, n : n + 1] for part in seen)))
        torch.testing.assert_close(q.kl()[n], alone.kl()[0])
        torch.testing.assert_close(q.log_prob(z)[n], alone.log_prob(z[9 - length :, n : n + 1])[0])
        torch.testing.assert_close(q.mean[9 - length :, n], alone.mean[:, 0])


def test_gradients_of_a_padded_chain_are_finite() -> None:
    mean, std = normal(6, 2, 1).requires_grad_(), torch.full((6, 2, 1), 1e-4).double().requires_grad_()
    q = WienerPosterior(Gaussian(mean, std), padded_by(6, 2, steps=6))
    (q.kl().sum() + q.sample().square().sum() + q.log_prob(q.sample()).sum()).backward()
    assert mean.grad is not None
    assert std.grad is not None
    assert mean.grad.isfinite().all()
    assert std.grad.isfinite().all()
