"""The kernels without torch, on each instruction set and in the CUDA emulator, against SciPy in float64."""

import itertools

import numpy as np
import pytest

pytest.importorskip("hypothesis")
pytest.importorskip("scipy")
from half_bits import from_bits, to_bits
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d

TOLERANCE = {"float32": 4e-6, "float64": 1e-12, "float16": 6e-3, "bfloat16": 5e-2}


def convolve(images, core):
    """(N, I, H, W) with (O, I, K, K): `correlate2d` pads with zeros, and keeps the size."""
    return np.stack(
        [
            [
                sum(correlate2d(image[i], core[o, i], mode="same") for i in range(core.shape[1]))
                for o in range(core.shape[0])
            ]
            for image in images
        ]
    )


class Problem:
    """A random tensor-train, exactly representable in `dtype`, in float64 and as the kernels take it."""

    def __init__(self, size, ranks, kernel, dtype, biases):
        self.random = np.random.default_rng(0)
        self.dtype, self.links = dtype, len(ranks) - 1
        batch, height, width = size
        self.states = [self.draw(batch, rank, height, width) for rank in ranks]
        self.cores = [
            self.draw(out, into, kernel, kernel, scale=(into * kernel**2) ** -0.5)
            for into, out in itertools.pairwise(ranks)
        ]
        self.biases = [self.draw(rank) for rank in ranks[1:]] if biases else []
        self.grad = self.draw(batch, ranks[-1], height, width)

    def draw(self, *shape, scale=1.0):
        bits = to_bits(self.random.standard_normal(shape) * scale, self.dtype)
        return from_bits(bits, self.dtype), bits

    def expected_values(self):
        values = [self.states[0][0]]
        for index, ((state, _), (core, _)) in enumerate(zip(self.states[1:], self.cores, strict=True)):
            bias = self.biases[index][0][:, None, None] if self.biases else 0.0
            values.append(state + convolve(values[-1], core) + bias)
        return values

    def expected_gradients(self):
        """To S_1, ..., S_N: the adjoint of a convolution is one with the core transposed and flipped."""
        gradients = [self.grad[0]]
        for core, _ in reversed(self.cores):
            gradients.append(convolve(gradients[-1], core.swapaxes(0, 1)[:, :, ::-1, ::-1]))
        return gradients[::-1]

    def assert_close(self, got, expected, addends=1):
        bound = TOLERANCE[self.dtype] * self.links * addends**0.5
        np.testing.assert_allclose(from_bits(got, self.dtype), expected, rtol=bound, atol=bound)

    def check(self, kernels, place):
        def bits(pairs):
            return [pair[1] for pair in pairs]

        values = kernels.tensor_train_conv_forward(
            place, self.dtype, bits(self.states), bits(self.cores), bits(self.biases)
        )
        expected = self.expected_values()
        for got, truth in zip(values, expected[1:], strict=True):
            self.assert_close(got, truth)
        gradients = kernels.tensor_train_conv_backward(place, self.dtype, self.grad[1], bits(self.cores))
        truths = self.expected_gradients()
        for got, truth in zip(gradients, truths[:-1], strict=True):
            self.assert_close(got, truth)
        self.check_core_gradient(kernels, place)

    def check_core_gradient(self, kernels, place):
        """Of the last link, alone: what it takes and what it gives are random here."""
        (taken, taken_bits), (given_, given_bits) = self.states[-2], self.grad
        kernel = self.cores[-1][0].shape[-1]
        core, bias = kernels.tensor_train_conv_core_gradient(
            place, self.dtype, taken_bits, given_bits, kernel
        )
        batch, _, height, width = taken.shape
        reach = kernel // 2
        padded = np.pad(taken, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
        expected = np.stack(
            [
                np.einsum("nohw,nihw->oi", given_, padded[:, :, y : y + height, x : x + width])
                for y in range(kernel)
                for x in range(kernel)
            ],
            axis=-1,
        )
        addends = batch * height * width
        if core.dtype != np.uint16:  # partial sums
            core, bias = core.sum(axis=0, dtype=np.float64), bias.sum(axis=0, dtype=np.float64)
        self.assert_close(core.reshape(expected.shape), expected, addends)
        self.assert_close(bias.reshape(-1), given_.sum(axis=(0, 2, 3)), addends)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_shape_of_the_paper(kernels, place, dtype):
    Problem((2, 20, 37), (8, 8, 8), 5, dtype, biases=True).check(kernels, place)


@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 21), st.integers(1, 37)),
    ranks=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    kernel=st.sampled_from((1, 3, 5, 7)),
    dtype=st.sampled_from(tuple(TOLERANCE)),
    biases=st.booleans(),
)
def test_any_shape(kernels, place, size, ranks, kernel, dtype, biases):
    Problem(size, ranks, kernel, dtype, biases).check(kernels, place)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_chain_that_cuda_takes(kernels, place, dtype):
    """In float64 its tiles do not fit into shared memory at once, and go link by link."""
    Problem((1, 9, 10), (16,) * 5, 7, dtype, biases=True).check(kernels, place)
