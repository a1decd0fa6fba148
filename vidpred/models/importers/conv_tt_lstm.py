"""Weights of the repository conv-tt-lstm, with which Su et al. 2020 (seed 002) published their networks.

Per cell, with R the rank, N the order, M the steps, L = M - N + 1 the lags in a window, K the kernel, and
X -> C the channels of the cell, its state dict holds (``b0l0`` is block 0, layer 0)::

    layers.b0l0.layers.n     for n = N-1   (4 C, X + R, K, K)   sees [x; V]
                             else          (R, R, K, K)         V(n+1) = H~(n+1) + it * V(n),  V(0) = H~(0)
    layers.b0l0.layers_.n    one layout    (R, C, K, K, L)      H~(n), a window of L states; n = 0 is the
                             another       (R, L C, K, K)       oldest window
    layers.b0l0.*            the baseline  (4 C, X + C, K, K)   sees [x; h], the only one of its cell
    layers.output            at the end    (pixel, ..., 1, 1)

all with a bias. Three things differ from ours:

- The gates are i, f, o, g; ours i, f, g, o.
- Windows are counted from the oldest, and the lags in a window too; ours both from the newest.
- Input and state share one convolution where we have two.

The order in [x; V] is known, that in the baseline's [x; h] is taken to be the same.

Only the places ``b0l0`` and ``output``, the shapes and the order of a list matter here: what its lists and
convolutions are called differs between layouts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidpred.errors import CheckpointError
from vidpred.models.importers.base import Foreign

NETWORK = "a network of conv-tt-lstm"


@dataclass(frozen=True)
class _Conv:
    """One convolution, and what it is called in the file."""

    name: str
    weight: Tensor
    bias: Tensor

    def require(self, *shape: int) -> None:
        """Raises `CheckpointError` unless the weight has this shape and the bias fits it."""
        for name, tensor, expected in (
            ("weight", self.weight, shape),
            ("bias", self.bias, shape[:1]),
        ):
            if tuple(tensor.shape) != expected:
                raise CheckpointError(
                    f"'{self.name}.{name}' should have shape {expected}, got {tuple(tensor.shape)}"
                )


@dataclass(frozen=True)
class _Sizes:
    """What the shapes of the first layer tell about all of them."""

    kernel: int
    order: int = 0
    lags: int = 0
    rank: int = 0

    def settings(self) -> dict[str, int]:
        """As our options; the baseline has a kernel alone."""
        if not self.order:
            return {"kernel_size": self.kernel}
        steps = self.order + self.lags - 1
        return {"kernel_size": self.kernel, "order": self.order, "steps": steps, "rank": self.rank}


_Lists = list[list[_Conv]]
"""The convolutions of a cell, those of a list together and in its order."""


def read(tensors: Mapping[str, Tensor], where: str) -> Foreign:
    """A Conv-TT-LSTM network of either layout, or its ConvLSTM baseline.

    Args:
        tensors: the state dict.
        where: what messages call it.

    Raises:
        CheckpointError: it is of another network; names the first tensor that does not fit.
    """
    try:
        return _read(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{where} is not {NETWORK}: {error}") from error


def _read(tensors: Mapping[str, Tensor]) -> Foreign:
    cells, output = _places(tensors)
    blocks = [[cells[place] for place in sorted(cells) if place[0] == block] for block in _blocks(cells)]
    channels = output.weight.shape[0]
    sizes = _sizes(blocks[0][0], channels)
    weights: dict[str, Tensor] = {}
    hidden: list[int] = []  # of each block
    number, inputs = 0, channels
    for layers in blocks:
        hidden.append(_gates(layers[0], inputs).weight.shape[0] // 4)
        for lists in layers:
            of_cell = _cell(lists, sizes, inputs, hidden[-1])
            weights |= {f"blocks.cells.{number}.{name}": value for name, value in of_cell.items()}
            number, inputs = number + 1, hidden[-1]
        if len(hidden) > 2:  # joined with the output of two blocks before
            inputs += hidden[-3]
    output.require(channels, inputs, 1, 1)
    weights |= {"output.weight": output.weight, "output.bias": output.bias}
    options: dict[str, Any] = {"hidden": hidden, "layers": len(blocks[0]), **sizes.settings()}
    name = "convttlstm" if sizes.order else "convlstm12"
    return Foreign(name, {"channels": channels} | {f"model.{k}": v for k, v in options.items()}, weights)


_PLACE = re.compile(r"(?:.+?\.)??(?:b(?P<block>\d+)l(?P<layer>\d+)|(?P<output>output))(?P<within>\..+)?")


def _places(tensors: Mapping[str, Tensor]) -> tuple[dict[tuple[int, int], _Lists], _Conv]:
    """The convolutions of the cells by (block, layer), and that of the output."""
    named: dict[tuple[int, int], dict[str, dict[int, _Conv]]] = {}
    outputs = []
    for name in tensors:
        module, _, kind = name.rpartition(".")
        place = _PLACE.fullmatch(module)
        if not place or kind not in ("weight", "bias"):
            raise CheckpointError(
                f"'{name}' is no tensor of one, unlike 'layers.b0l0.layers.0.weight' or 'layers.output.bias'"
            )
        conv = _conv(module, tensors)
        if kind == "bias":
            continue
        if place["output"]:
            outputs.append(conv)
            continue
        names, _, last = (place["within"] or "").rpartition(".")
        names, index = (names, int(last)) if last.isdecimal() else (f"{names}.{last}", 0)
        of_place = named.setdefault((int(place["block"]), int(place["layer"])), {})
        of_place.setdefault(names, {})[index] = conv
    if not named:
        raise CheckpointError("'layers.b0l0' is missing")
    if len(outputs) != 1:
        raise CheckpointError(f"'layers.output' should be one convolution, got {len(outputs)}")
    cells = {place: [_in_order(convs) for convs in lists.values()] for place, lists in named.items()}
    return cells, outputs[0]


def _in_order(convs: Mapping[int, _Conv]) -> list[_Conv]:
    for index in range(len(convs)):
        if index not in convs:
            raise CheckpointError(f"number {index} is missing beside '{next(iter(convs.values())).name}'")
    return [convs[index] for index in range(len(convs))]


def _conv(module: str, tensors: Mapping[str, Tensor]) -> _Conv:
    for part in (f"{module}.weight", f"{module}.bias"):
        if part not in tensors:
            raise CheckpointError(f"'{part}' is missing")
    weight = tensors[f"{module}.weight"]
    if weight.dim() not in (4, 5):
        shape = tuple(weight.shape)
        raise CheckpointError(
            f"'{module}.weight' should have 4 or 5 dimensions, as convolutions have, got {shape}"
        )
    return _Conv(module, weight, tensors[f"{module}.bias"])


def _blocks(cells: Mapping[tuple[int, int], _Lists]) -> range:
    """The numbers of the blocks, all of which have as many layers as the first."""
    blocks = 1 + max(block for block, _ in cells)
    layers = 1 + max(layer for _, layer in cells)
    for block in range(blocks):
        for layer in range(layers):
            if (block, layer) not in cells:
                raise CheckpointError(
                    f"'layers.b{block}l{layer}' is missing, which it should have as one of {blocks} blocks "
                    f"of {layers} layers"
                )
    return range(blocks)


def _split(lists: _Lists, channels: int) -> tuple[list[_Conv], list[_Conv]]:
    """Which list of a Conv-TT cell is the preprocessing and which the cores; `channels` is those of x.

    No two lists can be taken for each other: the first core is square, and the last sees x besides.
    """
    orders = (lists[1], lists[0]), (lists[0], lists[1])
    for windows, cores in orders:
        if any(conv.weight.dim() == 5 for conv in windows):
            return windows, cores
    for windows, cores in orders:
        rank = windows[0].weight.shape[0]
        square = len(cores) == 1 or cores[0].weight.shape[:2] == (rank, rank)
        if square and cores[-1].weight.shape[1] == channels + rank:
            return windows, cores
    return orders[0]


def _gates(lists: _Lists, channels: int) -> _Conv:
    """The convolution whose outputs are the gates."""
    if len(lists) == 1 and len(lists[0]) == 1:
        return lists[0][0]
    if len(lists) != 2 or len(lists[0]) != len(lists[1]):
        names = ", ".join(f"'{conv.name}'" for convs in lists for conv in convs)
        raise CheckpointError(
            "a cell should have one convolution, or two lists of as many for preprocessing and cores, "
            f"got {' and '.join(str(len(convs)) for convs in lists)}: {names}"
        )
    return _split(lists, channels)[1][-1]


def _sizes(lists: _Lists, channels: int) -> _Sizes:
    """What the first cell tells, whose input has these channels."""
    gates = _gates(lists, channels)
    outputs, _, kernel, *_ = gates.weight.shape
    if kernel % 2 == 0:
        shape = tuple(gates.weight.shape)
        raise CheckpointError(f"'{gates.name}.weight' should have a kernel of odd size, got shape {shape}")
    if len(lists) == 1:
        return _Sizes(kernel)
    windows, _ = _split(lists, channels)
    rank, inputs, *space = windows[0].weight.shape
    hidden = max(outputs // 4, 1)
    lags = space[2] if len(space) == 3 else max(inputs // hidden, 1)
    return _Sizes(kernel, len(windows), lags, rank)


def _cell(lists: _Lists, sizes: _Sizes, inputs: int, hidden: int) -> dict[str, Tensor]:
    """The weights of one cell by our names; raises `CheckpointError` unless all have their shapes."""
    gates, kernel = _gates(lists, inputs), (sizes.kernel, sizes.kernel)
    expected, found = 2 * sizes.order or 1, sum(map(len, lists))
    if found != expected:
        raise CheckpointError(f"the cell of '{gates.name}' should have {expected} convolutions, got {found}")
    seen = sizes.rank if sizes.order else hidden
    gates.require(4 * hidden, inputs + seen, *kernel)
    of_gates, bias = _our_gates(gates.weight), _our_gates(gates.bias)
    of_input, of_state = of_gates[:, :inputs], of_gates[:, inputs:]
    weights = {"input.weight": of_input, "input.bias": bias}
    if not sizes.order:
        return weights | {"hidden.weight": of_state}
    windows, cores = _split(lists, inputs)
    weights["last_core.weight"] = of_state
    for number, core in enumerate(cores[:-1]):
        core.require(sizes.rank, sizes.rank, *kernel)
        weights |= {f"chain.cores.{number}": core.weight, f"chain.biases.{number}": core.bias}
    newest_first = windows[::-1]
    weights["preprocessing.weight"] = torch.cat([_our_window(conv, sizes, hidden) for conv in newest_first])
    weights["preprocessing.bias"] = torch.cat([conv.bias for conv in newest_first])
    return weights


def _our_gates(parts: Tensor) -> Tensor:
    """i, f, o, g -> i, f, g, o, along the first dimension."""
    i, f, o, g = parts.chunk(4)
    return torch.cat([i, f, g, o])


def _our_window(conv: _Conv, sizes: _Sizes, hidden: int) -> Tensor:
    """(R, C, K, K, L) or (R, L C, K, K), the oldest lag first -> (R, L C, K, K), the newest first."""
    kernel = (sizes.kernel, sizes.kernel)
    if conv.weight.dim() == 5:
        conv.require(sizes.rank, hidden, *kernel, sizes.lags)
        by_lag = conv.weight.permute(0, 4, 1, 2, 3)
    else:
        conv.require(sizes.rank, sizes.lags * hidden, *kernel)
        by_lag = conv.weight.unflatten(1, (sizes.lags, hidden))
    return by_lag.flip(1).flatten(1, 2)
