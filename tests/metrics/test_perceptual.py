import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vidpred import metrics
from vidpred.errors import ConfigError, DataError
from vidpred.metrics import LPIPS, perceptual

FILE = "alexnet_features_and_lpips_lin_v0.1.npz"


@pytest.fixture(scope="session")
def folder(shared_data):
    folder = shared_data / "lpips"
    if not (folder / FILE).is_file():
        pytest.skip(f"no weights of LPIPS at {folder}")
    return folder


@pytest.fixture(scope="session")
def network(folder):
    return LPIPS.from_file(folder / FILE)


def example(folder, name):
    with Image.open(folder / "examples" / f"{name}.png") as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255


@pytest.mark.parametrize(("name", "distance"), [("ex_p0", 0.72188), ("ex_p1", 0.13757)])
@pytest.mark.parametrize("convention", ["strict", "openstl", "svg"])
def test_the_authors_examples_are_as_far_apart_as_published(folder, network, name, distance, convention):
    value = metrics.lpips(example(folder, name), example(folder, "ex_ref"), network, convention)
    assert (value.shape, value.dtype) == ((), torch.float64)
    assert value.item() == pytest.approx(distance, abs=1e-4)


def by_definition(x, y, weights):
    """Eq. 1 of Zhang et al. with every step written out in float64; x and y (3, H, W) in [-1, 1]."""
    windows = np.lib.stride_tricks.sliding_window_view

    def convolved(image, name, stride, padding):
        kernel, bias = (weights[f"features.{name}.{kind}"].numpy() for kind in ("weight", "bias"))
        padded = np.pad(image, [(0, 0), (padding, padding), (padding, padding)])
        patches = windows(padded, kernel.shape[2:], (1, 2))[:, ::stride, ::stride]
        result = np.tensordot(kernel.astype(np.float64), patches, [(1, 2, 3), (0, 3, 4)])
        return np.maximum(result + bias[:, None, None], 0)

    def pooled(image):
        return windows(image, (3, 3), (1, 2))[:, ::2, ::2].max((-2, -1))

    def features(image):
        shift, scale = np.array([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]])[:, :, None, None]
        first = convolved((image - shift) / scale, 0, 4, 2)
        second = convolved(pooled(first), 3, 1, 2)
        third = convolved(pooled(second), 6, 1, 1)
        fourth = convolved(third, 8, 1, 1)
        fifth = convolved(fourth, 10, 1, 1)
        return [each / np.linalg.norm(each, axis=0) for each in (first, second, third, fourth, fifth)]

    total = 0.0
    for head, (a, b) in enumerate(zip(features(x), features(y), strict=True)):
        per_channel = ((a - b) ** 2).mean((1, 2))
        total += weights[f"lin{head}.model.1.weight"].numpy().ravel() @ per_channel
    return total


INPUTS = {
    "strict": lambda x, y: (2 * x - 1, 2 * y - 1),
    "openstl": lambda x, y: (2 * x.clip(0, 1) - 1, 2 * y - 1),
    "convtt": lambda x, y: (x.clip(0, 1), y),
    "predrnn": lambda x, y: (x.clip(0, 1), y),
    "svg": lambda x, y: (2 * x - 1, 2 * y - 1),
}


@pytest.mark.parametrize("convention", INPUTS)
@pytest.mark.parametrize("shape", [(3, 31, 47), (1, 40, 33)])
def test_lpips_follows_its_definition(convention, shape, random_network, random_weights):
    generator = torch.Generator().manual_seed(7)
    target = torch.rand(2, *shape, generator=generator)
    pred = target + 0.4 * torch.randn(2, *shape, generator=generator)
    expected = [
        by_definition(
            *INPUTS[convention](*(np.broadcast_to(each, (3, *shape[1:])) for each in pair)), random_weights
        )
        for pair in zip(pred.double().numpy(), target.double().numpy(), strict=True)
    ]
    np.testing.assert_allclose(metrics.lpips(pred, target, random_network, convention), expected, rtol=1e-4)


def test_frames_in_pieces_score_as_each_alone(random_network, monkeypatch):
    monkeypatch.setattr(perceptual, "_PIXELS_AT_ONCE", 3 * 32 * 32)
    pred, target = torch.rand(2, 2, 4, 1, 32, 32, generator=torch.Generator().manual_seed(1)).unbind()
    values = metrics.lpips(pred, target, random_network)
    assert (values.shape, values.dtype) == ((2, 4), torch.float64)
    for index in np.ndindex(2, 4):
        alone = metrics.lpips(pred[index], target[index], random_network).item()
        assert values[index].item() == pytest.approx(alone, rel=1e-5)


def test_no_frames_have_no_distances(random_network):
    assert metrics.lpips(*torch.zeros(2, 0, 5, 1, 32, 32), random_network).shape == (0, 5)


def test_equal_frames_are_at_distance_zero(random_network):
    frames = torch.rand(2, 3, 32, 32)
    assert metrics.lpips(frames, frames, random_network).tolist() == [0.0, 0.0]


def test_frames_of_one_colour_have_a_distance(random_network):
    """Features that are all zero have no direction."""
    value = metrics.lpips(torch.zeros(1, 32, 32), torch.ones(1, 32, 32), random_network)
    assert value.isfinite()


def test_the_smallest_frames_are_those_the_network_can_take(random_network):
    side = perceptual.SMALLEST
    assert random_network(*torch.zeros(2, 1, 3, side, side)).shape == (1,)
    with pytest.raises(RuntimeError):
        random_network(*torch.zeros(2, 1, 3, side - 1, side))


@pytest.mark.parametrize("shape", [(1, 30, 64), (1, 64, 30)])
def test_frames_too_small_are_refused(shape, random_network):
    with pytest.raises(DataError, match=f"at least 31x31 pixels, got {shape[1]}x{shape[2]}"):
        metrics.lpips(torch.zeros(shape), torch.zeros(shape), random_network)


def test_frames_neither_grey_nor_coloured_are_refused(random_network):
    with pytest.raises(DataError, match="1 or 3 channels, got 2"):
        metrics.lpips(torch.zeros(2, 32, 32), torch.zeros(2, 32, 32), random_network)


def test_an_unknown_convention_is_refused(random_network):
    with pytest.raises(ConfigError, match="unknown convention 'alex'"):
        metrics.lpips(torch.zeros(1, 32, 32), torch.zeros(1, 32, 32), random_network, "alex")


def test_the_distance_has_a_gradient_but_the_weights_have_none(random_network):
    pred, target = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(3)).unbind()
    pred.requires_grad_()
    random_network(pred, target).sum().backward()
    assert pred.grad.abs().max() > 0
    assert all(weight.grad is None for weight in random_network.parameters())


def test_making_a_network_draws_no_random_numbers(random_weights):
    before = torch.get_rng_state()
    LPIPS(random_weights)
    assert torch.equal(torch.get_rng_state(), before)


def write_npz(path, weights):
    np.savez(path, **{name: weight.numpy() for name, weight in weights.items()})


@pytest.mark.parametrize(
    ("suffix", "write"), [("npz", write_npz), ("safetensors", lambda p, w: save_file(w, p))]
)
def test_both_kinds_of_files_hold_the_network(tmp_path, suffix, write, random_weights, random_network):
    path = tmp_path / f"weights.{suffix}"
    write(path, random_weights)
    for name, weight in LPIPS.from_file(path).state_dict().items():
        assert torch.equal(weight, random_network.state_dict()[name])


def test_a_weight_that_is_missing_is_named(tmp_path, random_weights):
    path = tmp_path / "weights.npz"
    write_npz(
        path, {name: weight for name, weight in random_weights.items() if name != "lin3.model.1.weight"}
    )
    with pytest.raises(DataError, match=r"weights.npz does not hold .*'lin3.model.1.weight' is missing"):
        LPIPS.from_file(path)


def test_a_weight_of_another_shape_is_named(random_weights):
    with pytest.raises(DataError, match=r"'features.8.bias' should have shape \(256,\), got \(3,\)"):
        LPIPS({**random_weights, "features.8.bias": torch.zeros(3)})


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x80\x04N."])
def test_a_damaged_file_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"is not a readable .{suffix} file of numbers"):
        LPIPS.from_file(path)


def test_a_file_that_needs_unpickling_is_refused(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, **{"features.0.weight": np.array([{}], dtype=object)})
    with pytest.raises(DataError, match="is not a readable"):
        LPIPS.from_file(path)


def test_an_array_without_a_name_is_refused(tmp_path):
    path = tmp_path / "weights.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros((64, 3, 11, 11), np.float32))
    with pytest.raises(DataError, match="is not a readable"):
        LPIPS.from_file(path)


def test_a_missing_file_and_one_of_another_kind_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"weights.npz does not exist"):
        LPIPS.from_file(tmp_path / "weights.npz")
    with pytest.raises(DataError, match=r"a .npz or .safetensors file, got .*alex.pth"):
        LPIPS.from_file(tmp_path / "alex.pth")


@pytest.fixture
def torchvision(monkeypatch):
    """Puts a stand-in for torchvision in place whose download is `download`."""

    def install(download):
        models = ModuleType("torchvision.models")
        models.AlexNet_Weights = SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(get_state_dict=download))
        monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
        monkeypatch.setitem(sys.modules, "torchvision.models", models)

    return install


def test_torchvision_and_torchmetrics_make_the_same_network_as_the_file(network, torchvision):
    if perceptual.importlib.util.find_spec("torchmetrics") is None:
        pytest.skip("torchmetrics is not installed")
    backbone = {name: weight for name, weight in network.state_dict().items() if name.startswith("features")}
    torchvision(lambda progress: {**backbone, "classifier.1.bias": torch.zeros(4096)})
    for name, weight in LPIPS.from_torchvision().state_dict().items():
        assert torch.equal(weight, network.state_dict()[name])


def test_a_missing_torchvision_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(DataError, match="install torchvision, or give the weights of LPIPS as a file"):
        LPIPS.from_torchvision()


def test_a_failed_download_is_told(torchvision):
    def download(progress):
        raise OSError("no route to host")

    torchvision(download)
    with pytest.raises(DataError, match=r"could not download AlexNet \(no route to host\)"):
        LPIPS.from_torchvision()


def test_a_missing_torchmetrics_is_told(torchvision, random_weights, monkeypatch):
    torchvision(lambda progress: random_weights)
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(DataError, match="install torchmetrics"):
        LPIPS.from_torchvision()
