"""A deep stack of convolutional LSTMs (seed 002, sec. 4, after Byeon et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vidpred.nn.conv_cell import AnyConvCell


class RecurrentBlocks(nn.Module):
    """Blocks of recurrent layers; from the third on their output is joined with that of the one two before.

    All layers of a block have as many channels. With four blocks the fourth sees the third and the first, and
    what comes out is the fourth and the second.

    Args:
        make_cell: makes a layer of (input channels, hidden channels).
        inputs: channels of what the first layer sees.
        hidden: channels of each block.
        layers: of each block.

    Attributes:
        channels: of what comes out.
    """

    def __init__(
        self,
        make_cell: Callable[[int, int], AnyConvCell],
        inputs: int,
        hidden: Sequence[int],
        layers: int,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.cells: Sequence[AnyConvCell] = nn.ModuleList()  # type: ignore[assignment]
        for block, channels in enumerate(hidden):
            for _ in range(layers):
                self.cells.append(make_cell(inputs, channels))  # type: ignore[attr-defined]
                inputs = channels
            if block >= _SKIP:
                inputs += hidden[block - _SKIP]
        self.channels = inputs

    def run(self, frames: Tensor, states: Sequence[Any] | None) -> tuple[Tensor, list[Any]]:
        """Layer by layer over known inputs, so that each layer's convolution of them is one for all steps.

        Args:
            frames: (T, N, inputs, H, W).
            states: of every layer, from the call before; None before the first.

        Returns:
            The output at every step, (T, N, channels, H, W), and the last state of every layer.
        """
        outputs: list[Tensor] = []  # of the blocks
        last = []
        for number, cell in enumerate(self.cells):
            frames, state = cell.run(frames, states[number] if states else cell.initial(frames))
            last.append(state)
            if (number + 1) % self.layers == 0:
                outputs.append(frames)
                if len(outputs) > _SKIP:
                    frames = torch.cat([frames, outputs[-1 - _SKIP]], dim=2)
        return frames, last


_SKIP = 2
"""Blocks back, to the one that is joined."""
