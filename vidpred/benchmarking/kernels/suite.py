"""Runs the cases of every op in all variants, forward and forward with backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from vidpred.benchmarking import graphs
from vidpred.benchmarking.kernels import flow_warp, lstm_gates, masked_conv2d, tensor_train_conv
from vidpred.benchmarking.kernels.case import Case, Formula
from vidpred.benchmarking.machine import why_no_kernels
from vidpred.benchmarking.roofline import Peaks, Work, fraction, gb_per_s, gflop_per_s
from vidpred.benchmarking.rows import Row, Skipped, speedups
from vidpred.benchmarking.timer import Timing, interleaved_timings, stopwatch_for
from vidpred.errors import unknown_name

OPS = (flow_warp, lstm_gates, masked_conv2d, tensor_train_conv)
"""The modules whose `cases` are run, each named after its op."""

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)
}

_CACHE_BYTES = 256 << 20
"""More than the caches of today's CPUs and GPUs hold."""

_SMALL_LAUNCH = 200e-6
"""Seconds; what a GPU does in less is timed in a CUDA graph too."""
_MOST_CALLS_IN_A_GRAPH = 100


@dataclass(frozen=True)
class Tensors:
    """One set of inputs, and of gradients with respect to the outputs."""

    inputs: list[Tensor]
    output_gradients: list[Tensor]


Pass = Callable[[Tensors], Sequence[Tensor]]
"""What is timed: from a set of tensors to all results, which are freshly allocated."""


def cases(quick: bool, ops: Sequence[str] = (), dtypes: Sequence[str] = ()) -> list[Case]:
    """The cases of the ops, a few of each when `quick`.

    Args:
        quick: only those that show the most.
        ops: names of the ops to take; all when empty.
        dtypes: names of the dtypes to run every case in; when empty, each in those of its own.

    Raises:
        ConfigError: there is no op or dtype of that name.
    """
    modules = {_name(module): module for module in OPS}
    wanted = [_choose("op", name, modules) for name in ops] or list(OPS)
    found = [case for module in dict.fromkeys(wanted) for case in module.cases(quick)]
    if not dtypes:
        return found
    chosen = [_choose("dtype", name, DTYPES) for name in dtypes]
    in_each: dict[tuple[Any, ...], Case] = {}
    for case in found:
        for dtype in chosen:
            key = (case.name, case.layer, case.shape, case.memory_format, dtype)
            in_each.setdefault(key, case.in_dtype(dtype))
    return list(in_each.values())


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _choose(kind: str, name: str, choices: Mapping[str, Any]) -> Any:
    if name not in choices:
        raise unknown_name(kind, name, choices)
    return choices[name]


def expected_results(case: Case) -> int:
    """How many rows and skipped variants `run_case` yields, replays of graphs apart."""
    return 2 * len({*case.variants, "compile"})


def run_case(
    case: Case, device: torch.device, peaks: Peaks, *, cold: bool, budget: float
) -> Iterator[Row | Skipped]:
    """Yields the rows of one case, pass by pass, and a reason for each variant that cannot run.

    On a GPU the passes that take next to no time are timed once more, as replays of a CUDA graph.

    Args:
        case: what to run.
        device: where.
        peaks: rates of the machine, for the fraction of them that each variant reaches.
        cold: every call reads inputs that the caches no longer hold.
        budget: seconds of timing for each pass.
    """
    torch.manual_seed(0)
    torch.compiler.reset()  # it stops compiling one function after a few shapes
    size = sum(map(math.prod, case.inputs.values())) * case.dtype.itemsize
    sets = [_random_tensors(case, device) for _ in range(2 + _CACHE_BYTES // size if cold else 1)]
    for stage, as_pass, work in (
        ("forward", _forward, case.forward),
        ("forward+backward", _forward_and_backward, case.forward + case.backward),
    ):
        passes: dict[str, Pass] = {}
        for variant, formula in _variants(case).items():
            reason = _why_not(variant, as_pass(formula), sets[0], device)
            if reason:
                yield Skipped(f"{case.name} {stage}", variant, reason)
            else:
                passes[variant] = as_pass(formula)
        timings = interleaved_timings(passes, sets, stopwatch_for(device), budget=budget)
        errors = {variant: _max_error(case, as_pass, passes[variant], sets[0]) for variant in passes}
        yield from _rows(case, device, stage, work, peaks, timings, errors)
        if device.type == "cuda" and min(timing.median for timing in timings.values()) < _SMALL_LAUNCH:
            timings, skipped = _replays(case, stage, passes, sets, device, budget)
            yield from skipped
            yield from _rows(case, device, f"{stage}, graph replay", work, peaks, timings, errors)


def _replays(
    case: Case,
    stage: str,
    passes: Mapping[str, Pass],
    sets: Sequence[Tensors],
    device: torch.device,
    budget: float,
) -> tuple[dict[str, Timing], list[Skipped]]:
    """What a pass takes in a CUDA graph that makes it on many sets of inputs, and what no graph can hold."""
    inputs = sets[:_MOST_CALLS_IN_A_GRAPH]
    replays: dict[str, Callable[[None], None]] = {}
    skipped = []
    for variant, run in passes.items():
        try:
            replay = graphs.capture(run, inputs)
        except RuntimeError as error:
            reason = f"not captured in a graph: {_first_line(error)}"
            skipped.append(Skipped(f"{case.name} {stage}, graph replay", variant, reason))
        else:
            replays[variant] = lambda _, replay=replay: replay()  # type: ignore[misc]
    timings = interleaved_timings(replays, [None], stopwatch_for(device), budget=budget)
    calls = len(inputs)
    return {
        variant: Timing(timing.median / calls, timing.low / calls, timing.high / calls)
        for variant, timing in timings.items()
    }, skipped


def _rows(
    case: Case,
    device: torch.device,
    stage: str,
    work: Work,
    peaks: Peaks,
    timings: Mapping[str, Timing],
    errors: Mapping[str, float],
) -> Iterator[Row]:
    seconds = {variant: timing.median for variant, timing in timings.items()}
    vs_eager, vs_naive = speedups(seconds, "eager"), speedups(seconds, "naive")
    for variant, timing in timings.items():
        yield Row(
            name=case.name,
            stage=stage,
            shape=case.shape,
            dtype=str(case.dtype).removeprefix("torch."),
            device=device.type,
            variant=variant,
            ms=timing.median * 1e3,
            ms_low=timing.low * 1e3,
            ms_high=timing.high * 1e3,
            gb_per_s=gb_per_s(work, timing.median),
            gflop_per_s=gflop_per_s(work, timing.median),
            fraction_of_roofline=fraction(work, timing.median, peaks),
            speedup_vs_eager=vs_eager[variant],
            speedup_vs_naive=vs_naive[variant],
            max_error=errors[variant],
            layer=case.layer or None,
            memory_format=str(case.memory_format).removeprefix("torch."),
        )


def _variants(case: Case) -> dict[str, Formula]:
    variants = dict(case.variants)
    # Each case is compiled for its own shapes, as it would be in training.
    variants["compile"] = torch.compile(case.variants["eager"], dynamic=False)
    return variants


def _why_not(variant: str, run: Pass, tensors: Tensors, device: torch.device) -> str | None:
    """Why a variant cannot run, in one line; None if it can, which is tried."""
    if variant == "native" and (reason := why_no_kernels(device)):
        return reason
    try:
        run(tensors)
    except torch.OutOfMemoryError as error:
        return _first_line(error)
    except Exception as error:  # torch.compile raises whatever its compiler or backend does
        if variant != "compile":
            raise
        return f"torch.compile failed: {_first_line(error)}"
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]


def _forward(formula: Formula) -> Pass:
    def run(tensors: Tensors) -> Sequence[Tensor]:
        with torch.no_grad():
            return formula(tensors.inputs)

    return run


def _forward_and_backward(formula: Formula) -> Pass:
    def run(tensors: Tensors) -> Sequence[Tensor]:
        outputs = formula(tensors.inputs)
        return (*outputs, *torch.autograd.grad(outputs, tensors.inputs, tensors.output_gradients))

    return run


def _random_tensors(case: Case, device: torch.device) -> Tensors:
    inputs = []
    for name, shape in case.inputs.items():
        values = torch.randn(shape, device=device, dtype=case.dtype)
        if name in case.shaped_by:
            values = case.shaped_by[name](values)
        if len(shape) == 4:
            values = values.contiguous(memory_format=case.memory_format)
        inputs.append(values.requires_grad_())
    with torch.no_grad():
        outputs = case.variants["eager"](inputs)
    return Tensors(inputs, [torch.randn_like(output) for output in outputs])


def _max_error(case: Case, as_pass: Callable[[Formula], Pass], run: Pass, tensors: Tensors) -> float:
    """Largest difference, over all results, from the eager formula in float64 on the same numbers."""
    exact = as_pass(case.variants["eager"])(
        Tensors(
            [value.detach().double().requires_grad_() for value in tensors.inputs],
            [value.double() for value in tensors.output_gradients],
        )
    )
    pairs = zip(run(tensors), exact, strict=True)
    return max((result - truth).abs().max().item() for result, truth in pairs)
