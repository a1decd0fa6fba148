"""Moments of transfer functions against a quadrature with very many nodes, and their derivatives."""

import numpy as np
import pytest
import torch
from scipy.special import expit

from vidpred.nn.transfer import TRANSFERS, Moments, expected_sigmoid_logits

MEANS = np.linspace(-8, 8, 161)
CURVES = {"relu": lambda x: np.maximum(x, 0), "sigmoid": expit, "tanh": np.tanh, "identity": lambda x: x}
# Largest error of mean and variance that is allowed, for standard deviations up to 0.3, 1 and 2.
ALLOWED = {
    "identity": [(1e-6, 1e-6)] * 3,
    "relu": [(1e-6, 1e-6)] * 3,
    "sigmoid": [(5e-6, 1e-5), (3e-4, 3e-4), (8e-4, 6e-4)],
    "tanh": [(2e-4, 4e-4), (2e-3, 3e-3), (5e-3, 1.5e-2)],
}


def expectation(curve, std):
    """Mean and variance of the curve at normal arguments, by 20,001 nodes."""
    points = np.linspace(-10, 10, 20_001)
    weights = np.exp(-0.5 * points**2)
    weights /= weights.sum()
    values = curve(MEANS[:, None] + std * points)
    mean = values @ weights
    return mean, (values - mean[:, None]) ** 2 @ weights


def moments(std, means=MEANS):
    return Moments(torch.tensor(means), torch.full((len(means),), float(std) ** 2, dtype=torch.float64))


@pytest.mark.parametrize("name", CURVES)
def test_moments_are_those_of_an_exact_quadrature(name):
    for stds, (of_mean, of_var) in zip([(0.05, 0.3), (0.7, 1.0), (1.5, 2.0)], ALLOWED[name], strict=True):
        for std in stds:
            mean, var = expectation(CURVES[name], std)
            got = TRANSFERS[name](moments(std))
            assert abs(got.mean.numpy() - mean).max() < of_mean
            assert abs(got.var.numpy() - var).max() < of_var
            assert (got.var >= 0).all()


@pytest.mark.parametrize("name", CURVES)
def test_without_variance_a_transfer_function_is_the_plain_one(name):
    x = torch.linspace(-30, 30, 101)
    got = TRANSFERS[name](Moments.of(x))
    torch.testing.assert_close(got.mean, TRANSFERS[name].plain(x), rtol=1e-6, atol=2e-4)
    torch.testing.assert_close(got.var, torch.zeros(101), rtol=0, atol=2e-7)


@pytest.mark.parametrize("name", CURVES)
def test_derivatives_are_those_of_the_values(name):
    mean, var = (part.clone().requires_grad_() for part in moments(0.8, np.linspace(-3, 3, 13)))
    assert torch.autograd.gradcheck(lambda m, v: tuple(TRANSFERS[name](Moments(m, v))), (mean, var))


@pytest.mark.parametrize("name", CURVES)
def test_derivatives_are_finite_where_there_is_no_variance(name):
    mean = torch.tensor([-50.0, -1.0, 0.0, 1.0, 50.0], requires_grad=True)
    var = torch.zeros(5, requires_grad=True)
    got = TRANSFERS[name](Moments(mean, var))
    for gradient in torch.autograd.grad((got.mean + got.var).sum(), (mean, var)):
        assert gradient.isfinite().all()


def test_expected_logits_give_the_expected_probability():
    for std, allowed in ((0.1, 1e-8), (1, 1e-5), (2, 3e-5), (5, 5e-4)):
        logits = expected_sigmoid_logits(moments(std))
        assert abs(logits.sigmoid().numpy() - expectation(expit, std)[0]).max() < allowed


def test_expected_logits_are_right_where_the_probability_rounds_to_one():
    # E[σ(-x)] = E[exp(-x)] to rounding, so the logit is mean - variance / 2.
    x = Moments(torch.tensor([40.0, -40.0]), torch.tensor([0.25, 0.25]))
    torch.testing.assert_close(expected_sigmoid_logits(x), torch.tensor([39.875, -39.875]), rtol=1e-5, atol=0)


def test_expected_logits_have_the_right_derivative_and_never_lose_it():
    mean, var = (part.clone().requires_grad_() for part in moments(0.8, np.linspace(-3, 3, 13)))
    assert torch.autograd.gradcheck(lambda m, v: expected_sigmoid_logits(Moments(m, v)), (mean, var))
    far = torch.tensor([-1000.0, -100.0, 100.0, 1000.0], requires_grad=True)
    expected_sigmoid_logits(Moments.of(far)).sum().backward()
    torch.testing.assert_close(far.grad, torch.ones(4))


def test_moments_stay_in_full_precision_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        got = TRANSFERS["tanh"](Moments(torch.zeros(2, 3), torch.ones(2, 3)))
    assert (got.mean.dtype, got.var.dtype) == (torch.float32, torch.float32)
