"""The values and gradients of `vidpred.ops.lstm_gates`, with every dtype, layout and option."""

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
    in_float64,
    random_inputs,
    with_gradients,
)

from vidpred import ops

needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the kernels are not built")
HALF_TYPES = (torch.float16, torch.bfloat16)


@pytest.mark.parametrize(("extra", "bias", "peephole"), OPTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_states_and_gradients_are_those_of_the_formulas(backend, dtype, layout, extra, bias, peephole):
    shape, memory = LAYOUTS[layout]
    tolerance = TOLERANCES[dtype]
    if backend == "reference" and dtype in HALF_TYPES:
        tolerance *= 4  # plain torch rounds after every operation
    assert_exact(random_inputs(shape, dtype, extra, bias, peephole, layout=memory), tolerance)


@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
@pytest.mark.parametrize(
    "shape",
    [
        (9000, 2),
        (3, 9001),
        (40, 3, 40, 40),
        (2, 9, 33, 31),
        (1, 2, 9001),
        (300, 2, 1, 7),
        (3, 64, 4, 4),
        (2, 99, 3),
    ],
    ids=str,
)
def test_many_cells_are_as_exact_as_few(backend, shape, peephole):
    """The work is cut by rows, by channels, and into tiles, and the last piece is smaller."""
    assert_exact(random_inputs(shape, torch.float32, True, True, peephole), TOLERANCES[torch.float32])


@needs_native
@pytest.mark.parametrize("dtype", HALF_TYPES, ids=str)
def test_half_types_are_computed_in_float32_and_rounded_once_to_nearest(device, dtype):
    inputs = random_inputs((40, 75), dtype, True, True, "per channel", device)
    half_a_step = torch.finfo(dtype).eps / 2
    for state, truth in zip(call(inputs), formulas(**in_float64(inputs)), strict=True):
        torch.testing.assert_close(state.double().cpu(), truth, rtol=1.01 * half_a_step, atol=1e-6)


@needs_native
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_every_number_of_neighbours_is_served(dtype):
    """Whatever remains when the cells are taken several at a time."""
    for count in (*range(1, 36), 63, 64, 65, 255, 256, 257, 513):
        for shape in ((2, count), (2, 1, count)):
            assert_exact(random_inputs(shape, dtype, True, True, "per channel"), TOLERANCES[dtype])


def test_is_the_cell_of_torch(backend):
    """`torch.nn.LSTMCell` has the same order of gates, and knows nothing of this project."""
    torch.manual_seed(0)
    cell = torch.nn.LSTMCell(5, 7, dtype=torch.float64)
    frame, hidden, memory = (torch.randn(3, size, dtype=torch.float64) for size in (5, 7, 7))
    memory.requires_grad_()
    expected = cell(frame, (hidden, memory))
    got = ops.lstm_gates(
        frame @ cell.weight_ih.T,
        memory,
        extra=hidden @ cell.weight_hh.T,
        bias=cell.bias_ih + cell.bias_hh,
    )
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    inputs = [memory, *cell.parameters()]
    weights = [torch.randn_like(state) for state in expected]
    torch.testing.assert_close(
        torch.autograd.grad(got, inputs, weights),
        torch.autograd.grad(expected, inputs, weights),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("used", ["both", "hidden", "new_cell"])
@pytest.mark.parametrize(("extra", "bias", "peephole"), OPTIONS)
def test_gradcheck(backend, extra, bias, peephole, used):
    inputs = random_inputs((2, 2, 3), torch.float64, extra, bias, peephole)
    outputs = {"both": slice(0, 2), "hidden": slice(0, 1), "new_cell": slice(1, 2)}[used]

    def function(*values):
        return call(dict(zip(inputs, values, strict=True)))[outputs]

    assert torch.autograd.gradcheck(function, tuple(inputs.values()))


@pytest.mark.parametrize("used", [0, 1], ids=["hidden", "new_cell"])
def test_one_output_can_go_unused(backend, used):
    inputs = random_inputs((3, 4, 5, 5), torch.float32, True, True, "per channel")
    values = in_float64(inputs)
    got = torch.autograd.grad(call(inputs)[used].sum(), list(inputs.values()), materialize_grads=True)
    truth = torch.autograd.grad(formulas(**values)[used].sum(), list(values.values()), materialize_grads=True)
    for result, expected in zip(got, truth, strict=True):
        torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("peephole", ["per channel", "per pixel"])
@pytest.mark.parametrize("wanted", NAMES)
def test_the_gradient_to_one_input_does_not_need_the_others(backend, wanted, peephole):
    inputs = random_inputs((2, 3, 4, 5), torch.float64, True, True, peephole)
    values = in_float64(inputs)
    for name, tensor in inputs.items():
        tensor.requires_grad_(name == wanted)
    sum(state.square().sum() for state in call(inputs)).backward()
    sum(state.square().sum() for state in formulas(**values)).backward()
    torch.testing.assert_close(inputs[wanted].grad, values[wanted].grad, rtol=1e-12, atol=1e-12)
    assert all(tensor.grad is None for name, tensor in inputs.items() if name != wanted)


def test_gradients_accumulate_without_sharing_memory(backend):
    """`gates` and `extra` have the same gradient, and each must have its own copy to add to."""
    inputs = random_inputs((2, 3, 4), torch.float64, True, True, "per channel")
    for _ in range(2):
        sum(state.sum() for state in call(inputs)).backward()
    values = in_float64(inputs)
    sum(2 * state.sum() for state in formulas(**values)).backward()
    for name, tensor in inputs.items():
        torch.testing.assert_close(tensor.grad, values[name].grad, rtol=1e-12, atol=1e-12)
    inputs["gates"].grad.zero_()
    torch.testing.assert_close(inputs["extra"].grad, values["extra"].grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (0, 5)], ids=str)
def test_empty_tensors_have_empty_states_and_zero_gradients(backend, device, shape, peephole):
    inputs = random_inputs(shape, torch.float32, True, True, peephole, device)
    hidden, new_cell, *gradients = with_gradients(call, inputs)
    assert hidden.shape == new_cell.shape == shape
    for tensor, gradient in zip(inputs.values(), gradients, strict=True):
        assert torch.equal(gradient, torch.zeros_like(tensor))


@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
def test_non_contiguous_tensors(backend, device, peephole):
    dense = random_inputs((4, 6, 5, 8), torch.float32, True, True, peephole, device)
    spread = {}
    for name, tensor in dense.items():
        room = torch.full((*tensor.shape, 2), torch.nan, device=device)
        room[..., 1] = tensor.detach()
        spread[name] = room[..., 1].requires_grad_()
    assert not spread["gates"].is_contiguous()
    assert_exact(spread, TOLERANCES[torch.float32])


@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
def test_transposed_and_expanded_tensors(backend, device, peephole):
    inputs = random_inputs((4, 3, 5, 5), torch.float32, True, True, peephole, device)
    inputs["gates"] = inputs["gates"].detach().transpose(2, 3).requires_grad_()
    inputs["cell"] = inputs["cell"].detach().flip(0)[:1].expand(4, -1, -1, -1).requires_grad_()
    inputs["extra"] = inputs["extra"].detach()[..., :1].expand(-1, -1, -1, 5).requires_grad_()
    inputs["bias"] = inputs["bias"].detach()[:1].expand(12).requires_grad_()
    assert_exact(inputs, TOLERANCES[torch.float32])
    rows = random_inputs((6, 4), torch.float32, device=device)
    rows = {name: tensor.detach().T.contiguous().T.requires_grad_() for name, tensor in rows.items()}
    assert_exact(rows, TOLERANCES[torch.float32])


@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
@pytest.mark.parametrize("which", [("gates",), ("cell",), ("extra",), ("gates", "cell"), ("cell", "extra")])
def test_only_some_tensors_are_channels_last(backend, device, which, peephole):
    inputs = random_inputs((3, 5, 6, 7), torch.float32, True, True, peephole, device)
    for name in which:
        inputs[name] = inputs[name].detach().to(memory_format=torch.channels_last).requires_grad_()
    assert_exact(inputs, TOLERANCES[torch.float32])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (2, 1, 4, 3), (2, 3, 1, 1), (1, 3, 4, 1), (1, 1, 1, 5)], ids=str
)
def test_dimensions_of_size_one(backend, device, shape, layout):
    for peephole in (None, "per channel", "per pixel"):
        inputs = random_inputs(shape, torch.float32, True, True, peephole, device, layout)
        assert_exact(inputs, TOLERANCES[torch.float32])
    assert_exact(random_inputs((1, 1), device=device), TOLERANCES[torch.float32])


@needs_native
def test_channels_last_states_stay_channels_last(device):
    hidden, new_cell = call(random_inputs((3, 5, 6, 7), device=device, layout=torch.channels_last))
    assert hidden.is_contiguous(memory_format=torch.channels_last)
    assert new_cell.is_contiguous(memory_format=torch.channels_last)


@needs_native
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_results_do_not_depend_on_the_number_of_threads(dtype):
    inputs = random_inputs((7, 12, 33, 31), dtype, True, True, "per channel")
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
@pytest.mark.parametrize("peephole", [None, "per channel", "per pixel"])
def test_the_same_bits_every_time(device, peephole):
    inputs = random_inputs((50, 8, 17, 16), torch.float32, True, True, peephole, device)
    first = with_gradients(call, inputs)
    for _ in range(3):
        again = with_gradients(call, inputs)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def every_combination(gate_values, cell_values, dtype, device):
    """One cell for each choice of its four gates, (combinations, 4), and its state, (combinations, 1)."""
    choices = [torch.tensor(values, dtype=dtype) for values in (*[gate_values] * 4, cell_values)]
    table = torch.cartesian_prod(*choices).to(device)
    return {"gates": table[:, :4].clone().requires_grad_(), "cell": table[:, 4:].clone().requires_grad_()}


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_saturated_gates_have_exact_states_and_gradients(backend, device, dtype):
    if backend == "reference" and dtype in HALF_TYPES:
        pytest.skip("plain torch rounds half types after every operation")
    far = (-torch.inf, -1e4, -89.0, -20.0, -1e-7, 0.0, 1e-7, 20.0, 89.0, 1e4, torch.inf)
    inputs = every_combination(far, (-1.5, 0.0, 0.25), dtype, device)
    assert_exact(inputs, TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_huge_states_stay_finite_and_keep_their_values(backend, device, dtype):
    inputs = every_combination((-1e4, -1.0, 0.0, 1e4), (-1e4, 1e4), dtype, device)
    hidden, new_cell, *gradients = with_gradients(call, inputs)
    truth = formulas(**in_float64(inputs))
    tolerance = 4 * TOLERANCES[dtype]
    torch.testing.assert_close(hidden.double().cpu(), truth[0], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(new_cell.double().cpu(), truth[1], rtol=tolerance, atol=tolerance)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_an_infinite_state_saturates_the_hidden_one(backend, device):
    cell = torch.tensor([[torch.inf] * 37, [-torch.inf] * 37], device=device)
    hidden, new_cell = ops.lstm_gates(torch.zeros(2, 4 * 37, device=device), cell)
    assert torch.equal(new_cell, cell)
    torch.testing.assert_close(hidden, torch.sign(cell) / 2)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_not_a_number_spreads_as_far_as_the_formulas_say(backend, device, name, dtype):
    for position in (0, 36, 74):
        inputs = random_inputs((3, 75), dtype, True, True, "per channel", device)
        with torch.no_grad():
            inputs[name][..., position] = torch.nan
        got = with_gradients(call, inputs)
        truth = with_gradients(lambda values: formulas(**values), in_float64(inputs))
        assert truth[0].isnan().any()
        for what, result, expected in zip(("hidden", "new_cell", *inputs), got, truth, strict=True):
            assert torch.equal(result.isnan().cpu(), expected.isnan()), what


GOOD = {"gates": (2, 12, 4, 5), "cell": (2, 3, 4, 5), "extra": (2, 12, 4, 5), "bias": (12,)}
GOOD |= dict.fromkeys(("w_i", "w_f", "w_o"), (3,))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("gates", (2, 9, 4, 5)),
        ("gates", (2, 12, 5, 4)),
        ("gates", (2, 12, 20)),
        ("gates", (1, 12, 4, 5)),
        ("extra", (1, 12, 4, 5)),
        ("extra", (2, 3, 4, 5)),
        ("bias", (3,)),
        ("bias", (12, 1, 1)),
        ("w_i", (4, 5)),
        ("w_i", (1, 3, 4, 5)),
        ("w_f", (3, 4, 5)),
        ("w_o", (12,)),
    ],
)
def test_a_wrong_shape_is_named_with_both_shapes(backend, name, shape):
    inputs = {key: torch.zeros(size) for key, size in (GOOD | {name: shape}).items()}
    with pytest.raises(ops.ShapeError) as caught:
        call(inputs)
    sentence = str(caught.value)
    assert sentence.startswith(f"lstm_gates: {name} must have shape ")
    assert str(GOOD[name]) in sentence
    assert sentence.endswith(f", got {shape}")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cell"])
def test_a_wrong_dtype_or_device_is_named(backend, name):
    inputs = {key: torch.zeros(size) for key, size in GOOD.items()}
    with pytest.raises(ops.DtypeError, match=f"^lstm_gates: {name} must be float32 like cell, got bfloat16$"):
        call(inputs | {name: inputs[name].bfloat16()})
    with pytest.raises(ops.DeviceError, match=f"^lstm_gates: {name} must be on cpu like cell, got meta$"):
        call(inputs | {name: inputs[name].to("meta")})


def test_other_wrong_inputs_are_named(backend):
    gates, cell = torch.zeros(2, 12), torch.zeros(2, 3)
    with pytest.raises(ops.DtypeError, match=r"cell must be one of float32, .*, got int64"):
        ops.lstm_gates(gates.long(), cell.long())
    with pytest.raises(ops.DtypeError, match="got complex64"):
        ops.lstm_gates(gates.cfloat(), cell.cfloat())
    with pytest.raises(ops.ShapeError, match=r"three weights \(w_i, w_f, w_o\), got 1"):
        ops.lstm_gates(gates, cell, peephole=(torch.zeros(3),))
    with pytest.raises(ops.ShapeError, match=r"cell must have shape \(N, C, \*space\), got \(3,\)"):
        ops.lstm_gates(gates, cell[0])
