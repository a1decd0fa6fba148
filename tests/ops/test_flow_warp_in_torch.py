"""`vidpred.ops.flow_warp` as a citizen of torch: its registration, the compiler, fake tensors, autocast."""

import pytest
import torch
from flow_warp_cases import LAYOUTS, PADDINGS, TOLERANCES, assert_exact, random_inputs, with_gradients
from torch._subclasses.fake_tensor import FakeTensorMode

from vidpred import ops

needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the kernels are not built")


@needs_native
@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_opcheck(dtype, channels_last, border):
    features, flow = random_inputs((2, 5, 4, 3), dtype)
    if channels_last:
        features = features.detach().permute(0, 2, 3, 1).contiguous().requires_grad_()
    arguments = (features, flow, border, channels_last)
    torch.library.opcheck(torch.ops.vidpred.flow_warp.default, arguments)
    torch.library.opcheck(
        torch.ops.vidpred.flow_warp_backward.default,
        (torch.ones_like(features), features.detach(), flow.detach(), border, channels_last),
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # of torch's own making
@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_compiles_whole(backend, device, layout, padding, compiler):
    torch._dynamo.reset()
    compiled = torch.compile(ops.flow_warp, fullgraph=True, backend=compiler)
    features, flow = random_inputs((2, 5, 6, 7), device=device, layout=LAYOUTS[layout])
    assert_exact(features, flow, padding, compiled)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # of torch's own making
def test_compiles_once_for_all_sizes(backend):
    torch._dynamo.reset()
    compiled = torch.compile(ops.flow_warp, fullgraph=True, dynamic=True, backend="aot_eager")
    assert_exact(*random_inputs((3, 5, 6, 7)), "zeros", compiled)
    with torch.compiler.set_stance("fail_on_recompile"):
        assert_exact(*random_inputs((4, 7, 9, 8)), "zeros", compiled)


@needs_native
def test_has_no_second_derivative_and_says_so():
    features, flow = random_inputs((1, 2, 3, 4), torch.float64)
    (gradient,) = torch.autograd.grad(ops.flow_warp(features, flow).sum(), flow, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_casts_to_its_dtype(backend, device, dtype):
    features, flow = random_inputs((2, 3, 6, 7), device=device)
    with torch.autocast(device, dtype):
        warped = ops.flow_warp(features.to(dtype), flow)
    assert warped.dtype == dtype
    expected = ops.flow_warp(features.to(dtype).double(), flow.to(dtype).double())
    torch.testing.assert_close(warped.double(), expected, rtol=2e-2, atol=2e-2)
    gradients = torch.autograd.grad(warped.sum(), (features, flow))
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


def test_autocast_leaves_float64_alone(backend, device):
    with torch.autocast(device, torch.bfloat16):
        assert ops.flow_warp(*random_inputs((1, 2, 3, 4), torch.float64, device)).dtype == torch.float64


@needs_native
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_without_data_lie_in_memory_as_real_ones_do(layout):
    real = random_inputs((2, 3, 4, 5), layout=LAYOUTS[layout])
    with FakeTensorMode() as mode:
        warped = ops.flow_warp(*(mode.from_tensor(tensor) for tensor in real))
    assert warped.stride() == ops.flow_warp(*real).stride()


@needs_native
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 4, 5, 3)], ids=["contiguous", "channels last"])
def test_tensors_without_data_stay_on_their_device(shape):
    with FakeTensorMode():
        features, flow = (torch.empty(size, device="cuda") for size in (shape, (2, 2, 4, 5)))
        warped = torch.ops.vidpred.flow_warp(features, flow, False, shape[3] == 3)
        gradients = torch.ops.vidpred.flow_warp_backward(warped, features, flow, False, shape[3] == 3)
    assert {tensor.device.type for tensor in (warped, *gradients)} == {"cuda"}
    assert [tensor.shape for tensor in (warped, *gradients)] == [shape, shape, (2, 2, 4, 5)]


@needs_native
def test_the_operator_guards_memory_even_without_the_checks_in_python():
    features, flow = torch.zeros(2, 3, 4, 5), torch.zeros(2, 2, 4, 5)
    operator = torch.ops.vidpred.flow_warp
    with pytest.raises(RuntimeError, match="expected 60 elements, got 120"):
        operator(features, flow[:, :, :2], False, False)
    with pytest.raises(RuntimeError, match="expected 80 elements, got 40"):
        operator(features, flow[:, :1], False, False)
    with pytest.raises(RuntimeError, match="one dtype and one device"):
        operator(features, flow.double(), False, False)
    with pytest.raises(RuntimeError, match="of 4 dimensions"):
        operator(features[0], flow, False, False)
    with pytest.raises(RuntimeError, match="unsupported dtype"):
        operator(features.long(), flow.long(), False, False)


def test_kernels_are_registered_for_every_device_they_were_compiled_for():
    built = ops.build_info()
    if not built["native"]:
        pytest.skip(built["reason"])
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    for name in ("vidpred::flow_warp", "vidpred::flow_warp_backward"):
        assert has_kernel(name, "CPU")
        assert has_kernel(name, "CUDA") == bool(built["cuda_architectures"])


@pytest.mark.needs_cuda
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 7, 9), (1, 16, 5, 140), (8, 24, 32, 32), (2, 72, 3, 5)], ids=str)
def test_cuda_is_as_exact_as_the_cpu(shape, dtype, layout, padding):
    assert_exact(*random_inputs(shape, dtype, "cuda", LAYOUTS[layout]), padding)


@pytest.mark.needs_cuda
def test_cuda_runs_on_the_current_stream():
    features, flow = random_inputs((16, 64, 64, 64), device="cuda")
    expected = ops.flow_warp(features.detach() * 2, flow.detach())
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # long enough that a kernel on another stream would run first
        got = ops.flow_warp(features.detach() * 2, flow.detach())
    stream.synchronize()
    assert torch.equal(got, expected)


@pytest.mark.needs_cuda
def test_cuda_graph_replays_forward_and_backward():
    features, flow = random_inputs((2, 8, 16, 16), device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        with_gradients_of_ones(features, flow)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = with_gradients_of_ones(features, flow)
    with torch.no_grad():
        features.mul_(-0.5)
        flow.mul_(0.7)
    graph.replay()
    for result, truth in zip(captured, with_gradients_of_ones(features, flow), strict=True):
        torch.testing.assert_close(result, truth)


@pytest.mark.needs_cuda
def test_cuda_is_deterministic_when_asked():
    features, flow = random_inputs((4, 16, 32, 32), device="cuda", reach=20.0)
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (with_gradients(ops.flow_warp, features, flow) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    assert_exact(features, flow, "zeros")


def with_gradients_of_ones(features, flow):
    warped = ops.flow_warp(features, flow)
    return (warped, *torch.autograd.grad(warped, (features, flow), torch.ones_like(warped)))
