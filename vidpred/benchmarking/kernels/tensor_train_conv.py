"""The cases of `vidpred.ops.tensor_train_conv`: alone, and with the preprocessing that feeds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vidpred import ops
from vidpred.benchmarking.kernels.case import Case, Formula
from vidpred.benchmarking.roofline import Work
from vidpred.ops.tensor_train_conv import convolve_to_few_channels

# Of `convttlstm` at its paper's size (seed 002, sec. 4), which sees whole frames in every layer.
_ORDER, _RANK, _KERNEL, _FRAME = 3, 8, 5, 64
_OUTER_BLOCKS, _INNER_BLOCKS = 32, 48
"""Channels of a hidden state in the first and last block, and in those between."""

Train = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], Tensor]
"""From states, cores and biases to V."""


def cases(quick: bool) -> list[Case]:
    """The cases; only half the paper's batch when `quick`."""
    batches = (8,) if quick else (1, 8, 16)
    found = [
        case
        for batch in batches
        for case in (
            _alone(batch, torch.float32),
            _with_preprocessing(batch, _OUTER_BLOCKS),
            _with_preprocessing(batch, _INNER_BLOCKS),
        )
    ]
    return found if quick else [*found, _alone(8, torch.bfloat16)]


def _layer(batch: int, part: str) -> str:
    """Where the model has the op, at the batch that its paper trains with."""
    return f"convttlstm paper, {part}" if batch == 16 else ""


def _alone(batch: int, dtype: torch.dtype) -> Case:
    """The chain. What `composed` gives differs near the border, which its error shows."""
    shape = (batch, _RANK, _FRAME, _FRAME)
    inputs = {f"state_{index + 1}": shape for index in range(_ORDER)} | _parameters()
    pixels = batch * _FRAME**2

    def formula(train: Train) -> Formula:
        def run(values: Sequence[Tensor]) -> tuple[Tensor, ...]:
            states, cores, biases = _split(values, _ORDER)
            return (train(states, cores, biases),)

        return run

    forward = Work(
        bytes=(_ORDER + 1) * _RANK * pixels * dtype.itemsize,
        flops=_flops(pixels, _RANK, (_ORDER - 1) * _RANK),
    )
    return Case(
        layer=_layer(batch, "chain"),
        name="tensor_train_conv",
        shape=shape,
        dtype=dtype,
        inputs=inputs,
        variants={
            "native": formula(ops.tensor_train_conv),
            "eager": formula(ops.reference.tensor_train_conv),
            "composed": formula(ops.reference.composed_tensor_train_conv),
        },
        forward=forward,
        # Reads the gradient and V_1, V_2, ..., writes the gradients to the older states.
        backward=Work(
            bytes=(1 + 2 * (_ORDER - 1)) * _RANK * pixels * dtype.itemsize, flops=2 * forward.flops
        ),
    )


def _with_preprocessing(batch: int, channels: int) -> Case:
    """A time step with as many steps as the order, so that a window is one state.

    In every step each position of the tensor-train has its window reduced once: `naive` reduces a window of
    its own for each, the others the newest window for all of them, and keep the results for later steps.
    The work is the same if all windows are one, as here, where the outputs can then be compared.
    """
    shape = (batch, channels, _FRAME, _FRAME)
    reduced = _ORDER * _RANK
    inputs = {
        "state": shape,
        "weight": (reduced, channels, _KERNEL, _KERNEL),
        "bias": (reduced,),
    } | _parameters()
    pixels = batch * _FRAME**2

    def formula(reduce: Callable[[Tensor, Tensor, Tensor], Sequence[Tensor]], train: Train) -> Formula:
        def run(values: Sequence[Tensor]) -> tuple[Tensor, ...]:
            (state, weight, bias), cores, biases = _split(values, 3)
            return (train(reduce(state, weight, bias), cores, biases),)

        return run

    def native(state: Tensor, weight: Tensor, bias: Tensor) -> Sequence[Tensor]:
        return convolve_to_few_channels(state, weight, bias).chunk(_ORDER, dim=1)

    def eager(state: Tensor, weight: Tensor, bias: Tensor) -> Sequence[Tensor]:
        return F.conv2d(state, weight, bias, padding=_KERNEL // 2).chunk(_ORDER, dim=1)

    def naive(state: Tensor, weight: Tensor, bias: Tensor) -> Sequence[Tensor]:
        positions = zip(weight.chunk(_ORDER), bias.chunk(_ORDER), strict=True)
        return [F.conv2d(state, own, own_bias, padding=_KERNEL // 2) for own, own_bias in positions]

    forward = Work(
        bytes=(channels + _RANK) * pixels * 4,
        flops=_flops(pixels, channels, reduced) + _flops(pixels, _RANK, (_ORDER - 1) * _RANK),
    )
    return Case(
        layer=_layer(batch, "outer blocks" if channels == _OUTER_BLOCKS else "inner blocks"),
        name="tensor_train_conv(preprocessing)",
        shape=shape,
        dtype=torch.float32,
        inputs=inputs,
        variants={
            "native": formula(native, ops.tensor_train_conv),
            "eager": formula(eager, ops.reference.tensor_train_conv),
            "naive": formula(naive, ops.reference.tensor_train_conv),
        },
        forward=forward,
        # Reads the gradient, the state and all V, writes the gradient to the state.
        backward=Work(bytes=(2 * channels + _ORDER * _RANK) * pixels * 4, flops=2 * forward.flops),
    )


def _parameters() -> dict[str, tuple[int, ...]]:
    links = range(1, _ORDER)
    cores = {f"core_{link}": (_RANK, _RANK, _KERNEL, _KERNEL) for link in links}
    return cores | {f"bias_{link}": (_RANK,) for link in links}


def _split(
    values: Sequence[Tensor], first: int
) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
    """The first inputs, the cores, the biases."""
    return values[:first], values[first : first + _ORDER - 1], values[first + _ORDER - 1 :]


def _flops(pixels: int, channels: int, out: int) -> int:
    """Multiplications and additions of a convolution."""
    return 2 * pixels * channels * out * _KERNEL**2
