"""The ops in plain torch: what the kernels are compared with, and what runs where there are none.

Each function has the signature and the result of its namesake in `vidpred.ops`. Inputs are not checked
here. Everything is computed in the dtype of the tensors, so half types round after every operation,
where the kernels round once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


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
        value = state + F.conv2d(value, core, bias, padding=core.shape[-1] // 2)
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
        kernel = core if kernel is None else F.conv_transpose2d(kernel, core)
        kernels.append(kernel)
    widest = kernels[-1].shape[-1]
    same_size = [F.pad(kernel, [(widest - kernel.shape[-1]) // 2] * 4) for kernel in reversed(kernels)]
    together = torch.cat(list(older), dim=1)
    return newest + F.conv2d(together, torch.cat(same_size, dim=1), bias, padding=widest // 2)


def _over_space(parameter: Tensor, like: Tensor) -> Tensor:
    """Views (C,) as (C, 1, ..., 1), so that it broadcasts over the space of `like`, (N, C, *space)."""
    return parameter if parameter.dim() > 1 else parameter.view(-1, *[1] * (like.dim() - 2))
