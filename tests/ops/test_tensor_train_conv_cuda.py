"""`vidpred.ops.tensor_train_conv` on CUDA: that it agrees with the CPU, launches, streams, graphs."""

import pytest
import torch
from tensor_train_conv_cases import (
    LAYOUTS,
    SHAPES,
    TOLERANCES,
    assert_exact,
    call,
    leaves,
    mapped,
    random_inputs,
    with_gradients,
)

pytestmark = pytest.mark.needs_cuda
PAPER = ((4, 64, 64), (8, 8, 8), 5)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_cuda_is_as_exact_as_the_cpu(shape, layout, dtype):
    for biases in (False, True):
        inputs = random_inputs(SHAPES[shape], dtype, biases=biases, device="cuda", layout=LAYOUTS[layout])
        assert_exact(inputs, TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize(
    "shape",
    [
        PAPER,
        ((2, 37, 61), (16,) * 5, 5),  # in float64 more than shared memory holds at once
        ((1, 21, 300), (16, 16), 7),
        ((600, 9, 17), (3, 2, 4), 3),  # more tiles than blocks that sum the gradients to the cores
    ],
    ids=str,
)
def test_cuda_gives_what_the_cpu_gives(shape, dtype):
    on_cpu = random_inputs(shape, dtype)
    on_cuda = mapped(lambda tensor: tensor.detach().cuda().requires_grad_(), on_cpu)
    got, expected = with_gradients(call, on_cuda), with_gradients(call, on_cpu)
    (batch, height, width), ranks, _ = shape
    for index, (result, other) in enumerate(zip(got, expected, strict=True)):
        assert result.device.type == "cuda"
        summed = index > len(ranks)
        bound = 2 * len(ranks) * TOLERANCES[dtype] * ((batch * height * width) ** 0.5 if summed else 1)
        torch.testing.assert_close(result.cpu(), other, rtol=bound, atol=bound)


def launches(function):
    """The names of the kernels that run, after a first call that is not counted."""
    function()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        function()
        torch.cuda.synchronize()
    return [event.name for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]


@pytest.mark.parametrize("shape", [PAPER, ((2, 64, 64), (16,) * 5, 5)], ids=str)
def test_the_whole_chain_is_one_launch(shape):
    inputs = random_inputs(shape, device="cuda")
    with torch.no_grad():
        (name,) = launches(lambda: call(inputs))
    assert "chain_kernel" in name


def test_cuda_runs_on_the_current_stream():
    inputs = random_inputs(PAPER, device="cuda")
    expected = with_gradients(call, mapped(lambda tensor: (tensor * 2).detach().requires_grad_(), inputs))
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # long enough that a kernel on another stream would run first
        got = with_gradients(call, mapped(lambda tensor: (tensor * 2).detach().requires_grad_(), inputs))
    stream.synchronize()
    for result, truth in zip(got, expected, strict=True):
        assert torch.equal(result, truth)


def test_cuda_graphs_replay_forward_and_backward():
    inputs = random_inputs(PAPER, device="cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            torch.autograd.grad(call(inputs).square().sum(), leaves(inputs))
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gradients = torch.autograd.grad(call(inputs).square().sum(), leaves(inputs))
    with torch.no_grad():
        for tensor in leaves(inputs):
            tensor.mul_(0.5)
    graph.replay()
    truth = torch.autograd.grad(call(inputs).square().sum(), leaves(inputs))
    for result, expected in zip(gradients, truth, strict=True):
        assert torch.equal(result, expected)


def test_cuda_is_deterministic():
    inputs = random_inputs(((16, 64, 64), (8, 8, 8), 5), device="cuda")
    first = with_gradients(call, inputs)
    for _ in range(5):
        again = with_gradients(call, inputs)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
