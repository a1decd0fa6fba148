"""From the graph of a decoder to the straight-line code for one pixel."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from vidpred.errors import ConfigError
from vidpred.nn.masked_conv.layers import MaskedConv2d
from vidpred.nn.masked_conv.lines import NOTHING, Line, Value, assign_registers
from vidpred.ops.pixel_program import MOST_TAPS, PANEL, Cache, Operation, PixelProgram

_ELEMENTWISE: dict[Any, Operation] = {
    nn.ReLU: Operation.RELU,
    functional.relu: Operation.RELU,
    torch.relu: Operation.RELU,
    "relu": Operation.RELU,
    nn.Sigmoid: Operation.SIGMOID,
    functional.sigmoid: Operation.SIGMOID,
    torch.sigmoid: Operation.SIGMOID,
    "sigmoid": Operation.SIGMOID,
    nn.Tanh: Operation.TANH,
    functional.tanh: Operation.TANH,
    torch.tanh: Operation.TANH,
    "tanh": Operation.TANH,
    nn.Identity: Operation.COPY,
}
_BINARY: dict[Any, Operation] = {
    operator.add: Operation.ADD,
    torch.add: Operation.ADD,
    "add": Operation.ADD,
    operator.sub: Operation.ADD,
    operator.mul: Operation.MULTIPLY,
    torch.mul: Operation.MULTIPLY,
    "mul": Operation.MULTIPLY,
}
_OTHERS = (operator.neg, torch.cat, torch.chunk, "chunk")


class Assembler:
    """Writes the lines of a program, node by node."""

    def __init__(self, module: fx.GraphModule, context_values: dict[fx.Node, Tensor], colors: int):
        self._modules = dict(module.named_modules())
        self._context: dict[fx.Node, tuple[int, int]] = {}
        self._context_channels = 0
        for node, value in context_values.items():
            self._context[node] = self._context_channels, value.shape[1]
            self._context_channels += value.shape[1]
        self._colors = colors
        self._values: dict[fx.Node, Any] = {}
        self._bases = 0
        self._own: list[Line] = []
        self._main: list[Line] = []
        self._caches: dict[Value, int] = {}
        self._radii: dict[int, int] = {}
        self._device = next(iter(module.parameters()), torch.empty(0)).device
        self._weights = [torch.empty(0, device=self._device)]
        self._weights_size = 0
        self._logits = NOTHING

    def add(self, node: fx.Node) -> None:
        """Writes the lines of one node that depends on the image."""
        if node.op == "placeholder":
            self._values[node] = self._new(self._colors, own=True)
        elif node.op == "output":
            (logits,) = node.args
            self._logits = (
                self._values[logits] if isinstance(logits, fx.Node) else self._refuse(node, "not one tensor")
            )
        else:
            self._values[node] = self._write(node)

    def program(self) -> PixelProgram:
        """The lines that were written, with registers."""
        logits = self._logits
        if logits.own:
            raise ConfigError(
                "cannot sample from this decoder: a pixel sees itself, there is no mask A before the logits"
            )
        if logits.channels % self._colors:
            raise ConfigError(
                f"cannot sample from this decoder: its {logits.channels} logits a pixel are not the same for "
                f"each of {self._colors} colors"
            )
        registers, size = assign_registers(self._own, self._main, logits)
        return PixelProgram(
            own=tuple(line.with_registers(registers) for line in self._own),
            main=tuple(line.with_registers(registers) for line in self._main),
            caches=tuple(Cache(value.channels, self._radii[n]) for value, n in self._caches.items()),
            weights=torch.cat(self._weights),
            registers=size,
            logits=registers[logits.base] + logits.first,
            colors=self._colors,
            levels=logits.channels // self._colors,
            context_channels=self._context_channels,
        )

    def _write(self, node: fx.Node) -> Any:
        kind: Any = node.target
        module = self._modules.get(kind) if node.op == "call_module" else None
        if module is not None:
            kind = type(module)
        if isinstance(module, MaskedConv2d):
            return self._masked_convolution(node, module)
        if isinstance(module, nn.Conv2d):
            return self._convolution(node, module)
        if kind is operator.getitem:
            return self._values[node.all_input_nodes[0]][node.args[1]]
        if kind not in _ELEMENTWISE and kind not in _BINARY and kind not in _OTHERS:
            self._refuse(node, "is not a masked convolution or a function of one pixel")
        if getattr(module, "inplace", False) or any(
            node.kwargs.get(name) for name in ("inplace", "alpha", "out")
        ):
            self._refuse(node, "works in place or has a factor, which is not supported")
        if kind in _ELEMENTWISE:
            source = self._value(node.args[0], node)
            return self._line(_ELEMENTWISE[kind], source.channels, source)
        if kind in _BINARY:
            return self._binary(node, _BINARY[kind], negative=kind is operator.sub)
        if kind is operator.neg:
            return self._affine(self._value(node.args[0], node), -1.0, 0.0)
        return self._concatenate(node) if kind is torch.cat else self._chunk(node)

    def _binary(self, node: fx.Node, operation: Operation, negative: bool) -> Value:
        left, right = node.args
        if isinstance(left, int | float):
            if negative:
                return self._affine(self._value(right, node), -1.0, float(left))
            left, right = right, left
        if isinstance(right, int | float):
            source = self._value(left, node)
            number = -float(right) if negative else float(right)
            scale_and_shift = (number, 0.0) if operation is Operation.MULTIPLY else (1.0, number)
            return self._affine(source, *scale_and_shift)
        source, other = self._values_of((left, right), node)
        if negative:
            other = self._affine(other, -1.0, 0.0)
        if source.channels != other.channels:
            self._refuse(node, f"joins {source.channels} and {other.channels} channels")
        return self._line(operation, source.channels, source, other)

    def _affine(self, source: Value, scale: float, shift: float) -> Value:
        parameters = self._keep(torch.tensor([scale, shift], device=self._device))
        return self._line(Operation.AFFINE, source.channels, source, parameters=parameters)

    def _concatenate(self, node: fx.Node) -> Value:
        dimension = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        if dimension not in (1, -3):
            self._refuse(node, "is not over channels")
        parts = self._values_of(node.args[0], node)
        own = self._is_own(parts)
        whole = self._new(sum(part.channels for part in parts), own)
        first = 0
        for part in parts:
            self._emit(Line(Operation.COPY, whole.part(first, part.channels), part), own)
            first += part.channels
        return whole

    def _chunk(self, node: fx.Node) -> list[Value]:
        source = self._value(node.args[0], node)
        pieces: Any = node.kwargs.get("chunks", node.args[1] if len(node.args) > 1 else 1)
        if node.kwargs.get("dim", node.args[2] if len(node.args) > 2 else 0) not in (1, -3):
            self._refuse(node, "is not over channels")
        size = ceil(source.channels / pieces)
        return [
            source.part(first, min(size, source.channels - first))
            for first in range(0, source.channels, size)
        ]

    def _convolution(self, node: fx.Node, module: nn.Conv2d) -> Value:
        if (
            module.kernel_size != (1, 1)
            or module.stride != (1, 1)
            or module.padding != (0, 0)
            or module.groups != 1
        ):
            self._refuse(node, f"is {module}, of which only 1x1 is masked by nature")
        if self._colors > 1:
            self._refuse(node, "has no mask, so that colors would see those that come later")
        source = self._value(node.args[0], node)
        parameters = self._pack(module.weight.flatten(2), module.bias)
        return self._line(Operation.CONVOLVE, module.out_channels, source, parameters=parameters)

    def _masked_convolution(self, node: fx.Node, module: MaskedConv2d) -> Value:
        source = self._value(node.args[0], node)
        if module.colors != self._colors:
            self._refuse(node, f"has a mask for {module.colors} colors, the image has {self._colors}")
        if source.channels != module.in_channels:
            self._refuse(node, f"takes {module.in_channels} channels and gets {source.channels}")
        if source.own and module.mask != "A":
            self._refuse(node, "has mask B, with which a pixel sees itself")
        radius = module.kernel_size[0] // 2
        alone = radius == 0 and module.mask == "B"
        sees_itself = module.mask == "B" or self._colors > 1
        taps = radius * (2 * radius + 1) + radius + sees_itself
        if taps > MOST_TAPS:
            self._refuse(node, f"has a kernel of {module.kernel_size[0]}, more than 15")
        return self._line(
            Operation.CONVOLVE,
            module.out_channels,
            source,
            own=False,
            radius=radius,
            sees_itself=sees_itself,
            cache=-1 if alone else self._cached(source, radius),
            parameters=self._pack(module.masked_weight().flatten(2)[:, :, :taps], module.bias),
        )

    def _cached(self, value: Value, radius: int) -> int:
        """The cache of a value, which the pixel stores there."""
        if value not in self._caches:
            self._caches[value] = len(self._caches)
            self._emit(Line(Operation.STORE, source=value, cache=self._caches[value]), value.own)
        number = self._caches[value]
        self._radii[number] = max(radius, self._radii.get(number, 0))
        return number

    def _value(self, argument: Any, node: fx.Node) -> Value:
        (value,) = self._values_of((argument,), node)
        return value

    def _values_of(self, arguments: Any, node: fx.Node) -> list[Value]:
        """The values that a node joins; those that depend on the context alone are loaded."""
        own = self._is_own([self._values[argument] for argument in arguments if argument in self._values])
        values = []
        for argument in arguments:
            if argument in self._values:
                values.append(self._values[argument])
            elif argument in self._context:
                first, channels = self._context[argument]
                values.append(self._line(Operation.LOAD, channels, own=own, parameters=first))
            else:
                self._refuse(node, f"takes {argument}")
        return values

    def _line(
        self,
        operation: Operation,
        channels: int,
        source: Value = NOTHING,
        other: Value = NOTHING,
        own: bool | None = None,
        **details: Any,
    ) -> Value:
        """Writes a line with a new target, which is returned."""
        if own is None:
            own = self._is_own([value for value in (source, other) if value is not NOTHING])
        target = self._new(channels, own)
        self._emit(Line(operation, target, source, other, **details), own)
        return target

    def _is_own(self, values: Sequence[Value]) -> bool:
        own = {value.own for value in values}
        if len(own) > 1:
            raise ConfigError(
                "cannot sample from this decoder: it joins the image with what was made of it, so that a "
                "pixel sees itself"
            )
        return own == {True}

    def _new(self, channels: int, own: bool) -> Value:
        self._bases += 1
        return Value(self._bases - 1, channels, own=own)

    def _emit(self, line: Line, own: bool) -> None:
        (self._own if own else self._main).append(line)

    def _pack(self, weight: Tensor, bias: Tensor | None) -> int:
        """Keeps the weights (out, in, taps) and the bias of a convolution in panels of output channels."""
        outputs, _, _ = weight.shape
        filled = ceil(outputs / PANEL) * PANEL - outputs
        bias = weight.new_zeros(outputs) if bias is None else bias
        rows = functional.pad(weight.permute(2, 1, 0).flatten(0, 1), (0, filled))  # (taps * in, panels * 32)
        panels = rows.unflatten(1, (-1, PANEL)).transpose(0, 1)
        return self._keep(torch.cat([functional.pad(bias, (0, filled)), panels.flatten()]))

    def _keep(self, numbers: Tensor) -> int:
        self._weights.append(numbers.detach().float())
        self._weights_size += numbers.numel()
        return self._weights_size - numbers.numel()

    def _refuse(self, node: fx.Node, why: str) -> Any:
        name = getattr(node.target, "__name__", node.target)
        raise ConfigError(f"cannot sample from this decoder: {name} {why}")
