"""The cases of `vidpred.ops.lstm_gates`: with and without a second summand, a bias and peepholes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from vidpred import ops
from vidpred.benchmarking.kernels.case import Case, Formula
from vidpred.benchmarking.roofline import Work

_LAYER = (50, 1024)
"""(N, C) of the fully connected LSTM in `vrnn`, which passes `extra`."""
_MAP = (4, 64, 64, 64)
"""(N, C, H, W) of a ConvLSTM layer on full frames: 1,048,576 cells."""
_LARGE_MAP = (32, 64, 64, 64)

_LAYERS = {_LAYER: "vrnn paper, LSTM", _MAP: "convlstm paper, layer 2", _LARGE_MAP: "convlstm paper, layer 2"}


def cases(quick: bool) -> list[Case]:
    """The cases; only the million cells in float32, plain and with everything added, when `quick`."""
    plain = _case("lstm_gates", _MAP, torch.float32)
    added = _case("lstm_gates(extra, bias)", _MAP, torch.float32, extra=True, bias=True)
    if quick:
        return [plain, added]
    return [
        _case("lstm_gates(extra)", _LAYER, torch.float32, extra=True),
        plain,
        _case("lstm_gates", _LARGE_MAP, torch.float32),
        added,
        _case("lstm_gates(peephole)", _MAP, torch.float32, peephole=True),
        _case("lstm_gates", _MAP, torch.bfloat16),
    ]


def _case(
    name: str,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    *,
    extra: bool = False,
    bias: bool = False,
    peephole: bool = False,
) -> Case:
    batch, channels, *space = shape
    gates = (batch, 4 * channels, *space)
    inputs = {"gates": gates, "cell": shape}
    if extra:
        inputs["extra"] = gates
    if bias:
        inputs["bias"] = (4 * channels,)
    if peephole:
        inputs |= {f"peephole_{gate}": (channels,) for gate in "ifo"}

    cells = math.prod(shape)
    summands = 2 if extra else 1
    # In cells: the gates count four. What is per channel is too small to count.
    forward = summands * 4 + 1 + 2  # gates, cell; hidden, new cell
    backward = summands * 4 + 4 + 4 + 1  # gates again, both cells, both gradients; those of gates and cell
    return Case(
        name=name,
        shape=shape,
        dtype=dtype,
        inputs=inputs,
        variants={
            "native": _formula(ops, tuple(inputs)),
            "eager": _formula(ops.reference, tuple(inputs)),
        },
        forward=Work(bytes=forward * cells * dtype.itemsize),
        backward=Work(bytes=backward * cells * dtype.itemsize),
        layer=_LAYERS.get(shape, ""),
    )


def _formula(implementation: ModuleType, names: tuple[str, ...]) -> Formula:
    def formula(values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        given = dict(zip(names, values, strict=True))
        peephole = tuple(given[f"peephole_{gate}"] for gate in "ifo") if "peephole_i" in given else None
        return implementation.lstm_gates(
            given["gates"],
            given["cell"],
            extra=given.get("extra"),
            bias=given.get("bias"),
            peephole=peephole,
        )

    return formula
