"""`vidpred.ops.lstm_gates` as a citizen of torch: its registration, the compiler, fake tensors, autocast."""

import pytest
import torch
from lstm_gates_cases import (
    LAYOUTS,
    NAMES,
    OPTIONS,
    TOLERANCES,
    assert_exact,
    call,
    formulas,
    random_inputs,
)
from torch._subclasses.fake_tensor import FakeTensorMode

from vidpred import ops

needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the kernels are not built")


@needs_native
@pytest.mark.parametrize(
    ("dtype", "layout", "options"),
    [
        *((torch.float32, "2-D space", options) for options in OPTIONS),
        *((torch.float32, layout, (True, True, "per channel")) for layout in LAYOUTS),
        *((dtype, "no space", (True, True, None)) for dtype in TOLERANCES),
    ],
    ids=str,
)
def test_opcheck(dtype, layout, options):
    shape, memory = LAYOUTS[layout]
    inputs = random_inputs(shape, dtype, *options, layout=memory)
    arguments = [inputs.get(name) for name in NAMES]
    torch.library.opcheck(torch.ops.vidpred.lstm_gates.default, arguments)
    hidden, new_cell = call(inputs)
    known = [tensor if tensor is None else tensor.detach() for tensor in arguments]
    for given in ([torch.ones_like(hidden), None], [None, torch.ones_like(hidden)]):
        torch.library.opcheck(
            torch.ops.vidpred.lstm_gates_backward.default,
            [*given, *known[:2], new_cell.detach(), *known[2:]],
            test_utils=("test_schema", "test_faketensor"),
        )


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # of torch's own making
@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "options", [(False, False, None), (True, True, "per channel"), (True, True, "per pixel")], ids=str
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_compiles_whole(backend, device, layout, options, compiler):
    inputs = random_inputs((2, 3, 4, 4), torch.float32, *options, device, layout)
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend=compiler)
    assert_exact(inputs, TOLERANCES[torch.float32], compiled)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # of torch's own making
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_compiles_once_for_all_sizes(backend, layout):
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    assert_exact(random_inputs((2, 3, 4, 5), layout=layout), TOLERANCES[torch.float32], compiled)
    with torch.compiler.set_stance("fail_on_recompile"):
        assert_exact(random_inputs((6, 3, 9, 7), layout=layout), TOLERANCES[torch.float32], compiled)


@needs_native
def test_has_no_second_derivative_and_says_so():
    inputs = random_inputs((2, 3), torch.float64)
    hidden, _ = call(inputs)
    (gradient,) = torch.autograd.grad(hidden.sum(), inputs["gates"], create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


def test_plain_torch_has_a_second_derivative():
    inputs = random_inputs((2, 2), torch.float64, True, True, "per channel")
    with ops.use_backend("reference"):
        assert torch.autograd.gradgradcheck(
            lambda *values: call(dict(zip(inputs, values, strict=True))), tuple(inputs.values())
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_casts_to_its_dtype(backend, device, dtype):
    inputs = random_inputs((3, 4, 5, 5), torch.float32, True, True, "per channel", device)
    with torch.autocast(device, dtype):
        states = call(inputs | {"gates": inputs["gates"].to(dtype)})
    rounded = {name: tensor.to(dtype).double() for name, tensor in inputs.items()}
    for state, truth in zip(states, formulas(**rounded), strict=True):
        assert state.dtype == dtype
        torch.testing.assert_close(state.double(), truth, rtol=5e-2, atol=5e-2)
    gradients = torch.autograd.grad([state.sum() for state in states], list(inputs.values()))
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


def test_autocast_leaves_float64_alone(backend, device):
    with torch.autocast(device, torch.bfloat16):
        hidden, _ = call(random_inputs((2, 3), torch.float64, device=device))
    assert hidden.dtype == torch.float64


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


@needs_native
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_without_data_lie_in_memory_as_real_ones_do(layout):
    shape, memory = LAYOUTS[layout]
    real = random_inputs(shape, bias=True, layout=memory)
    with FakeTensorMode() as mode:
        fake = call({name: mode.from_tensor(tensor) for name, tensor in real.items()})
    assert [state.stride() for state in fake] == [state.stride() for state in call(real)]


@needs_native
def test_the_operator_guards_memory_even_without_the_checks_in_python():
    gates, cell = torch.zeros(2, 12), torch.zeros(2, 3)
    operator = torch.ops.vidpred.lstm_gates
    nothing = [None] * 3
    with pytest.raises(RuntimeError, match="expected 24 elements, got 12"):
        operator(torch.zeros(2, 6), cell, None, None, *nothing)
    with pytest.raises(RuntimeError, match="expected 12 elements, got 3"):
        operator(gates, cell, None, torch.zeros(3), *nothing)
    with pytest.raises(RuntimeError, match="one dtype and one device"):
        operator(gates.double(), cell, None, None, *nothing)
    with pytest.raises(RuntimeError, match="all of w_i, w_f and w_o, or none"):
        operator(gates, cell, None, None, torch.zeros(3), None, None)
    with pytest.raises(RuntimeError, match="unsupported dtype"):
        operator(gates.long(), cell.long(), None, None, *nothing)


def test_kernels_are_registered_for_every_device_they_were_compiled_for():
    built = ops.build_info()
    if not built["native"]:
        pytest.skip(built["reason"])
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    for name in ("vidpred::lstm_gates", "vidpred::lstm_gates_backward"):
        assert has_kernel(name, "CPU")
        assert has_kernel(name, "CUDA") == bool(built["cuda_architectures"])
