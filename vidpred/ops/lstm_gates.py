"""The pointwise half of an LSTM or ConvLSTM step, in one pass over memory (seed 001, eq. 3.1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vidpred.ops import _extension, reference
from vidpred.ops.autocast import cast_for_autocast
from vidpred.ops.checks import ShapeError, require_like, require_shape, require_supported

Peephole = tuple[Tensor, Tensor, Tensor]
"""The weights w_i, w_f and w_o through which the input, forget and output gates see the cell."""


def lstm_gates(
    gates: Tensor,
    cell: Tensor,
    *,
    extra: Tensor | None = None,
    bias: Tensor | None = None,
    peephole: Peephole | None = None,
) -> tuple[Tensor, Tensor]:
    """Updates the state of an LSTM from the pre-activations of its gates.

    With i, f, g, o the four quarters of ``gates + extra + bias`` and ``∘`` the product of elements::

        i = σ(i + w_i ∘ cell)                         input gate
        f = σ(f + w_f ∘ cell)                         forget gate
        new_cell = f ∘ cell + i ∘ tanh(g)
        o = σ(o + w_o ∘ new_cell)                     output gate
        hidden = o ∘ tanh(new_cell)

    Differentiable once in every tensor, in reverse mode (`backward`, not `torch.func.jvp`). The kernels
    compute half types in float32 and round at the end.
    Under autocast all tensors but float64 ones are cast to its dtype, as for `torch.nn.LSTMCell`.

    Args:
        gates: (N, 4*C, *space), in the order i, f, g, o; any number of dimensions of space, also none.
            Contiguous and channels-last tensors are read in place, others are copied first; so are
            channels-last ones when there is a peephole weight per pixel.
        cell: (N, C, *space), the cell state before the step.
        extra: a second summand, like `gates`: the share of the input where `gates` is that of the
            hidden state, when it was computed for all time steps at once.
        bias: (4*C,).
        peephole: the weights w_i, w_f, w_o, each (C,) or each (C, *space).

    Returns:
        hidden and new_cell, each (N, C, *space).

    Raises:
        ShapeError: a shape does not fit the others.
        DtypeError: the tensors are not all of one of float32, float64, bfloat16 and float16.
        DeviceError: the tensors are not all on one device.
    """
    gates, cell = cast_for_autocast(gates), cast_for_autocast(cell)
    extra, bias = cast_for_autocast(extra), cast_for_autocast(bias)
    if peephole is not None:
        w_i, w_f, w_o = _three(peephole)
        peephole = cast_for_autocast(w_i), cast_for_autocast(w_f), cast_for_autocast(w_o)
    _check(gates, cell, extra, bias, peephole)
    run = _native if _extension.serves(cell.device.type) else reference.lstm_gates
    return run(gates, cell, extra=extra, bias=bias, peephole=peephole)


def _three(peephole: Peephole) -> Peephole:
    if len(peephole) != 3:
        raise ShapeError(f"lstm_gates: peephole must be three weights (w_i, w_f, w_o), got {len(peephole)}")
    return peephole


def _check(
    gates: Tensor, cell: Tensor, extra: Tensor | None, bias: Tensor | None, peephole: Peephole | None
) -> None:
    if cell.dim() < 2:
        raise ShapeError(f"lstm_gates: cell must have shape (N, C, *space), got {tuple(cell.shape)}")
    batch, channels, *space = cell.shape
    require_supported("lstm_gates", "cell", cell)
    require_shape("lstm_gates", "gates", gates, (batch, 4 * channels, *space))
    require_like("lstm_gates", "gates", gates, "cell", cell)
    if extra is not None:
        require_shape("lstm_gates", "extra", extra, gates.shape)
        require_like("lstm_gates", "extra", extra, "cell", cell)
    if bias is not None:
        require_shape("lstm_gates", "bias", bias, (4 * channels,))
        require_like("lstm_gates", "bias", bias, "cell", cell)
    if peephole is not None:
        w_i, w_f, w_o = peephole
        require_shape("lstm_gates", "w_i", w_i, (channels,), (channels, *space))
        require_shape("lstm_gates", "w_f", w_f, w_i.shape)
        require_shape("lstm_gates", "w_o", w_o, w_i.shape)
        for name, weight in (("w_i", w_i), ("w_f", w_f), ("w_o", w_o)):
            require_like("lstm_gates", name, weight, "cell", cell)


def _native(
    gates: Tensor, cell: Tensor, *, extra: Tensor | None, bias: Tensor | None, peephole: Peephole | None
) -> tuple[Tensor, Tensor]:
    w_i, w_f, w_o = peephole or (None, None, None)
    operator = torch.ops.vidpred.lstm_gates
    if not _is_channels_last(gates) or (w_i is not None and w_i.dim() > 1):
        return operator(gates, cell, extra, bias, w_i, w_f, w_o)
    # In memory each position of a channels-last tensor is a row of an LSTM without space.
    extra_rows = None if extra is None else _rows(extra)
    states = operator(_rows(gates), _rows(cell), extra_rows, bias, w_i, w_f, w_o)
    batch, _, *space = cell.shape
    hidden, new_cell = (state.unflatten(0, (batch, *space)).movedim(-1, 1) for state in states)
    return hidden, new_cell


def _is_channels_last(tensor: Tensor) -> bool:
    return not tensor.is_contiguous() and tensor.movedim(1, -1).is_contiguous()


def _rows(tensor: Tensor) -> Tensor:
    """(N, C, *space) -> (N * space, C), a view of a channels-last tensor."""
    return tensor.movedim(1, -1).flatten(0, -2)


def _like_cell(gates: Tensor, cell: Tensor, *parameters: Tensor | None) -> tuple[Tensor, Tensor]:
    """What the operator returns, for tensors without data."""
    return _contiguous_like(cell), _contiguous_like(cell)


def _like_inputs(
    grad_hidden: Tensor | None,
    grad_new_cell: Tensor | None,
    gates: Tensor,
    cell: Tensor,
    new_cell: Tensor,
    extra: Tensor | None,
    bias: Tensor | None,
    w_i: Tensor | None,
    w_f: Tensor | None,
    w_o: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the operator's backward returns, for tensors without data."""
    grad_bias = cell.new_empty(0 if bias is None else bias.shape)
    grad_peephole = cell.new_empty(0 if w_i is None else (3, *w_i.shape))
    return _contiguous_like(gates), _contiguous_like(cell), grad_bias, grad_peephole


def _contiguous_like(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def _save_for_backward(ctx: Any, inputs: tuple[Tensor | None, ...], output: tuple[Tensor, Tensor]) -> None:
    gates, cell, *parameters = inputs
    _, new_cell = output
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(gates, cell, new_cell, *parameters)


def _backward(
    ctx: Any, grad_hidden: Tensor | None, grad_new_cell: Tensor | None
) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # read once: under activation checkpointing torch allows no second time
    _, _, _, extra, bias, w_i, _, _ = saved
    grad_gates, grad_cell, grad_bias, grad_peephole = torch.ops.vidpred.lstm_gates_backward(
        grad_hidden, grad_new_cell, *saved
    )
    return (
        grad_gates,
        grad_cell,
        None if extra is None else grad_gates,
        None if bias is None else grad_bias,
        *((None, None, None) if w_i is None else grad_peephole.unbind()),
    )


def _no_second_derivative(ctx: Any, *gradients: Tensor | None) -> None:
    raise NotImplementedError(
        "lstm_gates has no second derivative on compiled kernels: use vidpred.ops.use_backend('reference')"
    )


if _extension.loaded():
    torch.library.register_fake("vidpred::lstm_gates", _like_cell)
    torch.library.register_fake("vidpred::lstm_gates_backward", _like_inputs)
    torch.library.register_autograd("vidpred::lstm_gates", _backward, setup_context=_save_for_backward)
    torch.library.register_autograd("vidpred::lstm_gates_backward", _no_second_derivative)
