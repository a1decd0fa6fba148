"""The machine that a benchmark ran on: what it is, and how fast it copies and multiplies."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

import vidpred
from vidpred import ops
from vidpred.benchmarking.hardware import compiler, cpu_name, gpu
from vidpred.benchmarking.roofline import Peaks
from vidpred.benchmarking.timer import interleaved_medians, stopwatch_for


def facts(device: torch.device, peaks: Peaks, allocator: str) -> dict[str, Any]:
    """Everything about the machine and its software that a measured time depends on.

    Args:
        device: where the benchmark runs.
        peaks: what `measure_peaks` found.
        allocator: what `vidpred.allocator.keep_freed_memory` said.
    """
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_average": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vidpred": vidpred.__version__,
        "compiler": compiler(),
        "extension": ops.build_info(),
        "allocator": allocator,
        "device": str(device),
        "gpu": gpu(device),
        "copy_gb_per_s": round(peaks.gb_per_s, 2),
        "matrix_product_gflop_per_s": round(peaks.gflop_per_s, 1),
    }


def why_no_kernels(device: torch.device) -> str | None:
    """Why the ops do not run on compiled kernels on `device`; None if they do."""
    if ops.backend() != "native":
        return ops.build_info()["reason"] or "VIDPRED_BACKEND=reference"
    if device.type == "cuda" and not ops.build_info()["cuda_architectures"]:
        return "no CUDA kernels are compiled in"
    return None


def measure_peaks(device: torch.device, budget: float = 1.0) -> Peaks:
    """Measures the copy bandwidth and the float32 matrix-product rate, in about `budget` seconds each.

    The copy moves 128 MiB (1 GiB on a GPU) into memory that is there already; for the product see
    `measure_matrix_product`.
    """
    source = torch.rand((1 << 28) if device.type == "cuda" else (1 << 25), device=device)
    target = torch.empty_like(source)
    copy = _seconds(lambda: target.copy_(source), device, budget)
    moved = 2 * source.numel() * source.element_size()
    return Peaks(
        gb_per_s=moved / copy / 1e9,
        gflop_per_s=measure_matrix_product(device, torch.float32, budget),
    )


def peaks_in(dtype: torch.dtype, peaks: Peaks, device: torch.device) -> Peaks:
    """The peaks that count for computations in `dtype`, from `peaks` in float32."""
    if dtype == torch.float32:
        return peaks
    return replace(peaks, gflop_per_s=measure_matrix_product(device, dtype))


def measure_matrix_product(device: torch.device, dtype: torch.dtype, budget: float = 1.0) -> float:
    """The rate of a product of square matrices, in 10^9 operations a second.

    Their side is 2048, on a GPU 8192, and on a CPU in float16, for which few are made, 512.
    """
    side = 8192 if device.type == "cuda" else 512 if dtype == torch.float16 else 2048
    left, right = torch.randn(2, side, side, device=device).to(dtype)
    return 2 * side**3 / _seconds(lambda: left @ right, device, budget) / 1e9


def _seconds(call: Callable[[], Any], device: torch.device, budget: float) -> float:
    calls = {"call": lambda _: call()}
    return interleaved_medians(calls, [None], stopwatch_for(device), budget=budget, least=3)["call"]
