"""The kernels without torch, on each instruction set and in the CUDA emulator, against float64 in NumPy.

The gradients are checked against central differences of the formulas.
"""

import itertools

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from half_bits import from_bits, to_bits
from hypothesis import given
from hypothesis import strategies as st

SHAPES = {
    "contiguous": (2, 6, 16),  # rows, channels, cells of a channel: rows of whole 16-byte accesses
    "odd": (3, 5, 7),
    "channels last": (34, 12, 1),
    "many tiles": (2, 3, 400),
    "many groups": (600, 2, 9),
}
TOLERANCE = {"float32": 2e-6, "float64": 1e-9, "float16": 3e-3, "bfloat16": 2e-2}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_gates(gates, cell, extra=0.0, bias=None, weights=(0.0, 0.0, 0.0)):
    """Eq. 3.1 of seed 001. gates (rows, 4, C, S), cell (rows, C, S), bias (4, C, 1)."""
    i, f, g, o = np.moveaxis(gates + extra + (0.0 if bias is None else bias), 1, 0)
    w_i, w_f, w_o = weights
    new_cell = sigmoid(f + w_f * cell) * cell + sigmoid(i + w_i * cell) * np.tanh(g)
    return sigmoid(o + w_o * new_cell) * np.tanh(new_cell), new_cell


class Problem:
    """Random inputs, exactly representable in `dtype`, in float64 and as the kernels take them."""

    def __init__(self, shape, dtype, extra, bias, peephole):
        random = np.random.default_rng(0)
        rows, channels, inner = shape
        self.dtype, self.shape, self.per_cell = dtype, shape, peephole == "per cell"
        self.values, self.bits = {}, {}
        weight_shape = (channels, inner) if self.per_cell else (channels, 1)
        wanted = {"gates": (rows, 4, channels, inner), "cell": shape}
        wanted |= {"extra": (rows, 4, channels, inner)} if extra else {}
        wanted |= {"bias": (4, channels, 1)} if bias else {}
        wanted |= dict.fromkeys(("w_i", "w_f", "w_o"), weight_shape) if peephole else {}
        for name, size in (wanted | {"grad_hidden": shape, "grad_new_cell": shape}).items():
            self.bits[name] = to_bits(random.standard_normal(size), dtype)
            self.values[name] = from_bits(self.bits[name], dtype)

    def inputs(self, kernels):
        names = ("gates", "cell", "extra", "bias", "w_i", "w_f", "w_o")
        return kernels.LstmGatesInputs(self.shape, self.per_cell, *(self.bits.get(name) for name in names))

    def expected(self, **changed):
        values = self.values | changed
        options = {name: values[name] for name in ("extra", "bias") if name in values}
        if "w_i" in values:
            options["weights"] = [values[name] for name in ("w_i", "w_f", "w_o")]
        return lstm_gates(values["gates"], values["cell"], **options)

    def expected_gradient(self, name, plane=...):
        """Of grad_hidden * hidden + grad_new_cell * new_cell, for the cells one by one, (rows, C, S)."""
        step, sides = 1e-5, []
        for sign in (1, -1):
            moved = self.values[name].copy()
            moved[plane] += sign * step
            hidden, new_cell = self.expected(**{name: moved})
            sides.append(self.values["grad_hidden"] * hidden + self.values["grad_new_cell"] * new_cell)
        return (sides[0] - sides[1]) / (2 * step)

    def assert_close(self, got, expected, addends=1):
        tolerance = TOLERANCE[self.dtype] * addends
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


OPTIONS = list(itertools.product((False, True), (False, True), (None, "per channel", "per cell")))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_states_and_gradients_are_those_of_the_formulas(kernels, place, shape, dtype):
    for options in OPTIONS:
        assert_exact(kernels, place, Problem(shape, dtype, *options))


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 70)),
    dtype=st.sampled_from(list(TOLERANCE)),
    options=st.sampled_from(OPTIONS),
)
def test_any_shape_will_do(kernels, place, shape, dtype, options):
    assert_exact(kernels, place, Problem(shape, dtype, *options))


def assert_exact(kernels, place, problem):
    dtype = problem.dtype
    inputs = problem.inputs(kernels)
    hidden, new_cell = kernels.lstm_gates_forward(place, dtype, inputs)
    expected_hidden, expected_new_cell = problem.expected()
    problem.assert_close(from_bits(hidden, dtype), expected_hidden)
    problem.assert_close(from_bits(new_cell, dtype), expected_new_cell)

    grad_gates, grad_cell, gate_sums, peephole_sums = kernels.lstm_gates_backward(
        place, dtype, inputs, new_cell, problem.bits["grad_hidden"], problem.bits["grad_new_cell"]
    )
    problem.assert_close(from_bits(grad_cell, dtype), problem.expected_gradient("cell"))
    grad_gates = from_bits(grad_gates, dtype)
    rows, channels, inner = problem.shape
    for k in range(4):
        expected = problem.expected_gradient("gates", np.s_[:, k])
        problem.assert_close(grad_gates[:, k], expected)
        if "bias" in problem.bits:
            got = gate_sums[:, k].reshape(len(gate_sums), channels, -1).sum(axis=(0, 2), dtype=np.float64)
            problem.assert_close(got, expected.sum(axis=(0, 2)), addends=np.sqrt(rows * inner))
    for k, name in enumerate(("w_i", "w_f", "w_o") if "w_i" in problem.bits else ()):
        expected = problem.expected_gradient(name).sum(axis=0)
        expected = expected if problem.per_cell else expected.sum(axis=1, keepdims=True)
        got = peephole_sums[:, k].reshape(len(peephole_sums), *expected.shape, -1)
        got = got.sum(axis=(0, 3), dtype=np.float64)
        problem.assert_close(got, expected, addends=np.sqrt(rows * inner))


@pytest.mark.parametrize("absent", ["grad_hidden", "grad_new_cell"])
def test_an_absent_output_gradient_counts_as_zeros(kernels, place, absent):
    problem = Problem((3, 5, 7), "float64", extra=False, bias=False, peephole=None)
    inputs = problem.inputs(kernels)
    _, new_cell = kernels.lstm_gates_forward(place, "float64", inputs)
    given = {name: problem.bits[name] for name in ("grad_hidden", "grad_new_cell")}
    without = given | {absent: None}
    zeros = given | {absent: np.zeros_like(given[absent])}
    results = [
        kernels.lstm_gates_backward(place, "float64", inputs, new_cell, *gradients.values())
        for gradients in (without, zeros)
    ]
    for got, expected in zip(results[0][:2], results[1][:2], strict=True):
        np.testing.assert_array_equal(got, expected)
