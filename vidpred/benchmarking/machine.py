"""The machine that a benchmark ran on: what it is, and how fast it copies and multiplies."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import torch

import vidpred
from vidpred import ops
from vidpred.benchmarking.roofline import Peaks
from vidpred.benchmarking.timer import interleaved_medians, stopwatch_for
from vidpred.errors import ConfigError


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


def find_device(name: str) -> torch.device:
    """The device called `name`; ``auto`` is the first GPU, or the CPU where there is none.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA fails an assertion
        raise ConfigError(f"there is no device '{name}' here: expected auto, cpu, cuda or cuda:N") from error
    return device


def why_no_kernels(device: torch.device) -> str | None:
    """Why the ops do not run on compiled kernels on `device`; None if they do."""
    if ops.backend() != "native":
        return ops.build_info()["reason"] or "VIDPRED_BACKEND=reference"
    if device.type == "cuda" and not ops.build_info()["cuda_architectures"]:
        return "no CUDA kernels are compiled in"
    return None


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def compiler() -> str | None:
    """The first line with which the C++ compiler names itself; None without one."""
    return _first_line(os.environ.get("CXX", "c++"), "--version")


def gpu(device: torch.device) -> dict[str, Any] | None:
    """Name, memory, driver and CUDA version of a GPU; None for a CPU."""
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "multiprocessors": properties.multi_processor_count,
        "driver": _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "cuda": torch.version.cuda,
    }


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


def _first_line(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else None
