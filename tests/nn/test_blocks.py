"""The blocks of the Video Pixel Network against their formulas, from the weights they hold."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred.errors import ConfigError
from vidpred.nn.blocks import MultiplicativeBlock, ResidualBlock, make_block, same_conv
from vidpred.nn.masked_conv.layers import MaskedConv2d, masked_conv

MASK_B = torch.tensor([[1.0, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=torch.float64)  # seed 001, eq. 3.12


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def apply(conv: nn.Module, features: Tensor, mask: Tensor | float) -> Tensor:
    """The convolution, with what the mask hides at zero."""
    weight = conv.weight if conv.weight.shape[-1] == 1 else conv.weight * mask
    return F.conv2d(features, weight, conv.bias, padding=conv.weight.shape[-1] // 2)


def logistic(tensor: Tensor) -> Tensor:
    return 1 / (1 + (-tensor).exp())


@pytest.mark.parametrize("masked", [False, True])
def test_residual_block_is_the_figure(masked: bool) -> None:
    options = {"conv": masked_conv(1)} if masked else {}
    block = make_block("residual", 6, 4, **options).double()
    assert isinstance(block, ResidualBlock)
    mask = MASK_B if masked else 1.0
    features = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    hidden = apply(block.narrow, features.clamp(min=0), mask)
    hidden = apply(block.look, hidden.clamp(min=0), mask)
    expected = features + apply(block.widen, hidden.clamp(min=0), mask)
    torch.testing.assert_close(block(features), expected)


@pytest.mark.parametrize("masked", [False, True])
def test_multiplicative_block_is_two_gated_units(masked: bool) -> None:
    options = {"conv": masked_conv(1)} if masked else {}
    block = make_block("multiplicative", 6, 4, **options).double()
    assert isinstance(block, MultiplicativeBlock)
    mask = MASK_B if masked else 1.0
    features = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    hidden = apply(block.narrow, features, mask)
    assert len(block.units) == 2
    for unit in block.units:
        g_1, g_2, g_3 = (logistic(apply(gate, hidden, mask)) for gate in unit.gates)
        update = torch.tanh(apply(unit.update, hidden, mask))
        hidden = g_1 * torch.tanh(g_2 * hidden + g_3 * update)
    torch.testing.assert_close(block(features), features + apply(block.widen, hidden, mask))


@pytest.mark.parametrize("kind", ["residual", "multiplicative"])
def test_the_kernel_is_as_large_as_asked(kind: str) -> None:
    block = make_block(kind, 4, 2, kernel_size=5).double()  # type: ignore[arg-type]
    features = torch.randn(8, 4, 11, 11, dtype=torch.float64)
    changed = features.clone()
    changed[:, :, 5, 5] += 1
    moved = (block(features) - block(changed)).abs().amax((0, 1)) > 0
    reach = 2 if kind == "residual" else 4  # two units one after the other
    inside = torch.zeros(11, 11, dtype=torch.bool)
    inside[5 - reach : 6 + reach, 5 - reach : 6 + reach] = True
    assert not moved[~inside].any()
    assert moved[5, 5 - reach]
    assert moved[5 + reach, 5]


@pytest.mark.parametrize("kind", ["residual", "multiplicative"])
def test_masks_go_into_every_convolution(kind: str) -> None:
    block = make_block(kind, 6, 3, conv=masked_conv(3))  # type: ignore[arg-type]
    convs = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == (3 if kind == "residual" else 10)
    assert all(isinstance(conv, MaskedConv2d) and (conv.mask, conv.colors) == ("B", 3) for conv in convs)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ConfigError, match="has an odd kernel, got 4"):
        same_conv(1, 2, 4)
