"""The cases of `vidpred.ops.masked_conv2d`: the masked layers of the Video Pixel Network's decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from vidpred import ops
from vidpred.benchmarking.kernels.case import Case
from vidpred.benchmarking.roofline import Work
from vidpred.ops.masked_conv2d import matrix_products

_BATCH = 4


def cases(quick: bool) -> list[Case]:
    """The cases; the residual block's layer and a 7x7 one, channels-last, when `quick`."""
    block = _case("B", channels=128, size=3, layer="vpn paper, residual block")
    first = _case("A", channels=64, size=7, layer="")
    if quick:
        return [block, first]
    contiguous = torch.contiguous_format
    return [
        block,
        _case("B", channels=128, size=3, layer="", memory_format=contiguous),
        first,
        _case("A", channels=64, size=7, layer="", memory_format=contiguous),
    ]


def _case(
    mask: Literal["A", "B"],
    channels: int,
    size: int,
    layer: str,
    memory_format: torch.memory_format = torch.channels_last,
) -> Case:
    shape = (_BATCH, channels, 64, 64)
    kernel = (channels, channels, size, size)
    seen = ops.reference.conv_mask(torch.Size(kernel), mask, 1)

    def native(values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, weight, bias = values
        return (ops.masked_conv2d(x, weight, bias, mask=mask),)

    def implicit_gemm(values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, weight, bias = values
        return (matrix_products(x, weight, bias, mask=mask, colors=1),)

    def eager(values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, weight, bias = values
        return (conv2d(x, weight * seen.to(weight), bias, padding=size // 2),)

    variants = {"native": native, "eager": eager}
    if torch.cuda.is_available() and ops.build_info()["cuda_architectures"]:
        variants["implicit_gemm"] = implicit_gemm  # what `native` is on a CPU, and may become on CUDA
    live_taps = int(seen[0, 0].sum())
    flops = 2 * math.prod(shape) * channels * live_taps
    item = torch.float32.itemsize
    tensors = (2 * math.prod(shape) + channels**2 * live_taps) * item
    return Case(
        name=f"masked_conv2d({mask}, {size}x{size})",
        shape=shape,
        dtype=torch.float32,
        inputs={"x": shape, "weight": kernel, "bias": (channels,)},
        variants=variants,
        forward=Work(bytes=tensors, flops=flops),
        backward=Work(bytes=2 * tensors, flops=2 * flops),
        layer=layer,
        memory_format=memory_format,
        shaped_by={"weight": lambda weight: weight / math.sqrt(channels * live_taps)},
    )
