"""The diagonal Gaussian against torch.distributions, and its samples against its moments."""

import torch
from torch.distributions import Normal, kl_divergence

from vidpred.nn.distributions import Gaussian, GaussianHead


def gaussian(seed: int) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    return Gaussian(mean, torch.rand(6, 4, generator=generator, dtype=torch.float64) + 0.1)


def test_divergence_equals_that_of_torch_distributions() -> None:
    q, p = gaussian(1), gaussian(2)
    torch.testing.assert_close(q.kl_from(p), kl_divergence(Normal(*q), Normal(*p)))


def test_samples_have_the_mean_and_the_standard_deviation() -> None:
    q = Gaussian(torch.full((200_000,), 3.0), torch.full((200_000,), 0.5))
    draws = q.sample(torch.Generator().manual_seed(0))
    assert abs(draws.mean().item() - 3) < 0.01
    assert abs(draws.std().item() - 0.5) < 0.01


def test_the_head_keeps_the_divergence_finite_where_softplus_underflows() -> None:
    head = GaussianHead(1, 1)
    torch.nn.init.constant_(head.spread.bias, -1e4)
    q = head(torch.zeros(1, 1))
    assert q.std.item() > 0
    assert torch.isfinite(q.kl_from(Gaussian(torch.zeros(1, 1), torch.ones(1, 1)))).all()


def test_the_head_answers_in_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        q = GaussianHead(3, 2)(torch.zeros(1, 3))
    assert (q.mean.dtype, q.std.dtype) == (torch.float32, torch.float32)
