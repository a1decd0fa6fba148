"""Timing several ways of doing one thing so that their ratios can be believed.

The variants take turns, so that whatever else the machine does falls on all alike, and the median of the
rounds is reported, which a few disturbed rounds do not move, with the quartiles as a measure of the spread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from statistics import quantiles
from typing import Any, TypeVar

import torch

Inputs = TypeVar("Inputs")
Name = TypeVar("Name", bound=Hashable)
Stopwatch = Callable[[Callable[[], Any]], float]
"""Calls what it is given and returns the seconds that took."""


@dataclass(frozen=True)
class Timing:
    """What the rounds took, in seconds: their median, and the quartiles between which half of them lie."""

    median: float
    low: float
    high: float

    def times(self, calls: int) -> Timing:
        """What so many calls would take."""
        return Timing(self.median * calls, self.low * calls, self.high * calls)


def interleaved_medians(
    variants: Mapping[Name, Callable[[Inputs], Any]],
    inputs: Sequence[Inputs],
    stopwatch: Stopwatch,
    *,
    budget: float,
    most: int = 200,
    least: int = 5,
) -> dict[Name, float]:
    """The medians of `interleaved_timings`, in seconds."""
    timings = interleaved_timings(variants, inputs, stopwatch, budget=budget, most=most, least=least)
    return {name: timing.median for name, timing in timings.items()}


def interleaved_timings(
    variants: Mapping[Name, Callable[[Inputs], Any]],
    inputs: Sequence[Inputs],
    stopwatch: Stopwatch,
    *,
    budget: float,
    most: int = 200,
    least: int = 5,
) -> dict[Name, Timing]:
    """Times every variant once a round.

    Args:
        variants: what to time, by name; each is called with one element of `inputs`.
        inputs: used in turn. Several that together exceed the caches make every call read from memory.
        stopwatch: see `stopwatch_for`.
        budget: seconds of measured time for all variants together, after two rounds of warming up.
        most: rounds at most.
        least: rounds at least, whatever the budget.
    """
    times: dict[Name, list[float]] = {name: [] for name in variants}
    turns = cycle(inputs)
    warm_up = 2
    spent = 0.0
    for round_number in range(warm_up + most):
        values = next(turns)
        for name, variant in variants.items():
            seconds = stopwatch(partial(variant, values))
            if round_number >= warm_up:
                times[name].append(seconds)
                spent += seconds
        if round_number + 1 >= warm_up + least and spent >= budget:
            break
    return {name: _timing(seconds) for name, seconds in times.items()}


def _timing(seconds: Sequence[float]) -> Timing:
    if len(seconds) == 1:
        return Timing(seconds[0], seconds[0], seconds[0])
    low, middle, high = quantiles(seconds, n=4, method="inclusive")
    return Timing(middle, low, high)


def stopwatch_for(device: torch.device) -> Stopwatch:
    """The stopwatch of a device: the clock on a CPU, events on the stream of a GPU."""
    return _device_seconds if device.type == "cuda" else clock_seconds


def clock_seconds(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds by the clock. What the call returns is freed before the clock is read again."""
    start = clock()
    call()
    return clock() - start


# About 1 ms: the device waits while Python queues the call, so that its own time alone is measured.
_HEAD_START_CYCLES = 2_000_000


def _device_seconds(call: Callable[[], Any]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda._sleep(_HEAD_START_CYCLES)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3
