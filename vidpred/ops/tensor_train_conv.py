"""The convolutional tensor-train, a chain of small convolutions over time (seed 002, eq. 8-9)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vidpred.ops import reference
from vidpred.ops.autocast import cast_for_autocast
from vidpred.ops.checks import ShapeError, require_like, require_shape, require_supported


def tensor_train_conv(
    states: Sequence[Tensor], cores: Sequence[Tensor], biases: Sequence[Tensor | None] | None = None
) -> Tensor:
    """Convolves states of several time steps with kernels that share their factors.

    With S_1, ..., S_N the states, oldest first, and * the convolution with zeros around the image::

        V_1 = S_1
        V_{l+1} = S_{l+1} + core_l * V_l + bias_l          l = 1, ..., N - 1

    which is eq. 9 with the kernels of eq. 8 in Horner's form: a state that is one step older passes one
    core more and is seen through a kernel that is K - 1 wider.

    Args:
        states: N >= 1 tensors, the l-th (N, R_l, H, W).
        cores: N - 1 tensors, the l-th (R_{l+1}, R_l, K, K), K odd.
        biases: N - 1 tensors, the l-th (R_{l+1},) or None; or None for no biases at all.

    Returns:
        V_N, (N, R_N, H, W); for N = 1 this is the state itself.

    Raises:
        ShapeError: a shape or a number of tensors does not fit the others.
        DtypeError: the tensors are not all of one of float32, float64, bfloat16 and float16.
        DeviceError: the tensors are not all on one device.
    """
    states = [cast_for_autocast(state) for state in states]
    cores = [cast_for_autocast(core) for core in cores]
    biases = [None] * len(cores) if biases is None else [cast_for_autocast(bias) for bias in biases]
    _check(states, cores, biases)
    return reference.tensor_train_conv(states, cores, biases)


def _check(states: Sequence[Tensor], cores: Sequence[Tensor], biases: Sequence[Tensor | None]) -> None:
    op = "tensor_train_conv"
    if not states:
        raise ShapeError(f"{op}: needs at least one state")
    if len(cores) != len(states) - 1:
        raise ShapeError(f"{op}: {len(states)} states need {len(states) - 1} cores, got {len(cores)}")
    if len(biases) != len(cores):
        raise ShapeError(f"{op}: {len(cores)} cores need as many biases, got {len(biases)}")
    first = states[0]
    if first.dim() != 4:
        raise ShapeError(f"{op}: states[0] must have shape (N, R, H, W), got {tuple(first.shape)}")
    require_supported(op, "states[0]", first)
    batch, _, height, width = first.shape
    for index, (core, bias) in enumerate(zip(cores, biases, strict=True)):
        older, state = states[index], states[index + 1]
        if state.dim() != 4:
            raise ShapeError(
                f"{op}: states[{index + 1}] must have shape (N, R, H, W), got {tuple(state.shape)}"
            )
        rank = state.shape[1]
        require_shape(op, f"states[{index + 1}]", state, (batch, rank, height, width))
        size = core.shape[-1] if core.dim() == 4 else 1
        require_shape(op, f"cores[{index}]", core, (rank, older.shape[1], size, size))
        if size % 2 == 0:
            raise ShapeError(f"{op}: cores[{index}] must have an odd kernel, got {tuple(core.shape)}")
        named = [(f"states[{index + 1}]", state), (f"cores[{index}]", core)]
        if bias is not None:
            require_shape(op, f"biases[{index}]", bias, (rank,))
            named.append((f"biases[{index}]", bias))
        for name, tensor in named:
            require_like(op, name, tensor, "states[0]", first)
