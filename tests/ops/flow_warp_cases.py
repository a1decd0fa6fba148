"""What the tests of `flow_warp` share: torch's sampling on the equivalent grid, inputs, the comparison."""

import torch
from torch.nn import functional

from vidpred import ops

TOLERANCES = {
    torch.float32: 1e-5,
    torch.float64: 1e-11,
    torch.float16: 2e-3,
    torch.bfloat16: 1e-2,
}
"""Relative, and absolute below one; coordinates of some hundred pixels cost float32 two digits."""

LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
PADDINGS = ("zeros", "border")
SHAPES = [(2, 3, 7, 9), (1, 16, 5, 140), (3, 8, 6, 4), (1, 21, 3, 130), (5, 1, 2, 2)]
"""Rows of more than a tile, blocks of channels whole and not, more channels than a vector has."""


def sample_on_grid(features, flow, padding):
    """`grid_sample` where the flow points to, for sizes of 2 and more."""
    height, width = features.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=flow.dtype), torch.arange(width, dtype=flow.dtype), indexing="ij"
    )
    grid_x = (x + flow[:, 0]) * (2 / (width - 1)) - 1
    grid_y = (y + flow[:, 1]) * (2 / (height - 1)) - 1
    grid = torch.stack((grid_x, grid_y), dim=-1)
    return functional.grid_sample(features, grid, padding_mode=padding, align_corners=True)


def random_inputs(shape, dtype=torch.float32, device="cpu", layout=torch.contiguous_format, reach=3.0):
    """features and flow, leaves that require gradients; a flow of `reach` pixels, also across the border.

    It is not near whole pixels, where a rounding error decides between two derivatives.
    """
    batch, _, height, width = shape
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(shape, generator=generator).to(device, dtype).contiguous(memory_format=layout)
    flow = reach * torch.randn(batch, 2, height, width, generator=generator)
    flow = torch.where((flow - flow.round()).abs() < 0.1, flow + 0.25, flow)
    return features.requires_grad_(), flow.to(device, dtype).requires_grad_()


def with_gradients(function, features, flow):
    """(warped, gradient to features, gradient to flow), for a fixed random gradient of the output."""
    warped = function(features, flow)
    given = torch.randn(tuple(warped.shape), generator=torch.Generator().manual_seed(1)).to(warped)
    return (warped, *torch.autograd.grad(warped, (features, flow), given))


def in_float64(tensor):
    return tensor.detach().double().cpu().contiguous().requires_grad_()


def assert_exact(features, flow, padding, function=ops.flow_warp):
    """Compares with `grid_sample` in float64 on the same numbers."""
    got = with_gradients(lambda *inputs: function(*inputs, padding=padding), features, flow)
    expected = with_gradients(
        lambda *inputs: sample_on_grid(*inputs, padding), in_float64(features), in_float64(flow)
    )
    tolerance = TOLERANCES[features.dtype]
    channels = features.shape[1]
    for name, result, truth in zip(("warped", "features", "flow"), got, expected, strict=True):
        assert result.dtype == features.dtype, name
        bound = tolerance * (4 * channels**0.5 if name == "flow" else 4)  # sums of so many terms
        torch.testing.assert_close(
            result.double().cpu(),
            truth,
            rtol=bound,
            atol=bound,
            msg=lambda text, name=name: f"{name}: {text}",
        )
