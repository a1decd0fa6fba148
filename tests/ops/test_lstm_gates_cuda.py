"""What is particular to `vidpred.ops.lstm_gates` on CUDA: that it agrees with the CPU, streams, graphs."""

import pytest
import torch
from lstm_gates_cases import LAYOUTS, OPTIONS, TOLERANCES, assert_exact, call, random_inputs, with_gradients

from vidpred import ops

pytestmark = pytest.mark.needs_cuda


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_cuda_is_as_exact_as_the_cpu(layout, dtype):
    shape, memory = LAYOUTS[layout]
    for options in OPTIONS:
        assert_exact(random_inputs(shape, dtype, *options, "cuda", memory), TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("shape", [(33, 64), (2, 8, 4, 4), (2, 3, 40, 40), (70000, 3), (3, 9001)], ids=str)
def test_cuda_gives_what_the_cpu_gives(shape, dtype):
    """Wide and narrow accesses, and more rows than a grid has blocks."""
    on_cpu = random_inputs(shape, dtype, True, True, "per channel")
    on_cuda = {name: tensor.detach().cuda().requires_grad_() for name, tensor in on_cpu.items()}
    got, expected = with_gradients(call, on_cuda), with_gradients(call, on_cpu)
    cells = on_cpu["cell"].numel() // shape[1]
    for name, result, other in zip(("hidden", "new_cell", *on_cpu), got, expected, strict=True):
        assert result.device.type == "cuda"
        shared = name in ("bias", "w_i", "w_f", "w_o")  # sums over many cells
        bound = 2 * TOLERANCES[dtype] * (cells**0.5 if shared else 1)
        torch.testing.assert_close(result.cpu(), other, rtol=bound, atol=bound)


def test_cuda_takes_tensors_that_are_not_aligned_to_16_bytes():
    inputs = random_inputs((2, 4, 4, 4), torch.float32, True, True, "per channel", device="cuda")
    shifted = {}
    for name, tensor in inputs.items():
        room = torch.empty(tensor.numel() + 1, device="cuda")
        room[1:] = tensor.detach().flatten()
        shifted[name] = room[1:].view(tensor.shape).requires_grad_()
    assert_exact(shifted, TOLERANCES[torch.float32])


def test_cuda_runs_on_the_current_stream():
    inputs = random_inputs((64, 64, 64, 64), device="cuda")
    gates, cell = inputs["gates"].detach(), inputs["cell"].detach()
    expected = ops.lstm_gates(gates * 2, cell)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # long enough that a kernel on another stream would run first
        doubled = gates * 2
        got = ops.lstm_gates(doubled, cell)
    stream.synchronize()
    for result, truth in zip(got, expected, strict=True):
        assert torch.equal(result, truth)


def test_cuda_backward_runs_on_the_stream_of_the_forward():
    inputs = random_inputs((16, 64, 32, 32), torch.float32, True, True, "per channel", device="cuda")
    halved = {name: (tensor / 2).detach().requires_grad_() for name, tensor in inputs.items()}
    expected = with_gradients_of_ones(halved)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        late = {name: (tensor / 2).detach().requires_grad_() for name, tensor in inputs.items()}
        got = with_gradients_of_ones(late)
    stream.synchronize()
    for result, truth in zip(got, expected, strict=True):
        assert torch.equal(result, truth)


@pytest.mark.parametrize("options", [(False, False, None), (True, True, "per channel")], ids=str)
def test_cuda_graph_replays_forward_and_backward(options):
    inputs = random_inputs((4, 8, 16, 16), torch.float32, *options, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        with_gradients_of_ones(inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = with_gradients_of_ones(inputs)
    with torch.no_grad():
        for tensor in inputs.values():
            tensor.mul_(-0.5)
    graph.replay()
    expected = with_gradients_of_ones(inputs)
    for result, truth in zip(captured, expected, strict=True):
        torch.testing.assert_close(result, truth)


def with_gradients_of_ones(inputs):
    hidden, new_cell = call(inputs)
    ones = torch.ones_like(hidden)
    return (hidden, new_cell, *torch.autograd.grad((hidden, new_cell), list(inputs.values()), (ones, ones)))
