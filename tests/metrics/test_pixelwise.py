import math

import numpy as np
import pytest
import torch

from vidpred import metrics
from vidpred.errors import DataError


@pytest.fixture
def frames():
    generator = torch.Generator().manual_seed(3)
    return torch.rand(2, 3, 5, 2, 7, 6, generator=generator).unbind()  # pred and target, (3, 5, C, H, W)


def test_squared_error_has_both_scales(frames):
    pred, target = frames
    errors = (pred.numpy().astype(np.float64) - target.numpy()) ** 2
    np.testing.assert_allclose(metrics.mse(pred, target), errors.mean((-3, -2, -1)), rtol=1e-6)
    np.testing.assert_allclose(metrics.mse_frame(pred, target), errors.sum((-3, -2, -1)), rtol=1e-6)


def test_absolute_error_has_both_scales(frames):
    pred, target = frames
    errors = np.abs(pred.numpy().astype(np.float64) - target.numpy())
    np.testing.assert_allclose(metrics.mae(pred, target), errors.mean((-3, -2, -1)), rtol=1e-6)
    np.testing.assert_allclose(metrics.mae_frame(pred, target), errors.sum((-3, -2, -1)), rtol=1e-6)


def test_cross_entropy_is_summed_over_the_frame(frames):
    pred, target = (tensor.numpy().astype(np.float64) for tensor in frames)
    nats = -(target * np.log(pred) + (1 - target) * np.log(1 - pred)).sum((-3, -2, -1))
    np.testing.assert_allclose(metrics.bce_frame(*frames), nats, rtol=1e-9)


def test_cross_entropy_of_a_coin_is_log_2_a_pixel():
    value = metrics.bce_frame(torch.full((3, 4, 5), 0.5), torch.ones(3, 4, 5))
    assert value.item() == pytest.approx(60 * math.log(2))


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_a_certain_pixel_that_is_wrong_costs_sixteen_nats(certain):
    pred = torch.full((1, 1, 1), certain)
    assert metrics.bce_frame(pred, 1 - pred).item() == pytest.approx(-math.log(1e-7), rel=1e-9)
    assert metrics.bce_frame(pred, pred).item() == pytest.approx(1e-7, rel=1e-6)


def test_psnr_is_in_decibels_below_a_peak_of_one():
    target = torch.zeros(2, 1, 4, 4)
    pred = torch.stack([torch.full((1, 4, 4), 0.1), torch.full((1, 4, 4), 1.0)])
    np.testing.assert_allclose(metrics.psnr(pred, target), [20.0, 0.0], atol=1e-6)


def test_psnr_of_equal_frames_is_a_hundred_decibels(frames):
    pred, _ = frames
    assert metrics.psnr(pred, pred).tolist() == [[100.0] * 5] * 3


@pytest.mark.parametrize("name", metrics.METRICS)
def test_every_metric_keeps_the_leading_dimensions_in_double_precision(name):
    pred = torch.rand(2, 3, 4, 1, 12, 13)
    value = metrics.METRICS[name].per_frame(pred, pred.roll(1, 0))
    assert (value.shape, value.dtype) == ((2, 3, 4), torch.float64)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_the_better_of_two_predictions_is_known_for_every_metric(name):
    metric = metrics.METRICS[name]
    target = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    near, far = target * 0.95 + 0.025, target * 0.5 + 0.25
    assert (metric.per_frame(near, target) > metric.per_frame(far, target)).item() is metric.higher_is_better


@pytest.mark.parametrize("name", metrics.METRICS)
def test_frames_of_different_shapes_are_refused(name):
    with pytest.raises(DataError, match=r"of one shape, got \(2, 1, 12, 12\) and \(1, 12, 12\)"):
        metrics.METRICS[name].per_frame(torch.zeros(2, 1, 12, 12), torch.zeros(1, 12, 12))


def test_errors_do_not_drift_over_a_large_frame():
    pred = torch.full((3, 512, 512), 0.1)
    value = metrics.mse_frame(pred, torch.zeros_like(pred)).item()
    assert value == pytest.approx(3 * 512**2 * float(np.float32(0.1)) ** 2, rel=1e-7)
