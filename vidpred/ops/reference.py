"""The ops in plain torch: what the kernels are compared with, and what runs where there are none.

Each function has the signature and the result of its namesake in `vidpred.ops`. Inputs are not checked
here. Everything is computed in the dtype of the tensors, so half types round after every operation,
where the kernels round once.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def _over_space(parameter: Tensor, like: Tensor) -> Tensor:
    """Views (C,) as (C, 1, ..., 1), so that it broadcasts over the space of `like`, (N, C, *space)."""
    return parameter if parameter.dim() > 1 else parameter.view(-1, *[1] * (like.dim() - 2))
