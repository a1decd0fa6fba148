"""Runs the cases of every op in all variants, forward and forward with backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidpred.benchmarking.kernels import lstm_gates, tensor_train_conv
from vidpred.benchmarking.kernels.case import Case, Formula
from vidpred.benchmarking.machine import why_no_kernels
from vidpred.benchmarking.roofline import Peaks, Work, fraction, gb_per_s, gflop_per_s
from vidpred.benchmarking.rows import Row, Skipped, speedups
from vidpred.benchmarking.timer import interleaved_medians, stopwatch_for

OPS = (lstm_gates, tensor_train_conv)
"""The modules whose `cases` are run."""

_CACHE_BYTES = 256 << 20
"""More than the caches of today's CPUs and GPUs hold."""


@dataclass(frozen=True)
class Tensors:
    """One set of inputs, and of gradients with respect to the outputs."""

    inputs: list[Tensor]
    output_gradients: list[Tensor]


Pass = Callable[[Tensors], Sequence[Tensor]]
"""What is timed: from a set of tensors to all results, which are freshly allocated."""


def cases(quick: bool) -> list[Case]:
    """All cases of all ops; a few when `quick`."""
    return [case for op in OPS for case in op.cases(quick)]


def run_case(
    case: Case, device: torch.device, peaks: Peaks, *, cold: bool, budget: float
) -> Iterator[Row | Skipped]:
    """Yields the rows of one case, pass by pass, and a reason for each variant that cannot run.

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
        seconds = interleaved_medians(passes, sets, stopwatch_for(device), budget=budget)
        errors = {variant: _max_error(case, as_pass, passes[variant], sets[0]) for variant in passes}
        yield from _rows(case, device, stage, work, peaks, seconds, errors)


def _rows(
    case: Case,
    device: torch.device,
    stage: str,
    work: Work,
    peaks: Peaks,
    seconds: Mapping[str, float],
    errors: Mapping[str, float],
) -> Iterator[Row]:
    vs_eager, vs_naive = speedups(seconds, "eager"), speedups(seconds, "naive")
    for variant, time in seconds.items():
        yield Row(
            name=case.name,
            stage=stage,
            shape=case.shape,
            dtype=str(case.dtype).removeprefix("torch."),
            device=device.type,
            variant=variant,
            ms=time * 1e3,
            gb_per_s=gb_per_s(work, time),
            gflop_per_s=gflop_per_s(work, time),
            fraction_of_roofline=fraction(work, time, peaks),
            speedup_vs_eager=vs_eager[variant],
            speedup_vs_naive=vs_naive[variant],
            max_error=errors[variant],
        )


def _variants(case: Case) -> dict[str, Formula]:
    variants = dict(case.variants)
    # Each case is compiled for its own shapes, as it would be in training.
    variants["compile"] = torch.compile(case.variants["eager"], dynamic=False)
    return variants


def _why_not(variant: str, run: Pass, tensors: Tensors, device: torch.device) -> str | None:
    """Why a variant cannot run, in one line; None if it can. Compiling is tried."""
    if variant == "native":
        return why_no_kernels(device)
    if variant != "compile":
        return None
    try:
        run(tensors)
    except Exception as error:  # torch.compile raises whatever its compiler or backend does
        return f"torch.compile failed: {(str(error).strip() or repr(error)).splitlines()[0]}"
    return None


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
    inputs = [
        torch.randn(shape, device=device, dtype=case.dtype, requires_grad=True)
        for shape in case.inputs.values()
    ]
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
