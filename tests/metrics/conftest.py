import pytest
import torch

from vidpred.metrics import LPIPS


@pytest.fixture(scope="session")
def random_weights():
    """Weights of the shapes of LPIPS' network, not trained; those of the heads are positive as theirs are."""
    generator = torch.Generator().manual_seed(8)
    shapes = {
        "features.0": (64, 3, 11, 11),
        "features.3": (192, 64, 5, 5),
        "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3),
        "features.10": (256, 256, 3, 3),
    }
    weights = {}
    for name, shape in shapes.items():
        inputs = shape[1] * shape[2] * shape[3]
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / inputs) ** 0.5
        weights[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=generator)
    for head, channels in enumerate((64, 192, 384, 256, 256)):
        weights[f"lin{head}.model.1.weight"] = torch.rand(1, channels, 1, 1, generator=generator)
    return weights


@pytest.fixture(scope="session")
def random_network(random_weights):
    return LPIPS(random_weights)
