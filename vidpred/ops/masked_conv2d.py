"""Convolution that sees only what comes before a pixel, for PixelCNN decoders (seed 001, eq. 3.11, 3.12)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from vidpred.errors import unknown_name
from vidpred.ops import _extension, reference
from vidpred.ops.autocast import cast_for_autocast
from vidpred.ops.checks import ShapeError, require_like, require_shape, require_supported

Mask = Literal["A", "B"]


def masked_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, mask: Mask, colors: int = 1
) -> Tensor:
    """Convolves with the live taps of a kernel alone, without ever multiplying by the masked ones.

    Live are all rows above the centre of the kernel, in its own row what is left of the centre, and for
    ``mask="B"`` the centre itself::

        A = 1 1 1        B = 1 1 1
            1 0 0            1 1 0
            0 0 0            0 0 0

    With ``colors`` groups of channels (for RGB 3, in this order) the centre tap alone is different: there
    group i of the outputs sees the groups j < i of the inputs for ``"A"`` and j <= i for ``"B"``
    (van den Oord et al., Pixel Recurrent Neural Networks, 2016, sec. 3.4).

    Masked weights are never read: whatever they hold, NaN and infinity included, the result does not
    change, and their gradient is exactly zero. Nor are the pixels read that they would be multiplied by:
    NaN in a pixel spreads only to those that see it, where a dense convolution with zeros in its kernel
    would spread it to all around.

    On the CPU float32 and float64 run on a kernel of their own, differentiable once, in reverse mode; its
    results do not depend on the number of threads. Half types, and CUDA, run on torch's convolutions with the
    rectangles that the live taps form; on CUDA a kernel of matrix products waits to be measured against them
    (`vidpred bench kernels`). Under autocast all tensors but float64 ones are cast to its dtype, as
    for `torch.nn.functional.conv2d`.

    Args:
        x: (N, C_in, H, W). Channels-last tensors are read in place; others are copied there and back.
        weight: (C_out, C_in, K, K), dense, as in a checkpoint; K is odd.
        bias: (C_out,).
        mask: ``"A"`` for the first layer, which must not see the pixel itself; ``"B"`` for all others.
        colors: into how many groups of equal size, one after another, both channels are divided.

    Returns:
        (N, C_out, H, W), channels-last where `x` is.

    Raises:
        ShapeError: a shape does not fit the others, K is even, or `colors` does not divide the channels.
        DtypeError: the tensors are not all of one of float32, float64, bfloat16 and float16.
        DeviceError: the tensors are not all on one device.
        ConfigError: `mask` is neither ``"A"`` nor ``"B"``.
    """
    x, weight, bias = cast_for_autocast(x), cast_for_autocast(weight), cast_for_autocast(bias)
    _check(x, weight, bias, mask, colors)
    if not _extension.serves(x.device.type):
        return reference.masked_conv2d(x, weight, bias, mask=mask, colors=colors)
    on_kernel = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    run = matrix_products if on_kernel else sub_kernels
    return run(x, weight, bias, mask=mask, colors=colors)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, mask: str, colors: int) -> None:
    if mask not in ("A", "B"):
        raise unknown_name("mask", mask, ("A", "B"))
    if x.dim() != 4:
        raise ShapeError(f"masked_conv2d: x must have shape (N, C_in, H, W), got {tuple(x.shape)}")
    if weight.dim() != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
        raise ShapeError(
            f"masked_conv2d: weight must have shape (C_out, C_in, K, K) with odd K, got {tuple(weight.shape)}"
        )
    c_out, _, size, _ = weight.shape
    c_in = x.shape[1]
    require_shape("masked_conv2d", "weight", weight, (c_out, c_in, size, size))
    if colors < 1 or c_in % colors or c_out % colors:
        raise ShapeError(
            f"masked_conv2d: colors must divide the channels of input and output, "
            f"got {colors} for {c_in} and {c_out}"
        )
    require_supported("masked_conv2d", "x", x)
    require_like("masked_conv2d", "weight", weight, "x", x)
    if bias is not None:
        require_shape("masked_conv2d", "bias", bias, (c_out,))
        require_like("masked_conv2d", "bias", bias, "x", x)


def matrix_products(x: Tensor, weight: Tensor, bias: Tensor | None, *, mask: Mask, colors: int) -> Tensor:
    """`masked_conv2d` on kernels that multiply live taps alone: on the CPU, and for comparison on CUDA."""
    rows = x.permute(0, 2, 3, 1).contiguous()  # (N, H, W, C_in), a copy unless channels-last
    y: Tensor = torch.ops.vidpred.masked_conv2d(rows, weight, bias, mask == "B", colors).permute(0, 3, 1, 2)
    return y.contiguous() if x.is_contiguous() else y


def sub_kernels(x: Tensor, weight: Tensor, bias: Tensor | None, *, mask: Mask, colors: int) -> Tensor:
    """`masked_conv2d` as the sum of torch's convolutions with the rectangles that the live taps form.

    They pad on all sides, and what the padding adds at the bottom and on the right is cut off: that costs
    less than a copy of the input with padding where it is needed.
    """
    _, _, height, width = x.shape
    centre = weight.shape[2] // 2
    if centre == 0:
        y = _centre(x, weight, mask, colors)
        y = y if bias is None else y + bias.view(-1, 1, 1)
        # What no channel is seen by has no layout of its own.
        return y.contiguous() if x.is_contiguous() else y.contiguous(memory_format=torch.channels_last)
    above = weight[:, :, :centre]
    whole_centre = mask == "B" and colors == 1
    beside = weight[:, :, centre : centre + 1, : centre + whole_centre]
    y = _convolve(x, above, bias, padding=centre)[:, :, :height]
    y = y + _convolve(x, beside, padding=(0, centre))[..., :width]
    return y if colors == 1 else y + _centre(x, weight, mask, colors)


def _centre(x: Tensor, weight: Tensor, mask: Mask, colors: int) -> Tensor:
    """The share of the centre tap."""
    centre = weight.shape[2] // 2
    weights = weight[:, :, centre, centre]  # (C_out, C_in)
    c_out, c_in = weights.shape
    shares = []
    for color, rows in enumerate(weights.split(c_out // colors)):
        visible = (color + (mask == "B")) * (c_in // colors)
        if visible == 0:  # without a convolution, which needs channels
            shares.append(torch.einsum("nchw,oc->nohw", x[:, :0], rows[:, :0]))
        else:
            shares.append(_convolve(x[:, :visible], rows[:, :visible, None, None]))
    return torch.cat(shares, dim=1)


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int | tuple[int, int] = 0
) -> Tensor:
    """`conv2d`, in bfloat16 on the CPU with an even number of channels.

    oneDNN multiplies those two by two. With an odd number the last pair reaches into the pixel after those
    that the kernel covers, times zero, and would spread NaN from a pixel that is not seen.
    """
    if x.dtype == torch.bfloat16 and x.device.type == "cpu" and x.shape[1] % 2:
        x, weight = (pad(tensor, (0, 0, 0, 0, 0, 1)) for tensor in (x, weight))
    return conv2d(x, weight, bias, padding=padding)


def _like_input(x: Tensor, weight: Tensor, bias: Tensor | None, sees_centre: bool, colors: int) -> Tensor:
    """What the operator returns, for tensors without data."""
    return x.new_empty(*x.shape[:3], weight.shape[0])


def _like_inputs(
    grad_y: Tensor, x: Tensor, weight: Tensor, sees_centre: bool, colors: int, wants_x: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What the operator's backward returns, for tensors without data."""
    grad_x = x.new_empty(x.shape if wants_x else 0)
    return grad_x, weight.new_empty(weight.shape), weight.new_empty(weight.shape[0])


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, ctx.sees_centre, ctx.colors = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    wants_x, _, wants_bias, *_ = ctx.needs_input_grad
    grad_x, grad_weight, grad_bias = torch.ops.vidpred.masked_conv2d_backward(
        grad_y, *ctx.saved_tensors, ctx.sees_centre, ctx.colors, wants_x
    )
    return grad_x if wants_x else None, grad_weight, grad_bias if wants_bias else None, None, None


def _no_second_derivative(ctx: Any, *gradients: Tensor | None) -> None:
    raise NotImplementedError(
        "masked_conv2d has no second derivative on compiled kernels: use vidpred.ops.use_backend('reference')"
    )


if _extension.loaded():
    torch.library.register_fake("vidpred::masked_conv2d", _like_input)
    torch.library.register_fake("vidpred::masked_conv2d_backward", _like_inputs)
    torch.library.register_autograd("vidpred::masked_conv2d", _backward, setup_context=_save_for_backward)
    torch.library.register_autograd("vidpred::masked_conv2d_backward", _no_second_derivative)
