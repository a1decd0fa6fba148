"""What an op must say about itself to be benchmarked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vidpred.benchmarking.roofline import Work

Formula = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]
"""From the inputs of a case to all outputs of the op, which it allocates."""


@dataclass(frozen=True)
class Case:
    """An op with one choice of options, shape and dtype.

    `variants` must hold ``native`` and ``eager``; ``eager`` is the plain-torch formulation that a good
    engineer would write. It is also what ``compile`` compiles and, in float64, the measure of errors.
    ``naive``, the formula done step by step, and variants by names of their own may stand beside them.
    """

    name: str
    shape: tuple[int, ...]
    """The size of the main input."""
    dtype: torch.dtype
    inputs: Mapping[str, tuple[int, ...]]
    """The shape of each input, in the order in which a `Formula` takes them."""
    variants: Mapping[str, Formula]
    forward: Work
    backward: Work
    """What the backward pass adds to the forward pass."""
    layer: str = ""
    """Where a model has this op at this shape, such as ``vrnn paper, LSTM``."""
    memory_format: torch.memory_format = torch.contiguous_format
    """Of all inputs with four dimensions."""
    shaped_by: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    """What makes an input of normally distributed numbers, where those will not do as they are."""

    def in_dtype(self, dtype: torch.dtype) -> Case:
        """The same case with all tensors of another dtype."""
        if dtype == self.dtype:
            return self
        forward, backward = (
            replace(work, bytes=work.bytes * dtype.itemsize // self.dtype.itemsize)
            for work in (self.forward, self.backward)
        )
        return replace(self, dtype=dtype, forward=forward, backward=backward)
