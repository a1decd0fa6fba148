"""`flow_warp` without torch, on each instruction set and in the CUDA emulator, against loops in float64.

The gradients are checked against what the loops' linearity gives: each output is a weighted sum.
"""

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from half_bits import from_bits, to_bits
from hypothesis import given
from hypothesis import strategies as st

TOLERANCE = {"float32": 2e-5, "float64": 1e-11, "float16": 4e-3, "bfloat16": 3e-2}
SHAPES = {
    "odd": (2, 3, 5, 7),
    "whole accesses of 16 bytes": (1, 16, 3, 6),
    "more channels than lanes": (1, 40, 2, 3),
    "rows of more than a tile": (1, 9, 2, 131),
}


def corners(x, y, width, height, padding):
    """The four neighbours of a point, their weights, and the weights' derivatives along x and y."""
    slope_x, slope_y = 1.0, 1.0
    if padding == "border":
        slope_x, slope_y = float(0 < x < width - 1), float(0 < y < height - 1)
        x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, above = int(np.floor(x)), int(np.floor(y))
    right_share, below_share = x - left, y - above
    for v, u in ((0, 0), (0, 1), (1, 0), (1, 1)):
        if 0 <= above + v < height and 0 <= left + u < width:
            share_x, share_y = (1 - right_share, right_share)[u], (1 - below_share, below_share)[v]
            along_x, along_y = (2 * u - 1) * share_y * slope_x, (2 * v - 1) * share_x * slope_y
            yield (above + v, left + u), share_x * share_y, along_x, along_y


def warp(features, flow, grad, padding):
    """The output and both gradients, by loops over the pixels of (N, C, H, W)."""
    warped, grad_features, grad_flow = np.zeros_like(features), np.zeros_like(features), np.zeros_like(flow)
    batch, _, height, width = features.shape
    for n, y, x in np.ndindex(batch, height, width):
        point = x + flow[n, 0, y, x], y + flow[n, 1, y, x]
        for (v, u), weight, along_x, along_y in corners(*point, width, height, padding):
            warped[n, :, y, x] += weight * features[n, :, v, u]
            grad_features[n, :, v, u] += weight * grad[n, :, y, x]
            grad_flow[n, 0, y, x] += along_x * features[n, :, v, u] @ grad[n, :, y, x]
            grad_flow[n, 1, y, x] += along_y * features[n, :, v, u] @ grad[n, :, y, x]
    return warped, grad_features, grad_flow


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_values_and_gradients_are_those_of_the_loops(kernels, place, shape, dtype, channels_last, padding):
    assert_exact(kernels, place, shape, dtype, channels_last, padding)


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 37), st.integers(1, 6), st.integers(1, 40)),
    dtype=st.sampled_from(list(TOLERANCE)),
    channels_last=st.booleans(),
    padding=st.sampled_from(["zeros", "border"]),
)
def test_any_shape_will_do(kernels, place, shape, dtype, channels_last, padding):
    assert_exact(kernels, place, shape, dtype, channels_last, padding)


def assert_exact(kernels, place, shape, dtype, channels_last, padding):
    random = np.random.default_rng(0)
    batch, channels, height, width = shape
    flow = 2.5 * random.standard_normal((batch, 2, height, width))
    flow = np.where(abs(flow - flow.round()) < 0.1, flow + 0.25, flow)  # away from where the slope changes
    bits = {name: to_bits(random.standard_normal(shape), dtype) for name in ("features", "grad")}
    bits["flow"] = to_bits(flow, dtype)
    values = {name: from_bits(array, dtype) for name, array in bits.items()}
    expected = warp(values["features"], values["flow"], values["grad"], padding)

    def laid_out(array, back=False):
        order = (0, 3, 1, 2) if back else (0, 2, 3, 1)
        return np.ascontiguousarray(array.transpose(order)) if channels_last else array

    sizes = (batch, channels, height, width)
    given = (laid_out(bits["features"]), bits["flow"])
    options = (sizes, channels_last, padding == "border")
    warped = kernels.flow_warp_forward(place, dtype, *options, *given)
    grad_features, sums = kernels.flow_warp_backward(place, dtype, *options, *given, laid_out(bits["grad"]))
    grad_features = grad_features if place == "emulated" else from_bits(grad_features, dtype)
    got = (
        laid_out(from_bits(warped, dtype), back=True),
        laid_out(grad_features.astype(np.float64), back=True),
        sums.sum(axis=0, dtype=np.float64),
    )
    for name, result, truth in zip(("warped", "features", "flow"), got, expected, strict=True):
        bound = TOLERANCE[dtype] * (channels**0.5 if name == "flow" else 1)
        np.testing.assert_allclose(result, truth, rtol=bound, atol=bound, err_msg=name)
