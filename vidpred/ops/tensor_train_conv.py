"""The convolutional tensor-train, a chain of small convolutions over time (seed 002, eq. 8-9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vidpred.ops import _extension, reference
from vidpred.ops.autocast import cast_for_autocast
from vidpred.ops.checks import ShapeError, require_like, require_shape, require_supported


def tensor_train_conv(
    states: Sequence[Tensor], cores: Sequence[Tensor], biases: Sequence[Tensor | None] | None = None
) -> Tensor:
    """Convolves states of several time steps with kernels that share their factors.

    With S_1, S_2, ... the states, oldest first, and * the convolution with zeros around the image::

        V_1 = S_1
        V_{l+1} = S_{l+1} + core_l * V_l + bias_l          l = 1, 2, ...

    which is eq. 9 with the kernels of eq. 8 in Horner's form: a state that is one step older passes one
    core more and is seen through a kernel that is K - 1 wider.

    The recursion is the sequential one of the two algorithms of seed 002, sec. 5. The parallel one, composed
    kernels (`vidpred.ops.reference.composed_tensor_train_conv`), took 2.4 times as long as plain torch's
    recursion on a CPU at the paper's size, the kernels here half as long.

    Differentiable once in every tensor, in reverse mode. Half types are added up in float32. Under autocast
    all tensors but float64 ones are cast to its dtype, as for `torch.nn.functional.conv2d`. On CUDA the whole
    chain is one launch for up to 5 states, ranks up to 16 and kernels up to 7; beyond, it is torch's own
    convolutions. What the CPU and CUDA kernels give does not depend on threads or timing.

    Args:
        states: at least one tensor, the l-th (N, R_l, H, W). Contiguous and channels-last ones and slices of
            their channels are read in place, others are copied first. Contiguous is fastest.
        cores: one tensor less, the l-th (R_{l+1}, R_l, K, K), K odd.
        biases: as many as cores, the l-th (R_{l+1},) or None; or None for no biases at all.

    Returns:
        The last V, (N, R, H, W) with the rank of the newest state; a single state is returned itself.

    Raises:
        ShapeError: a shape or a number of tensors does not fit the others.
        DtypeError: the tensors are not all of one of float32, float64, bfloat16 and float16.
        DeviceError: the tensors are not all on one device.
    """
    states = [cast_for_autocast(state) for state in states]
    cores = [cast_for_autocast(core) for core in cores]
    biases = [None] * len(cores) if biases is None else [cast_for_autocast(bias) for bias in biases]
    _check(states, cores, biases)
    if not cores:
        return states[0]
    run = _native if _kernels_serve(states, cores) else reference.tensor_train_conv
    return run(states, cores, biases)


def convolve_to_few_channels(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The convolution that reduces states to the ranks of a tensor-train, with zeros around the image.

    On the CPU it is a link of the chain whose younger state is zero: the link's kernel wastes nothing where
    the channels are no multiple of a vector, as `torch.nn.functional.conv2d` does there.

    Args:
        image: (N, C, H, W).
        weight: (out, C, K, K), K odd.
        bias: (out,).

    Returns:
        (N, out, H, W).
    """
    image, weight, bias = cast_for_autocast(image), cast_for_autocast(weight), cast_for_autocast(bias)
    out, kernel = weight.shape[0], weight.shape[-1]
    # Measured with float32 on AVX-512, 48 channels to 24: 1.2 times as fast; to 32 or 48: 0.95 times.
    if out % _LANES != 0 and link_is_faster(image):
        nothing = image.new_zeros(1).expand(image.shape[0], out, *image.shape[2:])
        return tensor_train_conv([image, nothing], [weight], [bias])
    return F.conv2d(image, weight, bias, padding=kernel // 2)


def link_is_faster(image: Tensor) -> bool:
    """Whether a link of the chain takes less time than torch's convolution with few channels on either side.

    Measured forward and backward with float32 on AVX-512, 48 channels to 24: 1.2 times as fast on 32x32 and
    64x64 pixels, but 0.8 times on 16x16 and 0.2 times on 8x8. Torch knows half types better.
    """
    return (
        image.shape[3] >= _WIDE_ENOUGH
        and image.device.type == "cpu"
        and image.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")
        and _extension.serves("cpu")
        and _extension.cpu_capability() != "baseline"
    )


_WIDE_ENOUGH = 32
"""Pixels in a row."""
_LANES = 16
"""Channels of which torch's own convolutions on the CPU compute whole multiples."""

_MOST_LINKS, _MOST_RANK, _WIDEST_KERNEL = 4, 16, 7
"""What the CUDA kernels take (csrc/kernels/tensor_train_conv/tensor_train_conv.h)."""


def _kernels_serve(states: Sequence[Tensor], cores: Sequence[Tensor]) -> bool:
    device = states[0].device.type
    if not _extension.serves(device):
        return False
    return device == "cpu" or (
        len(cores) <= _MOST_LINKS
        and all(state.shape[1] <= _MOST_RANK for state in states)
        and all(core.shape[-1] <= _WIDEST_KERNEL for core in cores)
    )


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


def _native(states: list[Tensor], cores: list[Tensor], biases: list[Tensor | None]) -> Tensor:
    given = []
    if any(bias is not None for bias in biases):
        given = [
            core.new_zeros(core.shape[0]) if bias is None else bias
            for core, bias in zip(cores, biases, strict=True)
        ]
    value, _ = torch.ops.vidpred.tensor_train_conv(states, cores, given)
    return value


def _like_value(states: list[Tensor], cores: list[Tensor], biases: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What the operator returns, for tensors without data."""
    oldest, newest = states[0], states[-1]
    batch, _, height, width = oldest.shape
    inner = oldest.new_empty(batch, sum(core.shape[0] for core in cores[:-1]), height, width)
    return _empty_images(newest, newest.shape[1]), inner


def _like_inputs(
    grad: Tensor, oldest: Tensor, inner: Tensor, cores: list[Tensor], has_biases: bool
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """What the operator's backward returns, for tensors without data."""
    grad_states = [_empty_images(oldest, core.shape[1]) for core in cores]
    grad_cores = [core.new_empty(core.shape) for core in cores]
    return grad_states, grad_cores, [core.new_empty(core.shape[0]) for core in cores if has_biases]


def _empty_images(model: Tensor, channels: int) -> Tensor:
    """As csrc/binding/tensor_train_conv.cpp allocates: the channels of a pixel side by side as in `model`."""
    batch, _, height, width = model.shape
    pixel_stride = model.stride(3) if width > 1 else model.stride(2)
    if model.shape[1] > 1 and model.stride(1) == 1 and pixel_stride > 1:
        return model.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)
    return model.new_empty(batch, channels, height, width)


def _save_for_backward(ctx: Any, inputs: tuple[list[Tensor], ...], output: tuple[Tensor, Tensor]) -> None:
    states, cores, biases = inputs
    _, inner = output
    ctx.has_biases = bool(biases)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(states[0], inner, *cores)


def _backward(
    ctx: Any, grad: Tensor | None, grad_inner: Tensor | None
) -> tuple[list[Tensor | None], list[Tensor | None], list[Tensor | None]]:
    oldest, inner, *cores = ctx.saved_tensors
    if grad is None:
        nothing: list[Tensor | None] = [None] * len(cores)
        return [None, *nothing], nothing, nothing if ctx.has_biases else []
    grad_states, grad_cores, grad_biases = torch.ops.vidpred.tensor_train_conv_backward(
        grad, oldest, inner, cores, ctx.has_biases
    )
    return [*grad_states, grad], grad_cores, grad_biases


def _no_second_derivative(ctx: Any, *gradients: Tensor | None) -> None:
    raise NotImplementedError(
        "tensor_train_conv has no second derivative on compiled kernels: "
        "use vidpred.ops.use_backend('reference')"
    )


if _extension.loaded():
    torch.library.register_fake("vidpred::tensor_train_conv", _like_value)
    torch.library.register_fake("vidpred::tensor_train_conv_backward", _like_inputs)
    torch.library.register_autograd("vidpred::tensor_train_conv", _backward, setup_context=_save_for_backward)
    torch.library.register_autograd("vidpred::tensor_train_conv_backward", _no_second_derivative)
