"""CUDA graphs: launches recorded once and replayed at once, as a training loop replays its whole step.

What a small kernel takes by itself is lost between two launches; in a graph they follow each other closely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

Inputs = TypeVar("Inputs")


def capture(call: Callable[[Inputs], Any], inputs: Sequence[Inputs]) -> Callable[[], None]:
    """Records `call` on each of `inputs` in turn; returns what replays all of them.

    Raises whatever `call` raises where it does what a graph cannot hold, such as waiting for the device.
    """
    warm_up = torch.cuda.Stream()
    warm_up.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm_up):
        call(inputs[0])
    torch.cuda.current_stream().wait_stream(warm_up)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for values in inputs:
            call(values)
    return graph.replay
