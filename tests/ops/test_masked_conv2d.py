"""The values and gradients of `vidpred.ops.masked_conv2d`, and what it is to torch."""

import math

import pytest
import torch
from masked_conv2d_cases import (
    LAYOUTS,
    MASKS,
    SHAPES,
    TOLERANCES,
    assert_exact,
    random_inputs,
    with_gradients,
)
from torch._subclasses.fake_tensor import FakeTensorMode

from vidpred import ops
from vidpred.errors import ConfigError
from vidpred.ops.masked_conv2d import matrix_products

needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the kernels are not built")


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("case", SHAPES)
def test_is_the_sum_over_live_taps(backend, case, dtype, layout, mask):
    inputs = random_inputs(case, dtype, layout=LAYOUTS[layout])
    assert_exact(case, mask, inputs)
    y = ops.masked_conv2d(*inputs, mask=mask, colors=SHAPES[case][3])
    if min(inputs[0].shape) > 1 and dtype.itemsize >= 4:
        assert y.is_contiguous(memory_format=LAYOUTS[layout])


def test_masks_are_those_of_the_thesis():
    ones = (1, 1, 3, 3)
    a, b = (ops.reference.conv_mask(ones, mask, 1).squeeze().tolist() for mask in MASKS)
    assert a == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]  # eq. 3.11
    assert b == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]  # eq. 3.12
    centre = ops.reference.conv_mask((6, 3, 1, 1), "A", 3)[:, :, 0, 0]
    assert centre.tolist() == [[0, 0, 0]] * 2 + [[1, 0, 0]] * 2 + [[1, 1, 0]] * 2


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("case", SHAPES)
def test_gradcheck(backend, case, mask):
    inputs = random_inputs(case, torch.float64)
    assert torch.autograd.gradcheck(
        lambda *values: ops.masked_conv2d(*values, mask=mask, colors=SHAPES[case][3]),
        inputs,
        fast_mode=True,
    )


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)], ids=str)
def test_nothing_to_convolve(backend, shape):
    if backend == "reference" and 0 in shape[2:]:
        pytest.skip("torch has no convolution of nothing")
    x = torch.zeros(shape, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    y = ops.masked_conv2d(x, weight, mask="B")
    assert y.shape == (shape[0], 4, *shape[2:])
    grad_x, grad_weight = torch.autograd.grad(y.sum(), (x, weight))
    assert grad_x.shape == shape
    assert (grad_weight == 0).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_masked_weights_are_never_read_and_pixels_only_by_those_that_see_them(backend, mask, bad, dtype):
    x, weight, bias = random_inputs("3x3", dtype)
    expected = ops.masked_conv2d(x, weight, bias, mask=mask)
    hidden = ops.reference.conv_mask(weight.shape, mask, 1) == 0
    with torch.no_grad():
        weight[hidden] = bad
    got, _, grad_weight, _ = with_gradients(
        lambda *values: ops.masked_conv2d(*values, mask=mask), (x, weight, bias)
    )
    assert torch.equal(got, expected)
    assert (grad_weight[hidden] == 0).all()
    with torch.no_grad():
        x[0, 1, 2, 3] = bad
    if ops.backend() == "native":
        spoilt = (~ops.masked_conv2d(x, weight, bias, mask=mask).isfinite())[0].any(0).nonzero().tolist()
        seen_by = [[2, 4], [3, 2], [3, 3], [3, 4]]
        assert spoilt == ([[2, 3], *seen_by] if mask == "B" else seen_by)


@needs_native
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("case", [case for case in SHAPES if case != "one pixel"])
def test_the_output_lies_in_memory_as_the_input_does(case, dtype, layout):
    x, weight, bias = random_inputs(case, dtype, layout=LAYOUTS[layout])
    for mask in MASKS:
        y = ops.masked_conv2d(x, weight, bias, mask=mask, colors=SHAPES[case][3])
        assert y.is_contiguous(memory_format=LAYOUTS[layout])


@needs_native
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("c_in", [1, 2, 3, 5])
def test_no_channel_of_a_pixel_spreads_beyond_those_that_see_it(c_in, dtype, layout):
    weight = torch.ones(4, c_in, 3, 3, dtype=dtype)
    for channel in range(c_in):
        x = torch.ones(1, c_in, 6, 7, dtype=dtype)
        x[0, channel, 2, 3] = math.nan
        x = x.contiguous(memory_format=LAYOUTS[layout])
        spoilt = ops.masked_conv2d(x, weight, mask="B").isnan()[0].any(0).nonzero().tolist()
        assert spoilt == [[2, 3], [2, 4], [3, 2], [3, 3], [3, 4]]


def test_tensors_that_are_not_contiguous_are_served(backend):
    x, weight, bias = random_inputs("3x3", torch.float64)
    turned = x.detach().transpose(2, 3).flip(0)
    got = ops.masked_conv2d(turned, weight.transpose(2, 3), bias, mask="B")
    again = ops.masked_conv2d(turned.contiguous(), weight.transpose(2, 3).contiguous(), bias, mask="B")
    torch.testing.assert_close(got, again)


@needs_native
def test_neither_the_result_nor_a_gradient_depends_on_threads():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 40, 33, 20, generator=generator, requires_grad=True)
    weight = torch.randn(50, 40, 3, 3, generator=generator, requires_grad=True)

    def run():
        return with_gradients(lambda *values: ops.masked_conv2d(*values, mask="B"), (x, weight))

    many = run()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one = run()
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(many, one, strict=True):
        assert torch.equal(a, b)


@needs_native
@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("sees_centre", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_opcheck(case, sees_centre, dtype):
    x, weight, bias = random_inputs(case, dtype)
    rows = x.detach().permute(0, 2, 3, 1).contiguous().requires_grad_()
    colors = SHAPES[case][3]
    for offset in (bias, None):
        arguments = (rows, weight, offset, sees_centre, colors)
        torch.library.opcheck(torch.ops.vidpred.masked_conv2d.default, arguments)
    y = torch.ops.vidpred.masked_conv2d(*arguments).detach()
    for wants_x in (True, False):
        torch.library.opcheck(
            torch.ops.vidpred.masked_conv2d_backward.default,
            (y, rows.detach(), weight.detach(), sees_centre, colors, wants_x),
            test_utils=("test_schema", "test_faketensor"),
        )


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # of torch's own making
@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", ["3x3", "colors"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_compiles_whole(backend, device, layout, case, compiler):
    torch._dynamo.reset()
    compiled = torch.compile(ops.masked_conv2d, fullgraph=True, backend=compiler)
    assert_exact(case, "B", random_inputs(case, device=device, layout=LAYOUTS[layout]), compiled)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_casts_to_its_dtype(backend, device, dtype):
    inputs = random_inputs("3x3", device=device)
    with torch.autocast(device, dtype):
        y = ops.masked_conv2d(*inputs, mask="B")
    assert y.dtype == dtype
    expected = ops.masked_conv2d(*(value.to(dtype).double() for value in inputs), mask="B")
    torch.testing.assert_close(y.double(), expected, rtol=5e-2, atol=5e-2)
    gradients = torch.autograd.grad(y.sum(), inputs)
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


@needs_native
def test_has_no_second_derivative_and_says_so():
    x, weight, bias = random_inputs("3x3", torch.float64)
    (gradient,) = torch.autograd.grad(
        ops.masked_conv2d(x, weight, bias, mask="A").sum(), weight, create_graph=True
    )
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


@needs_native
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_without_data_lie_in_memory_as_real_ones_do(layout):
    real = random_inputs("3x3", layout=LAYOUTS[layout])
    with FakeTensorMode() as mode:
        y = ops.masked_conv2d(*(mode.from_tensor(tensor) for tensor in real), mask="B")
    assert y.stride() == ops.masked_conv2d(*real, mask="B").stride()


@needs_native
def test_the_operator_guards_memory_even_without_the_checks_in_python():
    x, weight = torch.zeros(1, 4, 5, 3), torch.zeros(2, 3, 3, 3)
    operator = torch.ops.vidpred.masked_conv2d
    with pytest.raises(RuntimeError, match="expected 90 elements, got 54"):
        operator(x[..., :2].repeat(1, 1, 1, 5)[..., :5], weight, None, True, 1)
    with pytest.raises(RuntimeError, match="an odd kernel and channels"):
        operator(x, weight, None, True, 2)
    with pytest.raises(RuntimeError, match="one dtype and one device"):
        operator(x, weight.double(), None, True, 1)
    with pytest.raises(RuntimeError, match="CPU kernels for float32 and float64"):
        operator(x.half(), weight.half(), None, True, 1)


@pytest.mark.parametrize(
    ("x", "weight", "bias", "said"),
    [
        ((3, 4, 5), (2, 3, 3, 3), (2,), "x must have shape (N, C_in, H, W), got (3, 4, 5)"),
        ((1, 3, 4, 5), (2, 3, 4, 4), (2,), "(C_out, C_in, K, K) with odd K, got (2, 3, 4, 4)"),
        ((1, 3, 4, 5), (2, 3, 3, 5), (2,), "(C_out, C_in, K, K) with odd K, got (2, 3, 3, 5)"),
        ((1, 3, 4, 5), (2, 4, 3, 3), (2,), "weight must have shape (2, 3, 3, 3), got (2, 4, 3, 3)"),
        ((1, 3, 4, 5), (2, 3, 3, 3), (3,), "bias must have shape (2,), got (3,)"),
    ],
)
def test_a_wrong_shape_is_named(backend, x, weight, bias, said):
    with pytest.raises(ops.ShapeError) as caught:
        ops.masked_conv2d(*(torch.zeros(shape) for shape in (x, weight, bias)), mask="A")
    assert str(caught.value).startswith("masked_conv2d: ")
    assert said in str(caught.value)


def test_other_wrong_inputs_are_named(backend):
    x, weight, bias = torch.zeros(1, 3, 4, 5), torch.zeros(2, 3, 3, 3), torch.zeros(2)
    with pytest.raises(
        ops.ShapeError, match="colors must divide the channels of input and output, got 3 for 3 and 2"
    ):
        ops.masked_conv2d(x, weight, bias, mask="B", colors=3)
    with pytest.raises(ops.DtypeError, match="weight must be float32 like x, got float64"):
        ops.masked_conv2d(x, weight.double(), bias, mask="B")
    with pytest.raises(ops.DtypeError, match=r"x must be one of float32, .*, got int64"):
        ops.masked_conv2d(x.long(), weight.long(), mask="B")
    with pytest.raises(ops.DeviceError, match="bias must be on cpu like x, got meta"):
        ops.masked_conv2d(x, weight, bias.to("meta"), mask="B")
    with pytest.raises(ConfigError, match="unknown mask 'C'"):
        ops.masked_conv2d(x, weight, bias, mask="C")


@pytest.mark.needs_cuda
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("case", SHAPES)
def test_cuda_is_as_exact_as_the_cpu(case, dtype, layout, mask):
    with torch.backends.cudnn.flags(allow_tf32=False):
        assert_exact(case, mask, random_inputs(case, dtype, "cuda", LAYOUTS[layout]))


@pytest.mark.needs_cuda
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("case", SHAPES)
def test_cuda_has_a_kernel_of_its_own_to_compare_with(case, dtype, mask):
    assert_exact(case, mask, random_inputs(case, dtype, "cuda"), matrix_products)


@needs_native
def test_tensors_without_data_stay_on_their_device():
    with FakeTensorMode():
        x, weight = torch.empty(2, 4, 5, 3, device="cuda"), torch.empty(6, 3, 3, 3, device="cuda")
        y = torch.ops.vidpred.masked_conv2d(x, weight, None, True, 3)
        gradients = torch.ops.vidpred.masked_conv2d_backward(y, x, weight, True, 3, True)
    assert [tuple(tensor.shape) for tensor in (y, *gradients)] == [
        (2, 4, 5, 6), (2, 4, 5, 3), (6, 3, 3, 3), (6,)
    ]  # fmt: skip
    assert {tensor.device.type for tensor in (y, *gradients)} == {"cuda"}
