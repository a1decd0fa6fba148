"""Features moved along a flow, without a grid of sampling points in memory (seed 001, eq. 3.3 and 3.5)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from vidpred.errors import unknown_name
from vidpred.ops import _extension, reference
from vidpred.ops.autocast import cast_for_autocast
from vidpred.ops.checks import ShapeError, require_like, require_shape, require_supported

PADDINGS = ("zeros", "border")


def flow_warp(features: Tensor, flow: Tensor, *, padding: Literal["zeros", "border"] = "zeros") -> Tensor:
    """Takes every pixel from where its flow points to: ``warped(p) = features(p + flow(p))``.

    Between pixels the value is interpolated bilinearly, as by `torch.nn.functional.grid_sample` with
    ``align_corners=True`` on the grid that the flow amounts to; sizes of 1 are no exception here.

    Differentiable once in both tensors, in reverse mode (`backward`, not `torch.func.jvp`). Where a point
    falls on a pixel the interpolation has a kink: the derivative along x and y is the one towards larger
    coordinates. It is zero where the point is clamped to the border, and on it.

    Half types are computed in float32 and rounded at the end; a bfloat16 flow of 8 pixels is only known to
    a sixteenth of one. Under autocast both tensors are cast to its dtype, unless float64. On CUDA the
    gradient to the features is summed in whatever order threads come; after
    `torch.use_deterministic_algorithms(True)` plain torch is used there, which sorts instead.

    Args:
        features: (N, C, H, W). Contiguous and channels-last tensors are read in place and the result lies
            like them; others are copied first. Not-a-number and infinity spread to the pixels that
            interpolate them, even with weight zero.
        flow: (N, 2, H, W), in pixels: channel 0 along x, to the right, channel 1 along y, down. Points
            infinitely far away are outside; not-a-number gives not-a-number.
        padding: what is outside the image: ``"zeros"``, for each of the four pixels that are interpolated;
            or ``"border"``: points outside are moved to the nearest point inside.

    Returns:
        (N, C, H, W).

    Raises:
        ConfigError: an unknown padding.
        ShapeError: a shape does not fit the other.
        DtypeError: the tensors are not both of one of float32, float64, bfloat16 and float16.
        DeviceError: the tensors are not on one device.
    """
    features, flow = cast_for_autocast(features), cast_for_autocast(flow)
    _check(features, flow, padding)
    if not _extension.serves(features.device.type) or _must_be_deterministic(features, flow):
        return reference.flow_warp(features, flow, padding=padding)
    if features.is_contiguous() or not features.is_contiguous(memory_format=torch.channels_last):
        return torch.ops.vidpred.flow_warp(features, flow, padding == "border", False)
    rows = features.permute(0, 2, 3, 1)
    return torch.ops.vidpred.flow_warp(rows, flow, padding == "border", True).permute(0, 3, 1, 2)


def _must_be_deterministic(features: Tensor, flow: Tensor) -> bool:
    differentiated = torch.is_grad_enabled() and features.requires_grad
    return differentiated and features.is_cuda and torch.are_deterministic_algorithms_enabled()


def _check(features: Tensor, flow: Tensor, padding: str) -> None:
    if padding not in PADDINGS:
        raise unknown_name("padding", padding, PADDINGS)
    if features.dim() != 4:
        raise ShapeError(f"flow_warp: features must have shape (N, C, H, W), got {tuple(features.shape)}")
    batch, _, height, width = features.shape
    require_supported("flow_warp", "features", features)
    require_shape("flow_warp", "flow", flow, (batch, 2, height, width))
    require_like("flow_warp", "flow", flow, "features", features)


def _like_features(features: Tensor, flow: Tensor, border: bool, channels_last: bool) -> Tensor:
    """What the operator returns, for tensors without data."""
    return torch.empty_like(features, memory_format=torch.contiguous_format)


def _like_inputs(
    grad_warped: Tensor, features: Tensor, flow: Tensor, border: bool, channels_last: bool
) -> tuple[Tensor, Tensor]:
    """What the operator's backward returns, for tensors without data."""
    return _like_features(features, flow, border, channels_last), flow.new_empty(flow.shape)


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, flow, ctx.border, ctx.channels_last = inputs
    ctx.save_for_backward(features, flow)


def _backward(ctx: Any, grad_warped: Tensor) -> tuple[Tensor | None, ...]:
    gradients = torch.ops.vidpred.flow_warp_backward(
        grad_warped, *ctx.saved_tensors, ctx.border, ctx.channels_last
    )
    return (*gradients, None, None)


def _no_second_derivative(ctx: Any, *gradients: Tensor | None) -> None:
    raise NotImplementedError(
        "flow_warp has no second derivative on compiled kernels: use vidpred.ops.use_backend('reference')"
    )


if _extension.loaded():
    torch.library.register_fake("vidpred::flow_warp", _like_features)
    torch.library.register_fake("vidpred::flow_warp_backward", _like_inputs)
    torch.library.register_autograd("vidpred::flow_warp", _backward, setup_context=_save_for_backward)
    torch.library.register_autograd("vidpred::flow_warp_backward", _no_second_derivative)
