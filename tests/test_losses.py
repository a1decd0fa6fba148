"""The terms of the losses against their definitions in float64."""

import itertools

import numpy as np
import pytest
import torch

from vidpred.losses import bernoulli_nll, flow_roughness, levels_nll, squared_error


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


def test_levels_are_chosen_in_nats_a_frame() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3 * 5, 4, 6, generator=generator, dtype=torch.float64)
    frames = torch.rand(2, 3, 4, 6, generator=generator, dtype=torch.float64)
    total = 0.0
    for n, color, y, x in itertools.product(range(2), range(3), range(4), range(6)):
        values = logits[n, 5 * color : 5 * color + 5, y, x].exp()
        nearest = min(range(5), key=lambda level: abs(frames[n, color, y, x].item() - level / 4))
        total -= (values[nearest] / values.sum()).log().item()
    assert levels_nll(logits, frames).item() == pytest.approx(total / 2)


def test_two_levels_are_a_bernoulli_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    logit = torch.randn(2, 1, 4, 5, generator=generator, dtype=torch.float64)
    frames = torch.randint(0, 2, (2, 1, 4, 5), generator=generator).double()
    both = torch.cat([torch.zeros_like(logit), logit], 1)
    torch.testing.assert_close(levels_nll(both, frames), bernoulli_nll(logit, frames))


def test_squared_error_a_frame() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, frames = torch.rand(2, 2, 3, 1, 4, 5, generator=generator, dtype=torch.float64)
    by_hand = sum(((predicted[n, t] - frames[n, t]) ** 2).sum() for n in range(2) for t in range(3)) / 6
    torch.testing.assert_close(squared_error(predicted, frames), by_hand)


@pytest.mark.parametrize("delta", [1e-3, 0.4, 100.0])
def test_roughness_is_the_huber_loss_of_the_stencils(delta: float) -> None:
    """The stencils of seed 001, eq. 3.8, by SciPy, on a flow that is zero outside."""
    from scipy.ndimage import correlate

    generator = torch.Generator().manual_seed(0)
    flow = torch.randn(2, 3, 2, 5, 7, generator=generator, dtype=torch.float64)
    along_x = np.array([[0, 0, 0], [-1, 0, 1], [0, 0, 0]])
    total = 0.0
    for field in flow.flatten(0, 2).numpy():
        for stencil in (along_x, along_x.T):
            a = np.abs(correlate(field, stencil, mode="constant"))
            total += np.where(a <= delta, a**2 / 2, delta * (a - delta / 2)).sum()
    assert flow_roughness(flow, delta).item() == pytest.approx(total / 6)


def test_a_constant_flow_is_rough_only_at_the_border() -> None:
    flow = torch.full((1, 2, 6, 8), 0.5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(flow_roughness(flow, delta=1.0), flow)
    assert not gradient[..., 2:-2, 2:-2].any()
    # Beyond each end of a row or column of either channel the flow falls from a half to zero.
    assert flow_roughness(flow, delta=1.0).item() == pytest.approx(2 * (2 * 6 + 2 * 8) * 0.5**2 / 2)
