"""The cross-entropy against its definition in float64."""

import torch

from vidpred.losses import bernoulli_nll


def test_nats_a_frame() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 1, 4, 5, generator=generator, dtype=torch.float64)
    frames = torch.rand(2, 3, 1, 4, 5, generator=generator, dtype=torch.float64)
    p = 1 / (1 + (-logits).exp())
    by_hand = -(frames * p.log() + (1 - frames) * (1 - p).log()).sum() / (2 * 3)
    torch.testing.assert_close(bernoulli_nll(logits, frames), by_hand)


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([1e4, -1e4]).view(1, 1, 1, 2)
    assert bernoulli_nll(logits, torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)).item() == 2e4
