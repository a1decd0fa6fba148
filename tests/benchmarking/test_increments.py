"""benchmarks/increments.py: the other reading of the divergence of seed 003."""

from pathlib import Path

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vidpred.nn.distributions import Gaussian
from vidpred.nn.sequence_priors import WienerPrior


@pytest.fixture
def prior(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import increments

    return increments.Increments()


def posterior(steps):
    generator = torch.Generator().manual_seed(0)
    draws = (torch.randn(steps, 2, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    mean, spread = draws
    return Gaussian(mean.requires_grad_(), (spread.abs() + 0.1).detach().requires_grad_())


def test_it_is_the_divergence_of_increments_that_are_independent(prior):
    q, lengths = posterior(5), (5, 3)
    valid = torch.arange(5)[:, None] >= 5 - torch.tensor(lengths)
    found = prior.kl(q, valid)
    for n, length in enumerate(lengths):
        mean, var, expected = torch.zeros(3), torch.zeros(3), torch.zeros(3).double()
        for t in range(5 - length, 5):
            increment = Normal(q.mean[t, n] - mean, (q.std[t, n] ** 2 + var).sqrt())
            expected = expected + kl_divergence(increment, Normal(0.0, 1.0))
            mean, var = q.mean[t, n], q.std[t, n] ** 2
        torch.testing.assert_close(found[n], expected)
    gradients = torch.autograd.grad(found.sum(), q)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_it_is_less_than_the_divergence_but_for_a_single_step(prior):
    assert (prior.kl(posterior(6)) < WienerPrior().kl(posterior(6))).all()
    torch.testing.assert_close(prior.kl(posterior(1)), WienerPrior().kl(posterior(1)))
