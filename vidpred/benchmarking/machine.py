"""The machine that a benchmark ran on: what it is, and how fast it copies and multiplies."""

from __future__ import annotations

import os
import platform
from functools import partial
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

    The copy moves 128 MiB (1 GiB on a GPU) into memory that is there already; the product is of square
    matrices of side 2048 (8192 on a GPU).
    """
    on_gpu = device.type == "cuda"
    seconds = partial(interleaved_medians, stopwatch=stopwatch_for(device), budget=budget, inputs=[None])

    source = torch.rand((1 << 28) if on_gpu else (1 << 25), device=device)
    target = torch.empty_like(source)
    copy = seconds({"copy": lambda _: target.copy_(source)})["copy"]
    moved = 2 * source.numel() * source.element_size()

    side = 8192 if on_gpu else 2048
    left, right = torch.randn(2, side, side, device=device)
    product = seconds({"product": lambda _: left @ right})["product"]
    return Peaks(gb_per_s=moved / copy / 1e9, gflop_per_s=2 * side**3 / product / 1e9)
