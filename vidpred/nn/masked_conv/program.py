"""From a decoder of masked convolutions to the straight-line code that `vidpred.ops.sample_pixels` runs."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from vidpred.errors import ConfigError
from vidpred.nn.masked_conv.layers import MaskedConv2d
from vidpred.ops.pixel_program import MOST_TAPS, PANEL, Cache, Instruction, Operation, PixelProgram


class TracedDecoder:
    """A decoder, taken apart into what depends on the context alone and what depends on the image.

    Raises:
        ConfigError: the decoder cannot be traced, for instance because it branches on values.
    """

    def __init__(self, decoder: nn.Module):
        try:
            self._module = fx.GraphModule(decoder, _Tracer().trace(decoder))
        except Exception as error:  # the tracer raises whatever the decoder does with its proxies
            reason = str(error).split(". ")[0].splitlines()[0]
            raise ConfigError(
                f"cannot sample from {type(decoder).__name__}: it cannot be traced: {reason}"
            ) from error
        nodes = list(self._module.graph.nodes)
        image, *_ = (node for node in nodes if node.op == "placeholder")
        self._of_image: dict[fx.Node, None] = {image: None}
        for node in nodes:
            if any(source in self._of_image for source in node.all_input_nodes):
                self._of_image[node] = None
        self._alone = [node for node in nodes if node not in self._of_image]

    def context_values(self, context: Tensor) -> dict[fx.Node, Tensor]:
        """What depends on `context` alone and meets the image, each (N, C, H, W)."""
        interpreter = fx.Interpreter(self._module, garbage_collect_values=False)
        interpreter.args_iter = iter([context])
        for node in self._alone:
            interpreter.env[node] = interpreter.run_node(node)
        met = [node for node in self._alone if any(user in self._of_image for user in node.users)]
        batch, _, height, width = context.shape
        return {
            node: interpreter.env[node].expand(batch, -1, height, width)
            for node in met
            if isinstance(interpreter.env[node], Tensor)
        }

    def program(self, context_values: dict[fx.Node, Tensor], colors: int) -> PixelProgram:
        """The code for one pixel of an image with so many colors, with the decoder's weights as they are.

        Raises:
            ConfigError: something on the way from image to logits is not per pixel, or a pixel would see
                itself or one that comes later.
        """
        assembler = _Assembler(self._module, context_values, colors)
        for node in self._of_image:
            assembler.add(node)
        return assembler.program()


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, MaskedConv2d) or super().is_leaf_module(module, name)


@dataclass(frozen=True)
class _Value:
    """Some channels of what the pixel has at hand, before it has a register."""

    base: int
    channels: int
    first: int = 0
    own: bool = False
    """Whether it depends on the pixel's own value, which the logits must not."""

    def part(self, first: int, channels: int) -> _Value:
        return _Value(self.base, channels, self.first + first, self.own)


_NOTHING = _Value(base=-1, channels=0)
_IMAGE = 0
"""The base of the image."""


@dataclass(frozen=True)
class _Line:
    """An instruction whose values have no registers yet."""

    operation: Operation
    target: _Value = _NOTHING
    source: _Value = _NOTHING
    other: _Value = _NOTHING
    radius: int = 0
    sees_itself: bool = False
    cache: int = -1
    parameters: int = 0

    def with_registers(self, of_base: dict[int, int]) -> Instruction:
        def register(value: _Value) -> int:
            return 0 if value is _NOTHING else of_base[value.base] + value.first

        return Instruction(
            operation=self.operation,
            target=register(self.target),
            source=register(self.source),
            other=register(self.other),
            channels=(self.source if self.operation is Operation.STORE else self.target).channels,
            in_channels=self.source.channels,
            radius=self.radius,
            sees_itself=self.sees_itself,
            cache=self.cache,
            parameters=self.parameters,
        )


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


class _Assembler:
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
        self._own: list[_Line] = []
        self._main: list[_Line] = []
        self._caches: dict[_Value, int] = {}
        self._radii: dict[int, int] = {}
        self._weights: list[Tensor] = []
        self._weights_size = 0
        self._logits = _NOTHING

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
        registers, size = _assign_registers(self._own, self._main, logits)
        return PixelProgram(
            own=tuple(line.with_registers(registers) for line in self._own),
            main=tuple(line.with_registers(registers) for line in self._main),
            caches=tuple(Cache(value.channels, self._radii[n]) for value, n in self._caches.items()),
            weights=torch.cat(self._weights) if self._weights else torch.zeros(0),
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

    def _binary(self, node: fx.Node, operation: Operation, negative: bool) -> _Value:
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

    def _affine(self, source: _Value, scale: float, shift: float) -> _Value:
        parameters = self._keep(torch.tensor([scale, shift]))
        return self._line(Operation.AFFINE, source.channels, source, parameters=parameters)

    def _concatenate(self, node: fx.Node) -> _Value:
        dimension = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        if dimension not in (1, -3):
            self._refuse(node, "is not over channels")
        parts = self._values_of(node.args[0], node)
        own = self._is_own(parts)
        whole = self._new(sum(part.channels for part in parts), own)
        first = 0
        for part in parts:
            self._emit(_Line(Operation.COPY, whole.part(first, part.channels), part), own)
            first += part.channels
        return whole

    def _chunk(self, node: fx.Node) -> list[_Value]:
        source = self._value(node.args[0], node)
        pieces: Any = node.kwargs.get("chunks", node.args[1] if len(node.args) > 1 else 1)
        if node.kwargs.get("dim", node.args[2] if len(node.args) > 2 else 0) not in (1, -3):
            self._refuse(node, "is not over channels")
        size = ceil(source.channels / pieces)
        return [
            source.part(first, min(size, source.channels - first))
            for first in range(0, source.channels, size)
        ]

    def _convolution(self, node: fx.Node, module: nn.Conv2d) -> _Value:
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

    def _masked_convolution(self, node: fx.Node, module: MaskedConv2d) -> _Value:
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

    def _cached(self, value: _Value, radius: int) -> int:
        """The cache of a value, which the pixel stores there."""
        if value not in self._caches:
            self._caches[value] = len(self._caches)
            self._emit(_Line(Operation.STORE, source=value, cache=self._caches[value]), value.own)
        number = self._caches[value]
        self._radii[number] = max(radius, self._radii.get(number, 0))
        return number

    def _value(self, argument: Any, node: fx.Node) -> _Value:
        (value,) = self._values_of((argument,), node)
        return value

    def _values_of(self, arguments: Any, node: fx.Node) -> list[_Value]:
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
        source: _Value = _NOTHING,
        other: _Value = _NOTHING,
        own: bool | None = None,
        **details: Any,
    ) -> _Value:
        """Writes a line with a new target, which is returned."""
        if own is None:
            own = self._is_own([value for value in (source, other) if value is not _NOTHING])
        target = self._new(channels, own)
        self._emit(_Line(operation, target, source, other, **details), own)
        return target

    def _is_own(self, values: Sequence[_Value]) -> bool:
        own = {value.own for value in values}
        if len(own) > 1:
            raise ConfigError(
                "cannot sample from this decoder: it joins the image with what was made of it, so that a "
                "pixel sees itself"
            )
        return own == {True}

    def _new(self, channels: int, own: bool) -> _Value:
        self._bases += 1
        return _Value(self._bases - 1, channels, own=own)

    def _emit(self, line: _Line, own: bool) -> None:
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


def _assign_registers(
    own: Sequence[_Line], main: Sequence[_Line], logits: _Value
) -> tuple[dict[int, int], int]:
    """The first register of every base, and how many registers there are.

    The image has the first; what else depends on the pixel's own value has registers for itself. The others
    share them: each holds its own from its first line to its last.
    """
    sizes: dict[int, int] = {_IMAGE: PANEL}
    last_line = {logits.base: len(main)}
    for number, line in enumerate([*own, *main], start=-len(own)):
        if line.target is not _NOTHING:
            room = ceil((line.target.first + line.target.channels) / PANEL) * PANEL
            sizes[line.target.base] = max(room, sizes.get(line.target.base, 0))
        for value in (line.target, line.source, line.other):
            last_line[value.base] = max(number, last_line.get(value.base, number))

    registers = {_IMAGE: 0}
    end = sizes[_IMAGE]
    for line in own:
        if line.target.base not in registers and line.target is not _NOTHING:
            registers[line.target.base] = end
            end += sizes[line.target.base]
    start_of_shared = end
    held: set[int] = set()
    for number, line in enumerate(main):
        base = line.target.base
        if line.target is not _NOTHING and base not in registers:
            taken = sorted((registers[other], sizes[other]) for other in held)
            registers[base] = _first_gap(taken, start_of_shared, sizes[base])
            end = max(end, registers[base] + sizes[base])
            held.add(base)
        # Between two convolutions nothing is given up: see PixelInstruction in sample_pixels.h.
        if line.operation is Operation.CONVOLVE:
            held = {other for other in held if last_line[other] > number}
    return registers, end


def _first_gap(taken: Iterable[tuple[int, int]], start: int, size: int) -> int:
    """The first place from `start` on with room for `size`, beside intervals (start, size) in order."""
    for first, length in taken:
        if first - start >= size:
            break
        start = first + length
    return start
