import numpy as np
import pytest
import torch

from vidpred import metrics
from vidpred.errors import ConfigError, DataError


def by_scikit_image(pred, target):
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    return structural_similarity(
        pred.numpy(),
        target.numpy(),
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
    )


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 32, 47), (1, 11, 12)])
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_strict_equals_scikit_image(shape, noise):
    generator = torch.Generator().manual_seed(5)
    target = torch.rand(4, *shape, generator=generator)
    pred = (target + noise * torch.randn(4, *shape, generator=generator)).clamp(0, 1)
    expected = [by_scikit_image(*pair) for pair in zip(pred.double(), target.double(), strict=True)]
    np.testing.assert_allclose(metrics.ssim(pred, target), expected, atol=1e-6)


def test_strict_equals_scikit_image_where_a_digit_stands_on_black():
    target, pred = torch.zeros(2, 1, 40, 40).unbind()
    target[0, 10:25, 12:20] = 1
    pred[0, 12:27, 13:21] = 0.8
    expected = by_scikit_image(pred.double(), target.double())
    assert metrics.ssim(pred, target).item() == pytest.approx(expected, abs=1e-6)


def test_one_window_follows_the_formula_of_wang_et_al():
    generator = np.random.default_rng(1)
    x, y = generator.random((2, 11, 11))
    distance = np.arange(-5, 6)
    weights = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 1.5**2))
    weights /= weights.sum()
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    variance_x, variance_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
    covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
    expected = ((2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)) / (
        (mean_x**2 + mean_y**2 + 1e-4) * (variance_x + variance_y + 9e-4)
    )
    value = metrics.ssim(torch.from_numpy(x)[None], torch.from_numpy(y)[None])
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_equal_frames_have_similarity_one():
    frames = torch.rand(3, 2, 20, 20)
    np.testing.assert_allclose(metrics.ssim(frames, frames), [1.0] * 3, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 10, 64), (1, 64, 10)])
def test_frames_smaller_than_the_window_are_refused(shape):
    with pytest.raises(DataError, match="at least 11x11 pixels, got"):
        metrics.ssim(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("metric", [metrics.ssim, metrics.psnr])
def test_an_unknown_convention_names_the_choices(metric):
    frames = torch.zeros(1, 16, 16)
    with pytest.raises(ConfigError, match=r"unknown convention 'strikt'; did you mean 'strict'\?.*choices"):
        metric(frames, frames, convention="strikt")
