"""`vidpred.ops.lstm_gates` against the formulas in float64, with every dtype, layout, option and device."""

import itertools

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vidpred import ops

needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the kernels are not built")

TOLERANCES = {
    torch.float32: 2e-6,
    torch.float64: 1e-12,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}
SHAPES = [(3, 5, 7, 9), (2, 8, 4, 4), (9, 6), (33, 64), (2, 3, 11), (2, 2, 3, 4, 5), (2, 3, 40, 40), (1, 1)]
OPTIONS = list(itertools.product((False, True), (False, True), (None, "per channel", "per pixel")))
NAMES = ("gates", "cell", "extra", "bias", "w_i", "w_f", "w_o")


def formulas(gates, cell, extra=None, bias=None, w_i=None, w_f=None, w_o=None):
    """Seed 001, eq. 3.1, for tensors with space last; what is absent is zero."""
    space = [1] * (cell.dim() - 2)
    bias = 0 if bias is None else bias.reshape(-1, *space)
    i, f, g, o = torch.tensor_split(gates + (0 if extra is None else extra) + bias, 4, dim=1)
    w_i, w_f, w_o = (
        0 if w is None else w.reshape(-1, *space) if w.dim() == 1 else w for w in (w_i, w_f, w_o)
    )
    new_cell = torch.sigmoid(f + w_f * cell) * cell + torch.sigmoid(i + w_i * cell) * torch.tanh(g)
    return torch.sigmoid(o + w_o * new_cell) * torch.tanh(new_cell), new_cell


def random_inputs(shape, dtype=torch.float32, extra=False, bias=False, peephole=None, device="cpu"):
    """Leaves that require gradients, by name."""
    batch, channels, *space = shape
    generator = torch.Generator().manual_seed(0)
    weights = (channels, *space) if peephole == "per pixel" else (channels,)
    shapes = {"gates": (batch, 4 * channels, *space), "cell": shape}
    shapes |= {"extra": (batch, 4 * channels, *space)} if extra else {}
    shapes |= {"bias": (4 * channels,)} if bias else {}
    shapes |= dict.fromkeys(("w_i", "w_f", "w_o"), weights) if peephole else {}
    return {
        name: torch.randn(size, generator=generator).to(device, dtype).requires_grad_()
        for name, size in shapes.items()
    }


def call(inputs):
    """The op on inputs by name."""
    peephole = tuple(inputs[name] for name in ("w_i", "w_f", "w_o")) if "w_i" in inputs else None
    return ops.lstm_gates(
        inputs["gates"],
        inputs["cell"],
        extra=inputs.get("extra"),
        bias=inputs.get("bias"),
        peephole=peephole,
    )


def with_gradients(function, inputs):
    """(hidden, new_cell, gradient of each input), for fixed random gradients of the outputs."""
    outputs = function(inputs)
    generator = torch.Generator().manual_seed(1)
    given = [torch.randn(tuple(output.shape), generator=generator).to(output) for output in outputs]
    return (*outputs, *torch.autograd.grad(outputs, list(inputs.values()), given))


def in_float64(inputs):
    return {name: tensor.detach().double().cpu().requires_grad_() for name, tensor in inputs.items()}


def assert_exact(inputs, tolerance, function=call):
    """Compares states and gradients with the formulas in float64 on the same numbers."""
    got = with_gradients(function, inputs)
    expected = with_gradients(lambda values: formulas(**values), in_float64(inputs))
    cells = max(inputs["cell"].numel() // max(inputs["cell"].shape[1], 1), 1)
    for name, result, truth in zip(("hidden", "new_cell", *inputs), got, expected, strict=True):
        shared = name in ("bias", "w_i", "w_f", "w_o")  # sums over many cells
        bound = tolerance * (cells**0.5 if shared else 1)
        torch.testing.assert_close(
            result.double().cpu(),
            truth,
            rtol=bound,
            atol=bound,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.fixture(params=["native", "reference"])
def backend(request):
    if request.param == "native" and ops.backend() != "native":
        pytest.skip("the kernels are not built")
    with ops.use_backend(request.param):
        yield request.param


@pytest.mark.parametrize(("extra", "bias", "peephole"), OPTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_states_and_gradients_are_those_of_the_formulas(backend, shape, extra, bias, peephole):
    assert_exact(random_inputs(shape, torch.float32, extra, bias, peephole), TOLERANCES[torch.float32])


@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_every_dtype_is_as_exact_as_it_can_be(dtype, peephole):
    if ops.backend() != "native" and dtype in (torch.float16, torch.bfloat16):
        pytest.skip("plain torch rounds half types after every operation")
    assert_exact(random_inputs((3, 4, 6, 5), dtype, True, True, peephole), TOLERANCES[dtype])


@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
def test_gradcheck(backend, peephole):
    inputs = random_inputs((2, 3, 2, 2), torch.float64, True, True, peephole)

    def function(*values):
        return call(dict(zip(inputs, values, strict=True)))

    assert torch.autograd.gradcheck(function, tuple(inputs.values()))


@needs_native
@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(dtype, peephole):
    inputs = random_inputs((2, 3, 4, 4), dtype, True, True, peephole)
    arguments = [inputs.get(name) for name in NAMES]
    torch.library.opcheck(torch.ops.vidpred.lstm_gates.default, arguments)
    hidden, new_cell = call(inputs)
    known = [tensor if tensor is None else tensor.detach() for tensor in arguments]
    torch.library.opcheck(
        torch.ops.vidpred.lstm_gates_backward.default,
        [torch.ones_like(hidden), None, *known[:2], new_cell.detach(), *known[2:]],
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (0, 5)], ids=str)
def test_empty_tensors_have_empty_states_and_zero_gradients(backend, shape, peephole):
    inputs = random_inputs(shape, torch.float32, True, True, peephole)
    hidden, new_cell, *gradients = with_gradients(call, inputs)
    assert hidden.shape == new_cell.shape == shape
    for tensor, gradient in zip(inputs.values(), gradients, strict=True):
        assert torch.equal(gradient, torch.zeros_like(tensor))


@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
def test_non_contiguous_tensors(backend, peephole):
    dense = random_inputs((4, 6, 5, 8), torch.float32, True, True, peephole)
    spread = {}
    for name, tensor in dense.items():
        room = torch.full((*tensor.shape, 2), torch.nan)
        room[..., 1] = tensor.detach()
        spread[name] = room[..., 1].requires_grad_()
    assert not spread["gates"].is_contiguous()
    assert_exact(spread, TOLERANCES[torch.float32])


@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
@pytest.mark.parametrize(
    ("shape", "layout"),
    [((3, 5, 6, 7), torch.channels_last), ((2, 4, 3, 5, 2), torch.channels_last_3d)],
    ids=str,
)
def test_channels_last_tensors(backend, shape, layout, peephole):
    inputs = random_inputs(shape, torch.float32, True, True, peephole)
    for name in ("gates", "cell", "extra"):
        inputs[name] = inputs[name].detach().to(memory_format=layout).requires_grad_()
    assert_exact(inputs, TOLERANCES[torch.float32])


@needs_native
def test_channels_last_states_stay_channels_last():
    inputs = random_inputs((3, 5, 6, 7))
    layout = torch.channels_last
    hidden, new_cell = ops.lstm_gates(
        inputs["gates"].to(memory_format=layout), inputs["cell"].to(memory_format=layout)
    )
    assert hidden.is_contiguous(memory_format=layout)
    assert new_cell.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("used", [0, 1], ids=["hidden", "new_cell"])
def test_one_output_can_go_unused(backend, used):
    inputs = random_inputs((3, 4, 5, 5), torch.float32, True, True, "per channel")
    values = in_float64(inputs)
    got = torch.autograd.grad(call(inputs)[used].sum(), list(inputs.values()), materialize_grads=True)
    truth = torch.autograd.grad(formulas(**values)[used].sum(), list(values.values()), materialize_grads=True)
    for result, expected in zip(got, truth, strict=True):
        torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-5)


@needs_native
def test_results_do_not_depend_on_the_number_of_threads():
    inputs = random_inputs((7, 12, 33, 31), torch.float32, True, True, "per channel")
    before = torch.get_num_threads()
    try:
        runs = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            runs.append(with_gradients(call, inputs))
    finally:
        torch.set_num_threads(before)
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_saturated_gates_and_not_a_number(backend):
    gates = torch.tensor([[-1e4, 1e4, 0.0, 1e4], [torch.inf, -torch.inf, torch.inf, torch.inf]])
    hidden, new_cell = ops.lstm_gates(gates, torch.tensor([[0.5], [0.5]]))
    torch.testing.assert_close(new_cell, torch.tensor([[0.5], [1.0]]))
    torch.testing.assert_close(hidden, torch.tensor([[0.5], [1.0]]).tanh())
    for gate in range(4):
        gates = torch.zeros(1, 4)
        gates[0, gate] = torch.nan
        assert ops.lstm_gates(gates, torch.ones(1, 1))[0].isnan().all()


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # of torch's own making
@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("peephole", [None, "per channel"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_compiled_without_a_graph_break(backend, layout, peephole, compiler):
    inputs = random_inputs((2, 3, 4, 4), torch.float32, True, True, peephole)
    inputs["gates"] = inputs["gates"].detach().to(memory_format=layout).requires_grad_()
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend=compiler)
    assert_exact(inputs, TOLERANCES[torch.float32], compiled)


@needs_native
def test_has_no_second_derivative_and_says_so():
    inputs = random_inputs((2, 3), torch.float64)
    hidden, _ = call(inputs)
    (gradient,) = torch.autograd.grad(hidden.sum(), inputs["gates"], create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_casts_to_its_dtype(backend, dtype):
    inputs = random_inputs((3, 4, 5, 5), torch.float32, True, True, "per channel")
    with torch.autocast("cpu", dtype):
        states = call(inputs | {"gates": inputs["gates"].to(dtype)})
    rounded = {name: tensor.to(dtype).double() for name, tensor in inputs.items()}
    for state, truth in zip(states, formulas(**rounded), strict=True):
        assert state.dtype == dtype
        torch.testing.assert_close(state.double(), truth, rtol=5e-2, atol=5e-2)
    torch.autograd.grad([state.sum() for state in states], list(inputs.values()))


def test_autocast_leaves_float64_alone(backend):
    with torch.autocast("cpu", torch.bfloat16):
        hidden, _ = call(random_inputs((2, 3), torch.float64))
    assert hidden.dtype == torch.float64


GOOD = {"gates": (2, 12, 4, 5), "cell": (2, 3, 4, 5), "extra": (2, 12, 4, 5), "bias": (12,)}
GOOD |= dict.fromkeys(("w_i", "w_f", "w_o"), (3,))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("gates", (2, 9, 4, 5)),
        ("gates", (2, 12, 5, 4)),
        ("extra", (1, 12, 4, 5)),
        ("bias", (3,)),
        ("w_i", (4, 5)),
        ("w_f", (3, 4, 5)),
        ("w_o", (12,)),
    ],
)
def test_a_wrong_shape_is_named_with_both_shapes(backend, name, shape):
    inputs = {key: torch.zeros(size) for key, size in (GOOD | {name: shape}).items()}
    with pytest.raises(ops.ShapeError) as caught:
        call(inputs)
    for part in (f"lstm_gates: {name} ", str(GOOD[name]), str(shape)):
        assert part in str(caught.value)


def test_other_wrong_inputs_are_named(backend):
    gates, cell = torch.zeros(2, 12), torch.zeros(2, 3)
    with pytest.raises(ops.DtypeError, match="gates must be float32 like cell, got float64"):
        ops.lstm_gates(gates.double(), cell)
    with pytest.raises(ops.DtypeError, match=r"cell must be one of .*, got int64"):
        ops.lstm_gates(gates.long(), cell.long())
    with pytest.raises(ops.DeviceError, match="gates must be on cpu like cell, got meta"):
        ops.lstm_gates(gates.to("meta"), cell)
    with pytest.raises(ops.ShapeError, match="three weights"):
        ops.lstm_gates(gates, cell, peephole=(torch.zeros(3),))
    with pytest.raises(ops.ShapeError, match=r"cell must have shape \(N, C, \*space\), got \(3,\)"):
        ops.lstm_gates(gates, cell[0])


@needs_native
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
def test_tensors_without_data_get_shapes_and_devices(device, peephole):
    shapes = {name: t.shape for name, t in random_inputs((2, 3, 4, 5), bias=True, peephole=peephole).items()}
    with FakeTensorMode():
        inputs = {name: torch.empty(shape, device=device) for name, shape in shapes.items()}
        states = call(inputs)
        grad_gates, grad_cell, grad_bias, grad_peephole = torch.ops.vidpred.lstm_gates_backward(
            *states, inputs["gates"], inputs["cell"], states[1], *(inputs.get(name) for name in NAMES[2:])
        )
    assert [state.shape for state in states] == [(2, 3, 4, 5)] * 2
    assert (grad_gates.shape, grad_cell.shape, grad_bias.shape) == ((2, 12, 4, 5), (2, 3, 4, 5), (12,))
    assert grad_peephole.shape == ((3, *shapes["w_i"]) if peephole else (0,))
    assert {tensor.device.type for tensor in (*states, grad_gates, grad_bias, grad_peephole)} == {device}


def test_kernels_are_registered_for_every_device_they_were_compiled_for():
    built = ops.build_info()
    if not built["native"]:
        pytest.skip(built["reason"])
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    for name in ("vidpred::lstm_gates", "vidpred::lstm_gates_backward"):
        assert has_kernel(name, "CPU")
        assert has_kernel(name, "CUDA") == bool(built["cuda_architectures"])


@pytest.mark.needs_cuda
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cuda_is_as_exact_as_the_cpu(shape, dtype):
    for options in OPTIONS:
        assert_exact(random_inputs(shape, dtype, *options, device="cuda"), TOLERANCES[dtype])


@pytest.mark.needs_cuda
def test_cuda_takes_tensors_that_are_not_aligned_to_16_bytes():
    inputs = random_inputs((2, 4, 4, 4), torch.float32, True, True, "per channel", device="cuda")
    shifted = {}
    for name, tensor in inputs.items():
        room = torch.empty(tensor.numel() + 1, device="cuda")
        room[1:] = tensor.detach().flatten()
        shifted[name] = room[1:].view(tensor.shape).requires_grad_()
    assert_exact(shifted, TOLERANCES[torch.float32])


@pytest.mark.needs_cuda
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


@pytest.mark.needs_cuda
def test_cuda_graph_replays_forward_and_backward():
    inputs = random_inputs((4, 8, 16, 16), torch.float32, True, True, "per channel", device="cuda")
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
