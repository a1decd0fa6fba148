"""`vidpred.ops.tensor_train_conv` as a citizen of torch: registration, compiler, fake tensors, autocast."""

import pytest
import torch
from tensor_train_conv_cases import (
    LAYOUTS,
    SHAPES,
    TOLERANCES,
    assert_exact,
    call,
    formulas,
    leaves,
    mapped,
    random_inputs,
)
from torch._subclasses.fake_tensor import FakeTensorMode

from vidpred import ops
from vidpred.ops import _extension
from vidpred.ops.tensor_train_conv import convolve_to_few_channels

needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the kernels are not built")
SMALL = ((2, 4, 5), (2, 3, 2), 3)
PAPER = SHAPES["paper"]


@needs_native
@pytest.mark.parametrize(
    ("dtype", "layout", "biases", "shape"),
    [
        *((dtype, "contiguous", True, SMALL) for dtype in TOLERANCES),
        *((torch.float32, layout, biases, SMALL) for layout in LAYOUTS for biases in (False, True)),
        (torch.float64, "contiguous", True, ((1, 3, 3), (2, 2), 5)),
        (torch.float64, "channels last", True, ((2, 1, 4), (1, 2, 3, 2), 3)),
    ],
    ids=str,
)
def test_opcheck(dtype, layout, biases, shape):
    states, cores, given = random_inputs(shape, dtype, biases=biases, layout=LAYOUTS[layout])
    torch.library.opcheck(torch.ops.vidpred.tensor_train_conv.default, [states, cores, given or []])
    states, cores, given = mapped(torch.Tensor.detach, (states, cores, given))
    value, inner = torch.ops.vidpred.tensor_train_conv(states, cores, given or [])
    torch.library.opcheck(
        torch.ops.vidpred.tensor_train_conv_backward.default,
        [torch.ones_like(value), states[0], inner, cores, biases],
        test_utils=("test_schema", "test_faketensor"),
    )


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # of torch's own making
@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("biases", [False, True], ids=["plain", "biases"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_compiles_whole(backend, device, layout, biases, compiler):
    inputs = random_inputs(PAPER, biases=biases, device=device, layout=LAYOUTS[layout])
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend=compiler)
    assert_exact(inputs, TOLERANCES[torch.float32], compiled)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # of torch's own making
@pytest.mark.parametrize("layout", LAYOUTS)
def test_compiles_once_for_all_sizes(backend, layout):
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    for size, stance in (((4, 6, 5), "default"), ((7, 9, 8), "fail_on_recompile")):
        with torch.compiler.set_stance(stance):
            inputs = random_inputs((size, (2, 3, 2), 3), layout=LAYOUTS[layout])
            assert_exact(inputs, TOLERANCES[torch.float32], compiled)


@needs_native
def test_has_no_second_derivative_and_says_so():
    inputs = random_inputs(SMALL, torch.float64)
    (gradient,) = torch.autograd.grad(call(inputs).square().sum(), inputs[0][0], create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


def test_plain_torch_has_a_second_derivative():
    states, cores, _ = inputs = random_inputs(((1, 3, 3), (1, 2, 1), 3), torch.float64, biases=False)
    with ops.use_backend("reference"):
        assert torch.autograd.gradgradcheck(
            lambda *values: ops.tensor_train_conv(values[: len(states)], values[len(states) :]),
            tuple(leaves(inputs)),
        )
    assert len(cores) == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_casts_to_its_dtype(backend, device, dtype):
    inputs = random_inputs(PAPER, device=device)
    states, cores, biases = inputs
    with torch.autocast(device, dtype):
        value = call(([states[0].to(dtype), *states[1:]], cores, biases))
    assert value.dtype == dtype
    truth = formulas(*mapped(lambda tensor: tensor.detach().to(dtype).double(), inputs))
    bound = 2 * TOLERANCES[dtype]
    torch.testing.assert_close(value.double(), truth, rtol=bound, atol=bound)
    gradients = torch.autograd.grad(value.sum(), leaves(inputs))
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


def test_autocast_leaves_float64_alone(backend, device):
    with torch.autocast(device, torch.bfloat16):
        assert call(random_inputs(SMALL, torch.float64, device=device)).dtype == torch.float64


def test_autocast_casts_a_convolution_to_few_channels(backend, device):
    image, weight, bias = torch.randn(2, 3, 5, 5), torch.randn(2, 3, 3, 3), torch.randn(2)
    with torch.autocast(device, torch.bfloat16):
        reduced = convolve_to_few_channels(image.to(device), weight.to(device), bias.to(device))
    assert reduced.dtype == torch.bfloat16


@needs_native
@pytest.mark.parametrize("biases", [False, True], ids=["plain", "biases"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_tensors_without_data_get_shapes_and_devices(device, biases):
    real = random_inputs(((2, 4, 5), (2, 3, 1, 6), 3), biases=biases)
    with FakeTensorMode():
        inputs = mapped(lambda tensor: torch.empty(tensor.shape, device=device), real)
        value = call(inputs)
        states, cores, _ = inputs
        inner = torch.empty(2, 4, 4, 5, device=device)
        grad_states, grad_cores, grad_biases = torch.ops.vidpred.tensor_train_conv_backward(
            value, states[0], inner, cores, biases
        )
    assert value.shape == (2, 6, 4, 5)
    assert [tensor.shape for tensor in grad_states] == [state.shape for state in states[:-1]]
    assert [tensor.shape for tensor in grad_cores] == [core.shape for core in cores]
    assert [tuple(tensor.shape) for tensor in grad_biases] == ([(3,), (1,), (6,)] if biases else [])
    results = (value, *grad_states, *grad_cores, *grad_biases)
    assert {tensor.device.type for tensor in results} == {device}


@needs_native
def test_on_cuda_what_is_too_large_for_the_kernels_goes_to_torch_itself(monkeypatch):
    """cuDNN is good at wide convolutions. Fake tensors show which operators are called."""
    monkeypatch.setattr(_extension, "_native_devices", ("cpu", "cuda"))  # also where CUDA was not compiled

    class Calls(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            names.add(function.name())
            return function(*args, **(kwargs or {}))

    for shape, native in (
        (PAPER, True),
        (((1, 3, 3), (16,) * 5, 7), True),
        (((1, 3, 3), (17, 2), 3), False),
        (((1, 3, 3), (2, 2), 9), False),
        (((1, 3, 3), (2,) * 6, 3), False),
    ):
        names: set[str] = set()
        real = random_inputs(shape)
        with FakeTensorMode(), Calls():
            call(mapped(lambda tensor: torch.empty(tensor.shape, device="cuda"), real))
        assert ("vidpred::tensor_train_conv" in names) == native
        assert any("convolution" in name for name in names) != native


@needs_native
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(2, 4, 5), (1, 1, 5), (2, 3, 1), (1, 1, 1)], ids=str)
def test_tensors_without_data_lie_in_memory_as_real_ones_do(layout, size):
    for ranks in ((2, 3, 2), (1, 1, 1), (3, 1, 2)):
        real = random_inputs((size, ranks, 3), layout=LAYOUTS[layout])
        arguments = mapped(torch.Tensor.detach, real)
        with FakeTensorMode() as mode:
            fake = torch.ops.vidpred.tensor_train_conv(*mapped(mode.from_tensor, arguments))
        results = torch.ops.vidpred.tensor_train_conv(*arguments)
        assert [tensor.stride() for tensor in fake] == [tensor.stride() for tensor in results]


@needs_native
def test_the_operator_guards_memory_even_without_the_checks_in_python():
    operator = torch.ops.vidpred.tensor_train_conv
    states, cores, biases = mapped(torch.Tensor.detach, random_inputs(SMALL))
    with pytest.raises(RuntimeError, match="one state more than cores"):
        operator(states[:2], cores, biases)
    with pytest.raises(RuntimeError, match="as many biases or none"):
        operator(states, cores, biases[:1])
    with pytest.raises(RuntimeError, match="at least one core"):
        operator(states[:1], [], [])
    with pytest.raises(RuntimeError, match=r"expected shape \(2, 3, 4, 5\)"):
        operator([states[0], states[1][:1], states[2]], cores, biases)
    with pytest.raises(RuntimeError, match=r"a core of shape \(R, 2, K, K\) with odd K"):
        operator(states, [torch.zeros(3, 2, 2, 2), cores[1]], biases)
    with pytest.raises(RuntimeError, match="expected 3 elements, got 2"):
        operator(states, cores, [torch.zeros(2), biases[1]])
    with pytest.raises(RuntimeError, match="one dtype and one device"):
        operator([states[0], states[1].double(), states[2]], cores, biases)
    with pytest.raises(RuntimeError, match="unsupported dtype"):
        operator(*mapped(torch.Tensor.long, (states, cores, biases)))


def test_kernels_are_registered_for_every_device_they_were_compiled_for():
    built = ops.build_info()
    if not built["native"]:
        pytest.skip(built["reason"])
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    for name in ("vidpred::tensor_train_conv", "vidpred::tensor_train_conv_backward"):
        assert has_kernel(name, "CPU")
        assert has_kernel(name, "CUDA") == bool(built["cuda_architectures"])
