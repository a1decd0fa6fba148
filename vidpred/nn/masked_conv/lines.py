"""The lines of a program while it is written, and the registers they get when it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from vidpred.ops.pixel_program import PANEL, Instruction, Operation


@dataclass(frozen=True)
class Value:
    """Some channels of what the pixel has at hand, before it has a register."""

    base: int
    channels: int
    first: int = 0
    own: bool = False
    """Whether it depends on the pixel's own value, which the logits must not."""

    def part(self, first: int, channels: int) -> Value:
        """Some of these channels."""
        return Value(self.base, channels, self.first + first, self.own)


NOTHING = Value(base=-1, channels=0)
IMAGE = 0
"""The base of the pixel's own value."""


@dataclass(frozen=True)
class Line:
    """An instruction whose values have no registers yet."""

    operation: Operation
    target: Value = NOTHING
    source: Value = NOTHING
    other: Value = NOTHING
    radius: int = 0
    sees_itself: bool = False
    cache: int = -1
    parameters: int = 0

    def with_registers(self, of_base: dict[int, int]) -> Instruction:
        """The instruction, given the first register of every base."""

        def register(value: Value) -> int:
            return 0 if value is NOTHING else of_base[value.base] + value.first

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


def assign_registers(own: Sequence[Line], main: Sequence[Line], logits: Value) -> tuple[dict[int, int], int]:
    """The first register of every base, and how many registers there are.

    The image has the first; what else depends on the pixel's own value has registers for itself. The others
    share them: each holds its own from its first line to its last.
    """
    sizes: dict[int, int] = {IMAGE: PANEL}
    last_line = {logits.base: len(main)}
    for number, line in enumerate([*own, *main], start=-len(own)):
        if line.target is not NOTHING:
            room = ceil((line.target.first + line.target.channels) / PANEL) * PANEL
            sizes[line.target.base] = max(room, sizes.get(line.target.base, 0))
        for value in (line.target, line.source, line.other):
            last_line[value.base] = max(number, last_line.get(value.base, number))

    registers = {IMAGE: 0}
    end = sizes[IMAGE]
    for line in own:
        if line.target.base not in registers and line.target is not NOTHING:
            registers[line.target.base] = end
            end += sizes[line.target.base]
    start_of_shared = end
    held: set[int] = set()
    for number, line in enumerate(main):
        base = line.target.base
        if line.target is not NOTHING and base not in registers:
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
