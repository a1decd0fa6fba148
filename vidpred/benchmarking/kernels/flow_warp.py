"""The cases of `vidpred.ops.flow_warp`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from vidpred import ops
from vidpred.benchmarking.kernels.case import Case
from vidpred.benchmarking.roofline import Work

_PAPER = (8, 16, 32, 32)
"""(N, C, H, W) of the features that the flow autoencoder warps, at its paper's size."""
_LARGE = (8, 64, 128, 128)


def cases(quick: bool) -> list[Case]:
    """The cases; the two sizes in float32 when `quick`."""
    paper = _case(_PAPER, torch.float32, layer="flow_autoencoder paper, features")
    large = _case(_LARGE, torch.float32)
    if quick:
        return [paper, large]
    return [
        paper,
        large,
        _case(_LARGE, torch.float32, memory_format=torch.channels_last),
        _case(_LARGE, torch.float32, "border"),
        _case(_LARGE, torch.bfloat16),
    ]


def _case(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    padding: str = "zeros",
    layer: str = "",
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Case:
    batch, channels, height, width = shape
    pixels = batch * height * width
    size = dtype.itemsize

    def native(values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        features, flow = values
        return (ops.flow_warp(features, flow, padding=padding),)  # type: ignore[arg-type]

    def eager(values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """torch's own sampling: the grid of where each pixel is, plus the flow, scaled to [-1, 1]."""
        features, flow = values
        y, x = torch.meshgrid(
            torch.arange(height, dtype=flow.dtype, device=flow.device),
            torch.arange(width, dtype=flow.dtype, device=flow.device),
            indexing="ij",
        )
        grid_x = (x + flow[:, 0]) * (2 / (width - 1)) - 1
        grid_y = (y + flow[:, 1]) * (2 / (height - 1)) - 1
        grid = torch.stack((grid_x, grid_y), dim=-1)
        return (grid_sample(features, grid, padding_mode=padding, align_corners=True),)

    return Case(
        name="flow_warp" if padding == "zeros" else f"flow_warp({padding})",
        shape=shape,
        dtype=dtype,
        inputs={"features": shape, "flow": (batch, 2, height, width)},
        variants={"native": native, "eager": eager},
        # Features and flow; what comes out. Then both again, what is given, and both gradients.
        forward=Work(bytes=(2 * channels + 2) * pixels * size),
        backward=Work(bytes=(3 * channels + 4) * pixels * size),
        layer=layer,
        memory_format=memory_format,
        shaped_by={"flow": _between_pixels},
    )


def _between_pixels(flow: Tensor) -> Tensor:
    """A flow that ends away from whole pixels, where rounding decides between two derivatives."""
    return (3 * flow).floor() + 0.1 + 0.8 * torch.rand_like(flow)
