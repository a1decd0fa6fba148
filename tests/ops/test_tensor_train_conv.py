"""The values and gradients of `vidpred.ops.tensor_train_conv`, with every dtype, layout and order."""

import pytest
import torch
import torch.nn.functional as F
from tensor_train_conv_cases import (
    LAYOUTS,
    SHAPES,
    TOLERANCES,
    assert_exact,
    call,
    formulas,
    in_float64,
    leaves,
    mapped,
    random_inputs,
    with_gradients,
)

from vidpred import ops
from vidpred.ops.tensor_train_conv import convolve_to_few_channels

needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the kernels are not built")
PAPER = SHAPES["paper"]
SMALL = ((2, 4, 5), (2, 3, 2), 3)


@pytest.mark.parametrize("biases", [False, True], ids=["plain", "biases"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_the_value_and_the_gradients_are_those_of_the_formulas(backend, dtype, shape, layout, biases):
    inputs = random_inputs(SHAPES[shape], dtype, biases=biases, layout=LAYOUTS[layout])
    assert_exact(inputs, TOLERANCES[dtype])


@needs_native
@pytest.mark.parametrize(
    "size", [(1, 64, 64), (3, 33, 31), (1, 1, 129), (2, 70, 1), (1, 40, 48), (5, 16, 16)], ids=str
)
def test_large_images_are_as_exact_as_small_ones(size):
    """The work is cut into bands of rows, vectors of pixels and blocks of channels; the last are smaller."""
    for ranks in ((8, 8, 8), (3, 5, 6)):
        assert_exact(random_inputs((size, ranks, 5)), TOLERANCES[torch.float32])


@needs_native
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_every_number_of_neighbours_is_served(dtype):
    """Whatever remains when pixels and channels are taken several at a time."""
    for width in (*range(1, 19), 31, 32, 33, 47):
        assert_exact(random_inputs(((1, 2, width), (3, 2), 5), dtype), TOLERANCES[dtype])
    for rank in range(1, 11):
        assert_exact(random_inputs(((1, 3, 7), (rank, 11 - rank), 3), dtype), TOLERANCES[dtype])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_kernels_may_have_different_sizes(backend, layout):
    states, _, biases = random_inputs(SMALL, torch.float64, layout=LAYOUTS[layout])
    cores = [
        torch.randn(3, 2, 5, 5, dtype=torch.float64, requires_grad=True),
        torch.randn(2, 3, 1, 1, dtype=torch.float64, requires_grad=True),
    ]
    assert_exact((states, cores, biases), TOLERANCES[torch.float64])


def test_is_the_sum_over_kernels_of_the_paper(backend):
    """Eq. 9 as it is printed: K(i) is composed of the first i factors, and convolves the i-th state.

    The factors here are one-dimensional, and the image is so wide that its ends do not matter in the middle.
    """
    states, cores, _ = random_inputs(((1, 1, 41), (2, 2, 2), 3), torch.float64, biases=False)
    first, second = (core[:, :, 1] for core in cores)  # what a single row sees, (out, in, 3)
    kernel = torch.zeros(2, 2, 5, dtype=torch.float64)  # of the oldest state
    for x in range(3):
        for y in range(3):
            kernel[:, :, x + y] += second[:, :, x] @ first[:, :, y]
    expected = (
        states[2][:, :, 0]
        + F.conv1d(states[1][:, :, 0], second, padding=1)
        + F.conv1d(states[0][:, :, 0], kernel, padding=2)
    )
    value = call((states, cores, None))[:, :, 0]
    torch.testing.assert_close(value[..., 1:-1], expected[..., 1:-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("biases", [False, True], ids=["plain", "biases"])
@pytest.mark.parametrize(("ranks", "kernel"), [((8, 8, 8), 5), ((2, 3, 1, 2), 3), ((3, 2), 7)], ids=str)
def test_composed_kernels_give_the_same_away_from_the_border(ranks, kernel, biases):
    inputs = random_inputs(((2, 23, 21), ranks, kernel), torch.float64, biases=biases)
    value, composed = call(inputs), ops.reference.composed_tensor_train_conv(*inputs)
    differs = ((value - composed).abs() > 1e-9).any(dim=1).any(dim=0)
    band = (len(ranks) - 2) * (kernel // 2)
    inside = torch.zeros_like(differs)
    inside[band : 23 - band, band : 21 - band] = True
    assert not differs[inside].any()
    assert differs[~inside].all()  # the documented difference is there


def test_composed_kernels_of_one_state_are_none():
    (state, *_), _, _ = random_inputs(SMALL)
    assert torch.equal(ops.reference.composed_tensor_train_conv([state], []), state)


def test_one_state_is_its_own_value(backend):
    state = torch.randn(2, 3, 4, 5, requires_grad=True)
    value = ops.tensor_train_conv([state], [])
    assert torch.equal(value, state)
    assert torch.equal(torch.autograd.grad(value.sum(), state)[0], torch.ones_like(state))


def test_some_biases_may_be_absent(backend):
    states, cores, biases = random_inputs(PAPER, torch.float64)
    assert_exact((states, cores, [None, biases[1]]), TOLERANCES[torch.float64])
    assert_exact((states, cores, [biases[0], None]), TOLERANCES[torch.float64])
    assert torch.equal(call((states, cores, [None, None])), call((states, cores, None)))


@pytest.mark.parametrize("biases", [False, True], ids=["plain", "biases"])
def test_gradcheck(backend, biases):
    inputs = random_inputs(SMALL, torch.float64, biases=biases)
    orders = len(inputs[0])

    def function(*values):
        return ops.tensor_train_conv(
            values[:orders], values[orders : 2 * orders - 1], values[2 * orders - 1 :] if biases else None
        )

    assert torch.autograd.gradcheck(function, tuple(leaves(inputs)))


@pytest.mark.parametrize("wanted", range(7))  # three states, two cores, two biases
def test_the_gradient_to_one_input_does_not_need_the_others(backend, wanted):
    inputs = random_inputs(SMALL, torch.float64)
    values = in_float64(inputs)
    for index, tensor in enumerate(leaves(inputs)):
        tensor.requires_grad_(index == wanted)
    call(inputs).square().sum().backward()
    formulas(*values).square().sum().backward()
    torch.testing.assert_close(
        leaves(inputs)[wanted].grad, leaves(values)[wanted].grad, rtol=1e-11, atol=1e-11
    )
    assert sum(tensor.grad is not None for tensor in leaves(inputs)) == 1


def test_a_state_may_be_used_twice(backend):
    """As S_1 and S_2: autograd adds up what each use gives."""
    (state, _, newest), cores, biases = random_inputs(((2, 5, 6), (3, 3, 3), 3), torch.float64)
    got = torch.autograd.grad(call(([state, state, newest], cores, biases)).square().sum(), state)
    (copy, copied_newest), copied_cores, copied_biases = in_float64(([state, newest], cores, biases))
    truth = torch.autograd.grad(
        formulas([copy, copy, copied_newest], copied_cores, copied_biases).square().sum(), copy
    )
    torch.testing.assert_close(got, truth, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("size", [(0, 4, 4), (2, 0, 4), (2, 4, 0)], ids=str)
def test_empty_images_have_empty_values_and_zero_gradients(device, size):
    inputs = random_inputs((size, (2, 3, 2), 3), device=device)
    value, *gradients = with_gradients(call, inputs)
    assert value.shape == (size[0], 2, *size[1:])
    for tensor, gradient in zip(leaves(inputs), gradients, strict=True):
        assert torch.equal(gradient, torch.zeros_like(tensor))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 1, 1), (1, 4, 1), (1, 1, 5)], ids=str)
def test_dimensions_of_size_one(backend, device, size, layout):
    for ranks in ((1, 1), (2, 1, 3)):
        inputs = random_inputs((size, ranks, 5), device=device, layout=LAYOUTS[layout])
        assert_exact(inputs, TOLERANCES[torch.float32])


def leaf(tensor):
    return tensor.detach().requires_grad_()


def test_non_contiguous_tensors(backend, device):
    dense = random_inputs(PAPER, device=device)

    def spread(tensor):
        room = torch.full((*tensor.shape, 2), torch.nan, device=device)
        room[..., 1] = tensor.detach()
        return room[..., 1].requires_grad_()

    inputs = mapped(spread, dense)
    assert not inputs[0][0].is_contiguous()
    assert_exact(inputs, TOLERANCES[torch.float32])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_slices_of_channels_are_read_in_place(backend, device, layout):
    """As the preprocessing gives them: the pieces of one convolution's output."""
    torch.manual_seed(0)
    together = torch.randn(2, 24, 9, 17, device=device).contiguous(memory_format=LAYOUTS[layout])
    _, cores, biases = random_inputs(PAPER, device=device)
    assert_exact(([leaf(piece) for piece in together.chunk(3, 1)], cores, biases), TOLERANCES[torch.float32])


def test_transposed_expanded_and_mixed_tensors(backend, device):
    states, cores, biases = random_inputs(((2, 6, 6), (8, 8, 8), 3), device=device)
    states = [
        leaf(states[0].transpose(2, 3)),
        leaf(states[1][:, :1, :, :1].expand(-1, 8, -1, 6)),
        leaf(states[2].contiguous(memory_format=torch.channels_last)),
    ]
    cores = [leaf(cores[0].flip(2)), leaf(cores[1].transpose(0, 1))]
    assert_exact((states, cores, biases), TOLERANCES[torch.float32])
    assert_exact((states[::-1], cores, biases), TOLERANCES[torch.float32])


def test_the_gradient_of_the_value_may_be_expanded(backend):
    inputs = random_inputs(SMALL, torch.float64)
    values = in_float64(inputs)
    got = torch.autograd.grad(call(inputs).sum(), leaves(inputs))
    truth = torch.autograd.grad(formulas(*values).sum(), leaves(values))
    torch.testing.assert_close(got, truth, rtol=1e-11, atol=1e-11)


def test_channels_last_states_give_a_channels_last_value(backend, device):
    value = call(random_inputs(PAPER, device=device, layout=torch.channels_last))
    assert value.is_contiguous(memory_format=torch.channels_last)
    assert call(random_inputs(PAPER, device=device)).is_contiguous()


@needs_native
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_results_do_not_depend_on_the_number_of_threads(dtype):
    inputs = random_inputs(((3, 40, 33), (8, 5, 8), 5), dtype)
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


@needs_native
def test_the_same_bits_every_time(device):
    inputs = random_inputs(((7, 40, 33), (8, 8, 8), 5), device=device)
    first = with_gradients(call, inputs)
    for _ in range(3):
        again = with_gradients(call, inputs)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf], ids=str)
def test_what_is_not_finite_spreads_as_far_as_the_formulas_say(backend, device, broken, dtype):
    for index, (y, x) in ((0, (3, 20)), (0, (0, 0)), (1, (2, 18)), (2, (4, 3))):
        inputs = random_inputs(((2, 8, 21), (2, 2, 2), 5), dtype, device=device)
        with torch.no_grad():
            inputs[0][index][1, 0, y, x] = broken
        got, expected = call(inputs), formulas(*in_float64(inputs))
        assert not expected.isfinite().all()
        assert torch.equal(got.isnan().cpu(), expected.isnan())
        assert torch.equal(got.isfinite().cpu(), expected.isfinite())


@needs_native
@pytest.mark.parametrize("width", [5, 10, 16, 21])
def test_the_gradient_to_a_core_is_broken_only_by_what_its_taps_see(device, width):
    states, cores, biases = random_inputs(((1, 4, width), (2, 2), 5), device=device)
    with torch.no_grad():
        states[0][0, 1, 2, width - 2] = torch.nan  # two columns from the end the last two taps never come
    (gradient,) = torch.autograd.grad(call((states, cores, biases)).sum(), cores)
    broken = gradient.isnan().cpu()
    expected = torch.zeros_like(broken)
    for y in range(5):
        for x in range(5):
            expected[:, 1, y, x] = 0 <= 2 - (y - 2) < 4 and 0 <= width - 2 - (x - 2) < width
    assert torch.equal(broken, expected)


@pytest.mark.parametrize("name", ["states[1]", "cores[0]", "cores[1]", "biases[1]"])
def test_a_wrong_shape_is_named_with_both_shapes(backend, name):
    states, cores, biases = (list(group) for group in random_inputs(SMALL))
    wrong = {
        "states[1]": (states, 1, (2, 3, 5, 5)),
        "cores[0]": (cores, 0, (3, 3, 3, 3)),
        "cores[1]": (cores, 1, (2, 3, 5, 3)),
        "biases[1]": (biases, 1, (3,)),
    }
    group, index, shape = wrong[name]
    good = tuple(group[index].shape)
    group[index] = torch.zeros(shape)
    with pytest.raises(ops.ShapeError) as caught:
        call((states, cores, biases))
    sentence = str(caught.value)
    assert sentence.startswith(f"tensor_train_conv: {name} must have shape ")
    assert sentence.endswith(f", got {shape}")
    assert str(good) in sentence


def test_other_wrong_inputs_are_named(backend):
    states, cores, biases = random_inputs(SMALL)
    with pytest.raises(ops.ShapeError, match="needs at least one state"):
        ops.tensor_train_conv([], [])
    with pytest.raises(ops.ShapeError, match="3 states need 2 cores, got 1"):
        ops.tensor_train_conv(states, cores[:1])
    with pytest.raises(ops.ShapeError, match="2 cores need as many biases, got 1"):
        ops.tensor_train_conv(states, cores, biases[:1])
    with pytest.raises(ops.ShapeError, match=r"cores\[0\] must have an odd kernel, got \(3, 2, 4, 4\)"):
        ops.tensor_train_conv(states, [torch.zeros(3, 2, 4, 4), cores[1]])
    with pytest.raises(ops.ShapeError, match=r"states\[0\] must have shape \(N, R, H, W\), got \(2, 4, 5\)"):
        ops.tensor_train_conv([states[0][:, 0], *states[1:]], cores)
    with pytest.raises(ops.ShapeError, match=r"states\[2\] must have shape \(N, R, H, W\)"):
        ops.tensor_train_conv([*states[:2], states[2][0]], cores)
    with pytest.raises(ops.DtypeError, match=r"states\[0\] must be one of float32, .*, got int64"):
        ops.tensor_train_conv([state.long() for state in states], cores)
    with pytest.raises(ops.DtypeError, match=r"cores\[1\] must be float32 like states\[0\], got bfloat16"):
        ops.tensor_train_conv(states, [cores[0], cores[1].bfloat16()])
    with pytest.raises(ops.DeviceError, match=r"biases\[0\] must be on cpu like states\[0\], got meta"):
        ops.tensor_train_conv(states, cores, [biases[0].to("meta"), biases[1]])


@pytest.mark.parametrize(
    ("dtype", "channels", "out"),
    [(torch.float32, 6, 9), (torch.float64, 6, 9), (torch.bfloat16, 6, 9), (torch.float32, 3, 16)],
    ids=str,
)
def test_a_convolution_to_few_channels_is_a_convolution(backend, device, dtype, channels, out):
    torch.manual_seed(0)
    shapes = (2, channels, 3, 35), (out, channels, 5, 5), (out,)
    inputs = [torch.randn(shape).to(device, dtype).requires_grad_() for shape in shapes]
    exact = [leaf(tensor.double().cpu()) for tensor in inputs]
    got = convolve_to_few_channels(*inputs)
    truth = F.conv2d(*exact, padding=2)
    given = torch.randn(truth.shape, dtype=torch.float64)
    results = (got, *torch.autograd.grad(got, inputs, given.to(got)))
    expected = (truth, *torch.autograd.grad(truth, exact, given))
    for result, true in zip(results, expected, strict=True):
        assert result.dtype == dtype
        bound = 30 * TOLERANCES[dtype]
        torch.testing.assert_close(result.double().cpu(), true, rtol=bound, atol=bound)
