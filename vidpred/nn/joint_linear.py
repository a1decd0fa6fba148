"""A linear layer on two inputs, one known for the whole sequence, one only step by step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class JointLinear(nn.Module):
    """``W [early, late] + b``, computed as ``(W_early early + b) + W_late late``.

    A recurrent layer knows its input for all time steps but its state only for the last one. So the early
    part is one large matrix product over the sequence, and the loop computes the late part alone.

    Attributes:
        weight: (out, early + late), initialised as one matrix (Glorot uniform).
        bias: (out,), zeros.
    """

    def __init__(self, early: int, late: int, out: int) -> None:
        super().__init__()
        self.early, self.late = early, late
        self.weight = nn.Parameter(torch.empty(out, early + late))
        self.bias = nn.Parameter(torch.zeros(out))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, early: Tensor, late: Tensor) -> Tensor:
        """(..., early) and (..., late) -> (..., out), for a single step."""
        return F.linear(torch.cat([early, late], dim=-1), self.weight, self.bias)

    def split(self, early: Tensor) -> tuple[Tensor, Tensor]:
        """(..., early) -> the early part with the bias, (..., out), and W_late, (out, late).

        The weight is cut here, once: cutting it in the loop would cost a full-size gradient per step.
        """
        weight_early, weight_late = self.weight.split([self.early, self.late], dim=1)
        return F.linear(early, weight_early, self.bias), weight_late
