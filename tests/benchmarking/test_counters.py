import pytest
import torch
from torch.nn.functional import conv2d

from vidpred import ops
from vidpred.benchmarking.counters import count_flops, peak_bytes


def test_a_product_forwards_and_backwards():
    a, b = torch.rand(3, 5, requires_grad=True), torch.rand(5, 7, requires_grad=True)
    assert count_flops(lambda: a @ b) == 2 * 3 * 5 * 7
    assert count_flops(lambda: (a @ b).sum().backward()) == 3 * 2 * 3 * 5 * 7


@pytest.mark.parametrize("mask", ["A", "B"])
def test_of_a_masked_convolution_the_live_taps_count(mask):
    if ops.backend() != "native":
        pytest.skip("the kernels are not built")
    x, weight = torch.rand(2, 4, 8, 9, requires_grad=True), torch.rand(6, 4, 5, 5, requires_grad=True)
    live = 4 * 6 * (12 + (mask == "B"))  # of 25 taps the 12 before the centre, and the centre
    once = 2 * 2 * 8 * 9 * live
    assert count_flops(lambda: ops.masked_conv2d(x, weight, mask=mask)) == once
    assert count_flops(lambda: ops.masked_conv2d(x, weight, mask=mask).sum().backward()) == 3 * once
    with ops.use_backend("reference"):
        dense = count_flops(lambda: conv2d(x, weight, padding=2))
        assert count_flops(lambda: ops.masked_conv2d(x, weight, mask=mask)) == dense


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_of_a_tensor_train_every_link_counts(backend):
    if ops.backend() != "native":
        pytest.skip("the kernels are not built")
    ranks = (3, 5, 4)
    states = [torch.rand(2, rank, 6, 7, requires_grad=True) for rank in ranks]
    cores = [torch.rand(5, 3, 3, 3, requires_grad=True), torch.rand(4, 5, 5, 5, requires_grad=True)]
    once = 2 * 2 * 6 * 7 * (5 * 3 * 9 + 4 * 5 * 25)
    with ops.use_backend(backend):
        assert count_flops(lambda: ops.tensor_train_conv(states, cores)) == once
        assert count_flops(lambda: ops.tensor_train_conv(states, cores).sum().backward()) == 3 * once


def test_memory_is_that_of_the_results_that_are_alive_together():
    given = torch.zeros(1000)

    def one_after_the_other():
        for _ in range(3):
            given + 1

    def together():
        return [given + 1, given + 2, given.view(10, 100)]

    assert peak_bytes(one_after_the_other) == 4000
    assert peak_bytes(together) == 8000
    assert peak_bytes(lambda: given.add_(1)) == 0


def test_memory_counts_what_autograd_keeps():
    weight = torch.rand(1000, requires_grad=True)
    kept = peak_bytes(lambda: weight.exp().exp().sum())
    with torch.no_grad():
        dropped = peak_bytes(lambda: weight.exp().exp().sum())
    assert kept == 8004
    assert dropped == 8000
