import numpy as np
import pytest
import torch

from vidpred import metrics
from vidpred.errors import ConfigError, DataError

PUBLISHED = ("openstl", "convtt", "predrnn", "svg")
PIXELS = (-3, -2, -1)


@pytest.fixture(params=[(1, 64, 64), (3, 33, 46), (3, 7, 7), (1, 9, 7)], ids=str)
def frames(request):
    """pred and target, (4, C, H, W) float32; some of the predictions leave [0, 1]."""
    generator = torch.Generator().manual_seed(11)
    target = torch.rand(4, *request.param, generator=generator)
    noise = torch.tensor([0.01, 0.1, 0.3, 0.6]).view(4, 1, 1, 1)
    return target + noise * torch.randn(target.shape, generator=generator), target


def as_float64(frames):
    return (tensor.numpy().astype(np.float64) for tensor in frames)


@pytest.mark.parametrize(
    ("convention", "clips", "reduce"),
    [
        ("strict", False, np.mean),
        ("openstl", False, np.sum),
        ("convtt", True, np.mean),
        ("predrnn", True, np.sum),
        ("svg", False, np.mean),
    ],
)
def test_errors_are_summed_or_averaged_and_clipped_or_not(frames, convention, clips, reduce):
    pred, target = as_float64(frames)
    assert pred.min() < 0
    assert pred.max() > 1
    error = (pred.clip(0, 1) if clips else pred) - target
    squared, absolute = reduce(error**2, axis=PIXELS), reduce(abs(error), axis=PIXELS)
    np.testing.assert_allclose(metrics.mse(*frames, convention=convention), squared, rtol=1e-5)
    np.testing.assert_allclose(metrics.mae(*frames, convention=convention), absolute, rtol=1e-5)


def test_the_published_scales_convert_into_each_other():
    """A ConvLSTM's 18.17e-3 per pixel is 74.4 per frame of 64x64."""
    target = torch.zeros(1, 64, 64)
    pred = torch.full_like(target, 18.17e-3**0.5)
    assert metrics.mse(pred, target, "convtt").item() == pytest.approx(18.17e-3, rel=1e-6)
    assert metrics.mse(pred, target, "openstl").item() == pytest.approx(74.4, abs=0.05)
    assert metrics.mse(pred, target, "predrnn").item() == pytest.approx(74.4, abs=0.05)


def scikit_image(name):
    return getattr(pytest.importorskip("skimage.metrics"), name)


def uint8(images):
    return np.uint8(images * 255)


PSNR_BY_SCIKIT_IMAGE = {
    "strict": lambda psnr, x, y: psnr(y, x, data_range=1),
    "openstl": lambda psnr, x, y: psnr(y, x.clip(0, 1), data_range=1),
    "convtt": lambda psnr, x, y: psnr(y, x.clip(0, 1)),
    "predrnn": lambda psnr, x, y: psnr(uint8(y), uint8(x.clip(0, 1))),
    "svg": lambda psnr, x, y: np.mean([psnr(b, a) for a, b in zip(x, y, strict=True)]),
}


@pytest.mark.parametrize("convention", PSNR_BY_SCIKIT_IMAGE)
def test_psnr_equals_scikit_image(frames, convention):
    """Without a data range where the project gives none."""
    psnr = scikit_image("peak_signal_noise_ratio")
    pairs = zip(*(tensor.numpy() for tensor in frames), strict=True)
    expected = [PSNR_BY_SCIKIT_IMAGE[convention](psnr, *pair) for pair in pairs]
    np.testing.assert_allclose(metrics.psnr(*frames, convention=convention), expected, atol=1e-5)


def ssim_of_old_versions(ssim, x, y):
    """With the data range that they took for floating point."""
    return ssim(x.astype(np.float64), y.astype(np.float64), channel_axis=0, data_range=2)


SSIM_BY_SCIKIT_IMAGE = {
    "openstl": lambda ssim, x, y: ssim_of_old_versions(ssim, x.clip(0, 1), y),
    "convtt": lambda ssim, x, y: ssim_of_old_versions(ssim, x.clip(0, 1), y),
    "predrnn": lambda ssim, x, y: ssim(uint8(x.clip(0, 1)), uint8(y), channel_axis=0),
    "svg": lambda ssim, x, y: np.mean(
        [ssim_of_old_versions(ssim, a[None], b[None]) for a, b in zip(x, y, strict=True)]
    ),
}


@pytest.mark.parametrize("convention", PUBLISHED)
def test_ssim_equals_scikit_image(frames, convention):
    ssim = scikit_image("structural_similarity")
    pairs = zip(*(tensor.numpy() for tensor in frames), strict=True)
    expected = [SSIM_BY_SCIKIT_IMAGE[convention](ssim, *pair) for pair in pairs]
    np.testing.assert_allclose(metrics.ssim(*frames, convention=convention), expected, atol=1e-9)


@pytest.mark.parametrize("convention", PUBLISHED)
def test_ssim_equals_scikit_image_where_a_digit_stands_on_black(convention):
    """Windows without any variance, where only the constants are left."""
    target, pred = torch.zeros(2, 1, 40, 40).unbind()
    target[0, 10:25, 12:20] = 1
    pred[0, 12:27, 13:21] = 0.8
    expected = SSIM_BY_SCIKIT_IMAGE[convention](
        scikit_image("structural_similarity"), pred.numpy(), target.numpy()
    )
    assert metrics.ssim(pred, target, convention).item() == pytest.approx(expected, abs=1e-9)


def test_one_uniform_window_follows_the_formula_with_sample_covariances():
    x, y = np.random.default_rng(2).random((2, 7, 7))
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    (variance_x, covariance), (_, variance_y) = np.cov(x.ravel(), y.ravel())
    expected = ((2 * x.mean() * y.mean() + c1) * (2 * covariance + c2)) / (
        (x.mean() ** 2 + y.mean() ** 2 + c1) * (variance_x + variance_y + c2)
    )
    value = metrics.ssim(torch.from_numpy(x)[None], torch.from_numpy(y)[None], "openstl")
    assert value.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [(1, 6, 64), (1, 64, 6)])
@pytest.mark.parametrize("convention", PUBLISHED)
def test_frames_smaller_than_the_uniform_window_are_refused(shape, convention):
    with pytest.raises(DataError, match="at least 7x7 pixels, got"):
        metrics.ssim(torch.zeros(shape), torch.zeros(shape), convention)


def test_predrnn_cuts_off_and_does_not_round():
    target = torch.zeros(1, 8, 8)
    pred = torch.full_like(target, 1.99 / 255)
    assert metrics.psnr(pred, target, "predrnn").item() == pytest.approx(20 * np.log10(255), abs=1e-5)
    assert metrics.psnr(pred / 2, target, "predrnn").item() == 100
    assert metrics.ssim(pred / 2, target, "predrnn").item() == pytest.approx(1)


def test_frames_of_eight_bits_are_not_changed_by_cutting_off():
    levels = (torch.arange(256, dtype=torch.uint8) / 255).view(1, 16, 16)
    pred = levels.flip(1)
    expected = metrics.psnr(pred, levels).item()
    assert metrics.psnr(pred, levels, "predrnn").item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("convention", metrics.CONVENTIONS)
def test_equal_frames_are_perfect(convention):
    frames = torch.rand(2, 3, 3, 12, 13, generator=torch.Generator().manual_seed(4))
    for metric, perfect in ((metrics.mse, 0), (metrics.mae, 0), (metrics.psnr, 100), (metrics.ssim, 1)):
        value = metric(frames, frames, convention=convention)
        assert value.dtype == torch.float64
        np.testing.assert_allclose(value, np.full((2, 3), perfect), atol=1e-12)


@pytest.mark.parametrize("metric", [metrics.mse, metrics.mae])
def test_an_unknown_convention_names_the_choices(metric):
    frames = torch.zeros(1, 16, 16)
    with pytest.raises(ConfigError, match=r"unknown convention 'openslt'; did you mean 'openstl'\?.*predrnn"):
        metric(frames, frames, convention="openslt")


def test_metrics_are_left_as_they_are_by_the_strict_convention():
    assert metrics.metrics_for(["strict"]) == metrics.METRICS


def test_metrics_of_several_conventions_come_in_their_order(random_network):
    names = list(metrics.metrics_for(["openstl", "strict", "svg"], lpips=random_network))
    assert names == [
        *(f"openstl.{name}" for name in ("mse", "mae", "psnr", "ssim", "lpips")),
        *metrics.METRICS,
        "lpips",
        *(f"svg.{name}" for name in ("mse", "mae", "psnr", "ssim", "lpips")),
    ]


def test_without_a_network_there_is_no_lpips():
    assert not [name for name in metrics.metrics_for(list(metrics.CONVENTIONS)) if "lpips" in name]


def test_labels_say_scale_and_convention(random_network):
    chosen = metrics.metrics_for(["strict", "openstl", "convtt"], random_network)
    labels = {name: metric.label for name, metric in chosen.items()}
    assert labels["openstl.mse"] == "MSE (per frame, openstl)"
    assert labels["convtt.mse"] == "MSE (per pixel, convtt)"
    assert labels["convtt.psnr"] == "PSNR (dB, convtt)"
    assert labels["openstl.ssim"] == "SSIM (openstl)"
    assert labels["convtt.lpips"] == "LPIPS (convtt)"
    assert labels["lpips"] == "LPIPS"


@pytest.mark.parametrize("convention", metrics.CONVENTIONS)
def test_every_metric_chosen_is_that_of_its_convention(convention, random_network):
    generator = torch.Generator().manual_seed(6)
    target = torch.rand(2, 2, 1, 32, 32, generator=generator)
    pred = target + 0.3 * torch.randn(target.shape, generator=generator)
    prefix = "" if convention == "strict" else f"{convention}."
    chosen = metrics.metrics_for([convention], random_network)
    for name in ("mse", "mae", "psnr", "ssim"):
        expected = getattr(metrics, name)(pred, target, convention=convention)
        assert torch.equal(chosen[prefix + name].per_frame(pred, target), expected)
    expected = metrics.lpips(pred, target, random_network, convention)
    assert torch.equal(chosen[f"{prefix}lpips"].per_frame(pred, target), expected)


@pytest.mark.parametrize("convention", metrics.CONVENTIONS)
def test_the_better_of_two_predictions_is_known_under_every_convention(convention, random_network):
    target = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    near, far = target * 0.9 + 0.05, target * 0.3 + 0.35
    for metric in metrics.metrics_for([convention], random_network).values():
        better = metric.per_frame(near, target) > metric.per_frame(far, target)
        assert better.item() is metric.higher_is_better, metric.label


def test_metrics_of_an_unknown_convention_are_refused():
    with pytest.raises(ConfigError, match="unknown convention 'simvp'"):
        metrics.metrics_for(["strict", "simvp"])


def test_frames_smaller_than_its_window_have_no_ssim():
    def names(size):
        return {name for name in metrics.metrics_for(["strict", "openstl"], size=size) if "ssim" in name}

    assert names(None) == names((11, 20)) == {"ssim", "openstl.ssim"}
    assert names((20, 10)) == {"openstl.ssim"}
    assert names((1, 88)) == set()
    assert "bce_frame" in metrics.metrics_for(["strict"], size=(1, 88))
