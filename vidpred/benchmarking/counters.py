"""What a piece of code computes and holds, by watching every operation of torch that it calls."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from vidpred import ops
from vidpred.ops import reference

Shape = Sequence[int]


def count_flops(run: Callable[[], Any]) -> int:
    """Floating-point operations of the matrix products and convolutions in `run`, backward passes included.

    Of a masked convolution on compiled kernels only the live taps count; plain torch computes all taps.
    """
    own: dict[Any, Any] = {}
    if ops.backend() == "native":
        own[torch.ops.vidpred.masked_conv2d] = _masked_conv2d
        own[torch.ops.vidpred.masked_conv2d_backward] = _masked_conv2d_backward
        own[torch.ops.vidpred.tensor_train_conv] = _tensor_train_conv
        own[torch.ops.vidpred.tensor_train_conv_backward] = _tensor_train_conv_backward
    with FlopCounterMode(display=False, custom_mapping=own) as counter:
        run()
    return int(counter.get_total_flops())


def _masked_conv2d(
    rows: Shape, weight: Shape, bias: Shape | None, sees_centre: bool, colors: int, **_: Any
) -> int:
    live = int(reference.conv_mask(weight, "B" if sees_centre else "A", colors).sum())
    return 2 * math.prod(rows[:3]) * live


def _masked_conv2d_backward(
    grad: Shape, rows: Shape, weight: Shape, sees_centre: bool, colors: int, wants_rows: bool, **_: Any
) -> int:
    return (1 + wants_rows) * _masked_conv2d(rows, weight, None, sees_centre, colors)


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most memory that the tensors made by `run` take at one time, in bytes.

    Counted are the results of operations, as long as anything holds them, autograd's graph included; not
    what an operation needs within itself.
    """
    with _LiveTensors() as live:
        run()
    return live.peak


def _tensor_train_conv(states: Sequence[Shape], cores: Sequence[Shape], *_: Any, **__: Any) -> int:
    batch, _rank, height, width = states[0]
    return 2 * batch * height * width * sum(math.prod(core) for core in cores)


def _tensor_train_conv_backward(
    grad: Shape, oldest: Shape, inner: Shape, cores: Sequence[Shape], *_: Any, **__: Any
) -> int:
    return 2 * _tensor_train_conv([oldest], cores)


class _LiveTensors(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {
            id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)
        }
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                if id(storage) not in given and storage not in self._known:
                    self._add(storage)
        return result

    def _add(self, storage: Any) -> None:
        size = storage.nbytes()
        self._known.add(storage)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._drop, size)

    def _drop(self, size: int) -> None:
        self._now -= size
