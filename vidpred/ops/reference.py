"""The ops in plain torch: what the kernels are compared with, and what runs where there are none.

Each function has the signature and the result of its namesake in `vidpred.ops`. Inputs are not checked
here. Unless said otherwise everything is computed in the dtype of the tensors, so half types round after
every operation, where the kernels round once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

from vidpred.ops.reference_sampling import sample_pixels as sample_pixels


def flow_warp(features: Tensor, flow: Tensor, *, padding: str = "zeros") -> Tensor:
    """See `vidpred.ops.flow_warp`. Half types are computed in float32 and rounded once."""
    exact = features.dtype if features.dtype == torch.float64 else torch.float32
    batch, channels, height, width = features.shape
    x = torch.arange(width, dtype=exact, device=flow.device) + flow[:, 0].to(exact)
    y = torch.arange(height, dtype=exact, device=flow.device)[:, None] + flow[:, 1].to(exact)
    left, right = _between(x, width, padding)
    above, below = _between(y, height, padding)
    pixels = features.to(exact).flatten(2)  # (N, C, H * W)
    warped = torch.zeros(batch, channels, height, width, dtype=exact, device=flow.device)
    for row, row_weight in ((above, 1 - below), (above + 1, below)):
        for column, column_weight in ((left, 1 - right), (left + 1, right)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = torch.where(inside, row * width + column, 0).flatten(1)  # (N, H * W)
            values = pixels.gather(2, place[:, None].expand(-1, channels, -1)).view_as(warped)
            weight = (row_weight * column_weight)[:, None]
            warped = warped + weight * torch.where(inside[:, None], values, 0)
    channels_last = not features.is_contiguous() and features.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return warped.to(features.dtype).contiguous(memory_format=layout)


def _between(coordinate: Tensor, size: int, padding: str) -> tuple[Tensor, Tensor]:
    """The pixel at or before a coordinate, and the fraction of the way to the next."""
    least, most = (-2, size) if padding == "zeros" else (0, size - 1)
    stuck = (coordinate <= least) | (coordinate >= most)
    used = torch.where(stuck, coordinate.detach().clamp(least, most), coordinate)
    first = used.detach().nan_to_num(least).floor()
    return first.long(), used - first


def lstm_gates(
    gates: Tensor,
    cell: Tensor,
    *,
    extra: Tensor | None = None,
    bias: Tensor | None = None,
    peephole: tuple[Tensor, Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """See `vidpred.ops.lstm_gates`."""
    if extra is not None:
        gates = gates + extra
    if bias is not None:
        gates = gates + _over_space(bias, gates)
    i, f, g, o = gates.chunk(4, dim=1)
    if peephole is None:
        new_cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * new_cell.tanh(), new_cell
    w_i, w_f, w_o = (_over_space(weight, cell) for weight in peephole)
    new_cell = (f + w_f * cell).sigmoid() * cell + (i + w_i * cell).sigmoid() * g.tanh()
    return (o + w_o * new_cell).sigmoid() * new_cell.tanh(), new_cell


def tensor_train_conv(
    states: Sequence[Tensor], cores: Sequence[Tensor], biases: Sequence[Tensor | None] | None = None
) -> Tensor:
    """See `vidpred.ops.tensor_train_conv`."""
    value, *younger = states
    for state, core, bias in zip(younger, cores, biases or [None] * len(cores), strict=True):
        value = state + conv2d(value, core, bias, padding=core.shape[-1] // 2)
    return value


def composed_tensor_train_conv(
    states: Sequence[Tensor], cores: Sequence[Tensor], biases: Sequence[Tensor | None] | None = None
) -> Tensor:
    """The tensor-train as one convolution with composed kernels (seed 002, sec. 5: "algorithm 1").

    The kernel of a state is composed of the cores that it passes, K(i) = G(i) * K(i-1) of eq. 8, and all
    states are convolved at once. That is parallel where the recursion is sequential, but takes many more
    operations: for three states of rank 8 with cores of 5, kernels of 9 and 5 instead of 5 and 5.

    It is not quite `tensor_train_conv`. The recursion cuts every V_l to the image, while here what a kernel
    spreads beyond the border can come back. Within (N - 2) * (K // 2) pixels of the border the two differ,
    for N = 2 nowhere.
    """
    newest, older = states[-1], states[:-1]
    if not older:
        return newest
    bias = newest.new_zeros(newest.shape[1])
    kernel = None  # of the state at hand
    kernels = []
    for core, core_bias in zip(reversed(cores), reversed(biases or [None] * len(cores)), strict=True):
        if core_bias is not None:
            bias = bias + (core_bias if kernel is None else kernel.sum(dim=(2, 3)) @ core_bias)
        kernel = core if kernel is None else conv_transpose2d(kernel, core)
        kernels.append(kernel)
    widest = kernels[-1].shape[-1]
    same_size = [pad(kernel, [(widest - kernel.shape[-1]) // 2] * 4) for kernel in reversed(kernels)]
    together = torch.cat(list(older), dim=1)
    return newest + conv2d(together, torch.cat(same_size, dim=1), bias, padding=widest // 2)


def _over_space(parameter: Tensor, like: Tensor) -> Tensor:
    """Views (C,) as (C, 1, ..., 1), so that it broadcasts over the space of `like`, (N, C, *space)."""
    return parameter if parameter.dim() > 1 else parameter.view(-1, *[1] * (like.dim() - 2))


def masked_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, mask: str, colors: int = 1
) -> Tensor:
    """See `vidpred.ops.masked_conv2d`. NaN in `x` spreads to pixels that do not see it."""
    live = conv_mask(weight.shape, mask, colors, device=weight.device)
    return conv2d(x, torch.where(live, weight, 0), bias, padding=weight.shape[2] // 2)


def conv_mask(
    weight_shape: Sequence[int], mask: str, colors: int = 1, *, device: torch.device | None = None
) -> Tensor:
    """Which weights of a masked convolution are live; see `vidpred.ops.masked_conv2d`.

    Args:
        weight_shape: (C_out, C_in, K, K) with odd K.
        mask: ``"A"`` or ``"B"``.
        colors: groups of channels, of which a pixel's earlier ones are seen by the later ones.
        device: of the result.

    Returns:
        bool tensor of that shape, which multiplies like one of zeros and ones.
    """
    c_out, c_in, size, _ = weight_shape
    live = torch.zeros(tuple(weight_shape), dtype=torch.bool, device=device)
    centre = size // 2
    live[:, :, :centre] = True
    live[:, :, centre, :centre] = True
    of_output = torch.arange(c_out, device=device) // max(c_out // colors, 1)
    of_input = torch.arange(c_in, device=device) // max(c_in // colors, 1)
    seen = of_input < of_output[:, None] if mask == "A" else of_input <= of_output[:, None]
    live[:, :, centre, centre] = seen
    return live
