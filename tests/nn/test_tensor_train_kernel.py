"""Kernels in tensor-train format against the sum of seed 002, eq. 13."""

import itertools
from math import prod

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from vidpred.errors import ConfigError
from vidpred.nn.tensor_train_kernel import TensorTrainKernelConv2d, split_evenly


@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_kernel_is_the_sum_of_the_paper(order):
    torch.manual_seed(0)
    outputs, inputs, rank = 12, 6, 2
    conv = TensorTrainKernelConv2d(inputs, outputs, 3, order=order, rank=rank).double()
    t_sizes = [factor.shape[0] for factor in conv.factors]
    s_sizes = [factor.shape[1] for factor in conv.factors]
    assert (prod(t_sizes), prod(s_sizes)) == (outputs, inputs)
    expected = torch.zeros(outputs, inputs, 3, 3).double()
    for out, t in enumerate(itertools.product(*map(range, t_sizes))):
        for into, s in enumerate(itertools.product(*map(range, s_sizes))):
            for ranks in itertools.product(range(rank), repeat=order - 1):
                term = conv.spatial[:, :, ranks[0]]
                for n, factor in enumerate(conv.factors):
                    following = (*ranks, 0)[n + 1] if n + 1 < order - 1 else 0
                    term = term * factor[t[n], s[n], ranks[n], following]
                expected[out, into] += term.detach()
    torch.testing.assert_close(conv.kernel().detach(), expected)
    features = torch.randn(2, inputs, 5, 6).double()
    by_torch = F.conv2d(features, expected, conv.bias, padding=1)
    torch.testing.assert_close(conv(features), by_torch)


def test_it_stores_as_many_numbers_as_its_factors_have():
    conv = TensorTrainKernelConv2d(48, 192, 5, order=3, rank=8)
    stored = 25 * 8 + 12 * 6 * 8 * 8 + 16 * 8 * 8
    assert sum(weights.numel() for weights in conv.parameters()) == stored + 192
    assert conv.kernel().shape == (192, 48, 5, 5)


@pytest.mark.parametrize(("order", "rank"), [(2, 8), (3, 8), (4, 24)])
def test_it_starts_with_the_variance_of_a_convolution(order, rank):
    torch.manual_seed(0)
    kernels = [TensorTrainKernelConv2d(32, 128, 5, order=order, rank=rank).kernel() for _ in range(20)]
    variance = torch.stack(kernels).var().item()
    assert variance == pytest.approx(1 / (3 * 32 * 25), rel=0.25)


@given(number=st.integers(1, 400), parts=st.integers(1, 4))
def test_a_number_is_split_as_evenly_as_it_can_be(number, parts):
    found = split_evenly(number, parts)
    assert prod(found) == number
    assert len(found) == parts
    assert found == sorted(found)
    divisors = [d for d in range(1, number + 1) if number % d == 0]
    spreads = [
        max(split) - min(split)
        for split in itertools.combinations_with_replacement(divisors, parts)
        if prod(split) == number
    ]
    assert found[-1] - found[0] == min(spreads)


def test_what_cannot_be_is_named():
    with pytest.raises(ConfigError, match="odd size, got 4"):
        TensorTrainKernelConv2d(4, 4, 4, order=3, rank=2)
    with pytest.raises(ConfigError, match="at least 2 and a rank of at least 1, got 1 and 2"):
        TensorTrainKernelConv2d(4, 4, 3, order=1, rank=2)
