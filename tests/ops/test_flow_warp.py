"""The values and gradients of `vidpred.ops.flow_warp`, with every dtype, layout and padding."""

import math

import pytest
import torch
from flow_warp_cases import (
    LAYOUTS,
    PADDINGS,
    SHAPES,
    TOLERANCES,
    assert_exact,
    random_inputs,
    sample_on_grid,
    with_gradients,
)

from vidpred import ops
from vidpred.errors import ConfigError

needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the kernels are not built")


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_is_torchs_sampling_on_the_grid_that_the_flow_amounts_to(backend, shape, dtype, layout, padding):
    features, flow = random_inputs(shape, dtype, layout=LAYOUTS[layout])
    assert_exact(features, flow, padding)
    assert ops.flow_warp(features, flow).stride() == features.stride()


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_flow_of_whole_pixels_moves_them(backend, padding):
    """By hand: features that are their own coordinates, moved right by two and up by one."""
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    features = torch.stack((x, y))[None] + 1
    flow = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 4, 6)
    warped = ops.flow_warp(features, flow, padding=padding)
    if padding == "zeros":
        inside = (x + 2 < 6) & (y - 1 >= 0)
        expected = torch.stack(((x + 3) * inside, y * inside))[None]
    else:
        expected = torch.stack(((x + 3).clamp(max=6), y.clamp(min=1)))[None]
    assert torch.equal(warped, expected)


def test_flow_channel_0_is_x_and_channel_1_is_y(backend):
    features = torch.zeros(1, 1, 5, 5)
    features[0, 0, 1, 3] = 1.0
    flow = torch.zeros(1, 2, 5, 5)
    flow[:, 0], flow[:, 1] = 1.0, -2.0
    assert ops.flow_warp(features, flow).nonzero().tolist() == [[0, 0, 3, 2]]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (2, 3, 1, 6), (2, 3, 6, 1)], ids=str)
def test_images_of_one_pixel_one_row_or_one_column(backend, shape, padding):
    """`grid_sample` divides by zero there; an image doubled (border) or padded with zeros is the same."""
    features, flow = random_inputs(shape, torch.float64)
    if padding == "border":
        larger = torch.cat((features, features), 2) if shape[2] == 1 else features
        larger = torch.cat((larger, larger), 3) if shape[3] == 1 else larger
        flow_there = torch.cat((flow, flow), 2) if shape[2] == 1 else flow
        flow_there = torch.cat((flow_there, flow_there), 3) if shape[3] == 1 else flow_there
    else:
        larger = torch.nn.functional.pad(features, (0, 1, 0, 1))
        flow_there = torch.nn.functional.pad(flow, (0, 1, 0, 1))
    expected = sample_on_grid(larger, flow_there, padding)[:, :, : shape[2], : shape[3]]
    torch.testing.assert_close(ops.flow_warp(features, flow, padding=padding), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)], ids=str)
def test_nothing_to_warp(backend, shape, layout):
    features, flow = random_inputs(shape, layout=LAYOUTS[layout])
    warped, grad_features, grad_flow = with_gradients(ops.flow_warp, features, flow)
    assert warped.shape == grad_features.shape == shape
    assert torch.equal(grad_flow, torch.zeros_like(flow))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradcheck_away_from_pixels(backend, layout, padding):
    features, flow = random_inputs((2, 3, 4, 5), torch.float64, layout=LAYOUTS[layout])
    with torch.no_grad():  # where the interpolation is smooth
        flow.copy_(flow.floor() + 0.2 + 0.6 * torch.rand_like(flow))
    assert torch.autograd.gradcheck(
        lambda *inputs: ops.flow_warp(*inputs, padding=padding), (features, flow), fast_mode=False
    )


def test_at_a_pixel_the_derivative_is_the_one_towards_larger_coordinates(backend):
    features = torch.tensor([[1.0, 2.0, 5.0], [7.0, 4.0, 6.0], [3.0, 9.0, 8.0]], dtype=torch.float64)
    flow = torch.zeros(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(ops.flow_warp(features.view(1, 1, 3, 3), flow).sum(), flow)
    right = torch.nn.functional.pad(features, (0, 1, 0, 0))[:, 1:]
    below = torch.nn.functional.pad(features, (0, 0, 0, 1))[1:]
    assert torch.equal(gradient[0, 0], right - features)
    assert torch.equal(gradient[0, 1], below - features)


def test_on_and_beyond_the_border_the_clamped_coordinate_has_no_derivative(backend):
    features = torch.tensor([1.0, 3.0, 9.0]).view(1, 1, 1, 3)
    flow = torch.zeros(1, 2, 1, 3)
    flow[0, 0, 0] = torch.tensor([-0.5, 0.5, 0.25])  # to -0.5, 1.5 and 2.25
    flow.requires_grad_()
    warped = ops.flow_warp(features, flow, padding="border")
    assert warped.flatten().tolist() == [1.0, 6.0, 9.0]
    (gradient,) = torch.autograd.grad(warped.sum(), flow)
    assert gradient[0, 0, 0].tolist() == [0.0, 6.0, 0.0]
    assert gradient[0, 1, 0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_that_are_no_numbers_spread_to_what_interpolates_them_alone(backend, layout, padding):
    for bad in (math.nan, math.inf):
        features, flow = random_inputs((1, 9, 6, 7), layout=LAYOUTS[layout])
        with torch.no_grad():
            features[0, 4, 2, 3] = bad
        warped, _, _ = with_gradients(lambda *inputs: ops.flow_warp(*inputs, padding=padding), features, flow)
        with ops.use_backend("reference"):
            expected, _, _ = with_gradients(
                lambda *inputs: ops.flow_warp(*inputs, padding=padding), features, flow
            )
        torch.testing.assert_close(warped, expected, equal_nan=True, rtol=1e-5, atol=1e-5)
        spoilt = ~warped.isfinite()
        assert 0 < spoilt.sum() < 30
        assert set(spoilt.nonzero()[:, 1].tolist()) == {4}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_flows_that_are_no_numbers_or_lead_far_away(backend, layout):
    """Far away is outside; not-a-number gives not-a-number; nothing is read beyond the tensor."""
    features, flow = random_inputs((1, 3, 4, 5), layout=LAYOUTS[layout])
    far = torch.tensor([math.inf, -math.inf, 1e30, -1e30, 3e9])
    with torch.no_grad():
        flow.zero_()
        flow[0, 0, 1] = far
        flow[0, 1, 2] = far
        flow[0, 0, 3, 2] = math.nan
    warped, grad_features, grad_flow = with_gradients(ops.flow_warp, features, flow)
    assert torch.equal(warped[0, :, 0], features[0, :, 0])
    assert (warped[0, :, 1:3] == 0).all()
    assert warped[0, :, 3, 2].isnan().all()
    assert grad_features.isfinite().all()
    assert (grad_flow[0, :, 1:3] == 0).all()
    border = ops.flow_warp(features, flow, padding="border")
    assert torch.equal(border[0, :, 1, 0], features[0, :, 1, 4])
    assert torch.equal(border[0, :, 1, 1], features[0, :, 1, 0])
    assert border[0, :, 3, 2].isnan().all()


@needs_native
def test_half_types_are_rounded_once():
    for dtype in (torch.float16, torch.bfloat16):
        features, flow = random_inputs((2, 5, 8, 40), dtype)
        with ops.use_backend("reference"):
            exact = ops.flow_warp(features.double(), flow.double())
        half_a_step = torch.finfo(dtype).eps / 2
        torch.testing.assert_close(
            ops.flow_warp(features, flow).double(), exact, rtol=1.01 * half_a_step, atol=2e-5
        )


@needs_native
def test_neither_the_result_nor_a_gradient_depends_on_threads():
    for shape in ((1, 40, 30, 30), (8, 16, 32, 32)):
        features, flow = random_inputs(shape)
        many = with_gradients(ops.flow_warp, features, flow)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            one = with_gradients(ops.flow_warp, features, flow)
        finally:
            torch.set_num_threads(threads)
        for a, b in zip(many, one, strict=True):
            assert torch.equal(a, b)


def test_tensors_that_are_not_contiguous_are_served(backend):
    features, flow = random_inputs((2, 6, 8, 10), torch.float64)
    shuffled = features.detach().flip(0).transpose(2, 3)[:, ::2].requires_grad_()  # (2, 3, 10, 8)
    turned = flow.detach().transpose(2, 3).requires_grad_()
    assert_exact(shuffled, turned, "zeros")


GOOD = {"features": (2, 3, 4, 5), "flow": (2, 2, 4, 5)}


@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 5), (1, 2, 4, 5), (2, 2, 5, 4), (2, 2, 4), (2, 4, 5, 2)], ids=str
)
def test_a_wrong_flow_is_named_with_both_shapes(backend, shape):
    with pytest.raises(ops.ShapeError) as caught:
        ops.flow_warp(torch.zeros(2, 3, 4, 5), torch.zeros(shape))
    assert str(caught.value) == f"flow_warp: flow must have shape (2, 2, 4, 5), got {shape}"


def test_other_wrong_inputs_are_named(backend):
    features, flow = torch.zeros(2, 3, 4, 5), torch.zeros(2, 2, 4, 5)
    with pytest.raises(ops.ShapeError, match=r"features must have shape \(N, C, H, W\), got \(3, 4, 5\)"):
        ops.flow_warp(features[0], flow)
    with pytest.raises(ops.DtypeError, match="flow must be float32 like features, got float64"):
        ops.flow_warp(features, flow.double())
    with pytest.raises(ops.DtypeError, match=r"features must be one of float32, .*, got int64"):
        ops.flow_warp(features.long(), flow.long())
    with pytest.raises(ops.DeviceError, match="flow must be on cpu like features, got meta"):
        ops.flow_warp(features, flow.to("meta"))
    with pytest.raises(ConfigError, match=r"unknown padding 'reflect'.*border, zeros"):
        ops.flow_warp(features, flow, padding="reflect")
