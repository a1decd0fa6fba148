"""Convolutions with kernels stored as classic tensor-trains (seed 002, eq. 13, after Garipov et al. 2016)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred.errors import ConfigError


class TensorTrainKernelConv2d(nn.Module):
    """A convolution with "same" padding that stores its kernel in factors.

    The channels are split, output C_out = T_1 ... T_D and input C_in = S_1 ... S_D with D = order - 1, and::

        W[t_1..t_D, s_1..s_D, i, j] = sum over r_0 .. r_{D-1} of
            G_0[i, j, r_0] G_1[t_1, s_1, r_0, r_1] ... G_D[t_D, s_D, r_{D-1}]

    with all ranks alike. The factors T and S are as near to each other as the divisors allow, in ascending
    order. The kernel is put together anew in every call, which costs little beside the convolution.

    Attributes:
        spatial: G_0, (K, K, rank).
        factors: G_1 to G_D, each (T, S, rank, rank), the last (T, S, rank, 1).
        bias: (C_out,).

    Raises:
        ConfigError: an even kernel, an order below 2, or a rank below 1.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, *, order: int, rank: int) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError(f"a kernel in tensor-train format must have an odd size, got {kernel_size}")
        if order < 2 or rank < 1:
            raise ConfigError(
                f"a kernel in tensor-train format has an order of at least 2 and a rank of at least 1, "
                f"got {order} and {rank}"
            )
        self.spatial = nn.Parameter(torch.empty(kernel_size, kernel_size, rank))
        pairs = list(zip(split_evenly(outputs, order - 1), split_evenly(inputs, order - 1), strict=True))
        lasts = [rank] * (order - 2) + [1]
        self.factors = nn.ParameterList(
            torch.empty(*pair, rank, last) for pair, last in zip(pairs, lasts, strict=True)
        )
        self.bias = nn.Parameter(torch.empty(outputs))
        self._initialise(fan_in=inputs * kernel_size**2, rank=rank, order=order)

    def kernel(self) -> Tensor:
        """The whole kernel, (C_out, C_in, K, K)."""
        size = self.spatial.shape[0]
        whole = self.spatial.view(size * size, 1, 1, -1)  # (K * K, outputs so far, inputs so far, rank)
        for factor in self.factors:
            whole = torch.einsum("kabr,tsrq->katbsq", whole, factor)
            whole = whole.flatten(3, 4).flatten(1, 2)
        return whole.squeeze(3).permute(1, 2, 0).unflatten(2, (size, size))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H, W)."""
        return F.conv2d(features, self.kernel(), self.bias, padding=self.spatial.shape[0] // 2)

    def _initialise(self, fan_in: int, rank: int, order: int) -> None:
        """So that the kernel has the variance 1 / (3 fan_in) of torch's own convolutions.

        A weight is a sum over rank ** (order - 1) paths of products of `order` independent factors.
        """
        paths = rank ** (order - 1)
        deviation = (1 / (3 * fan_in * paths)) ** (1 / (2 * order))
        for factor in (self.spatial, *self.factors):
            nn.init.normal_(factor, std=deviation)
        bound = fan_in**-0.5
        nn.init.uniform_(self.bias, -bound, bound)


def split_evenly(number: int, parts: int) -> list[int]:
    """`parts` factors of `number`, ascending, the largest and the smallest as near as can be."""
    if parts == 1:
        return [number]
    splits = [
        sorted([divisor, *split_evenly(number // divisor, parts - 1)])
        for divisor in range(1, number + 1)
        if number % divisor == 0
    ]
    return min(splits, key=lambda split: split[-1] - split[0])
